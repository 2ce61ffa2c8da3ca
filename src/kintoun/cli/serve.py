"""`kintoun serve`."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from kintoun import __version__, serving
from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.config import migrations_of
from kintoun.settings import Settings

PASSWORD_VARIABLE = "KINTOUN_ADMIN_PASSWORD"  # noqa: S105 - its name, not its value


@click.command()
@settings_options
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes.")
@click.option(
    "--admin",
    metavar="NAME",
    help=f"Make this account if it is missing; its password is {PASSWORD_VARIABLE}, or a random one.",
)
@reported
def serve(
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    admin: str | None,
) -> None:
    """Serve the API until SIGTERM or SIGINT. The schema of the database is migrated first.

    SIGHUP reads the configuration again and replaces the workers, without refusing a request.
    """
    with ExitStack() as stack:
        if kinto_ini is not None and data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kintoun-")))
        given = {"host": host, "port": port, "workers": workers}
        settings = resolve(config, kinto_ini, data, given)

        def reread() -> Settings:
            again = resolve(config, kinto_ini, data, given)
            serving.check(again)
            asyncio.run(_prepare(again, None))
            return again

        try:
            serving.check(settings)
            serving.check_address(settings.server)
            password = asyncio.run(_prepare(settings, admin))
            code = serving.run(settings, lambda: _greet(settings, admin, password), reread)
        except serving.AddressInUse as error:
            fail(Exit.ADDRESS, str(error))
        except ValueError as error:
            fail(Exit.CONFIGURATION, str(error))
    if code:
        fail(Exit.FAILED, "the workers kept failing")


async def _prepare(settings: Settings, admin: str | None) -> str | None:
    """Migrate the schema and make the first account; returns the password that was made up for it."""
    from kintoun.storage import open_store

    store = await open_store(settings.storage)
    try:
        await store.migrate(migrations_of(settings.features))
        if admin is None:
            return None
        from kintoun.cli.accounts import add_account, made_up_password

        given = os.environ.get(PASSWORD_VARIABLE)
        password = given or made_up_password()
        added = await add_account(store, admin, password)
        return password if added and not given else None
    finally:
        await store.close()


def _greet(settings: Settings, admin: str | None, password: str | None) -> None:
    base = serving.url(settings.server)
    click.echo(f"Kintoun {__version__} is ready: {base}")
    if password is not None:
        click.echo(f"The account `{admin}` was made. Its password, shown only now: {password}")
    if admin is not None:
        who = f"{admin}:{password or 'PASSWORD'}"
        click.echo("\n".join(["Try first:", *(f"  {line}" for line in _first_steps(base, who))]))


def _first_steps(base: str, who: str) -> list[str]:
    return [
        f"curl {base}",
        f"curl -u {who} -X PUT {base}buckets/blog",
        f"curl -u {who} -X PUT {base}buckets/blog/collections/articles",
        f"curl -u {who} -X POST {base}buckets/blog/collections/articles/records \\",
        """     -H 'Content-Type: application/json' -d '{"data": {"title": "Hello"}}'""",
        f"curl -u {who} {base}buckets/blog/collections/articles/records",
    ]
