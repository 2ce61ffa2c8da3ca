"""`kintoun user token`: new, list, revoke."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kintoun.cli import accounts
from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.stores import moment, run
from kintoun.features.accounts.settings import AccountsSection
from kintoun.features.accounts.tokens import DAY, token_attributes
from kintoun.model import timestamps
from kintoun.model.errors import InvalidParameters
from kintoun.model.kinds import TOKEN


@click.group()
def token() -> None:
    """Make, show and revoke the API tokens of an account."""


@token.command()
@click.argument("account")
@click.option("--name", required=True, help="What the owner knows the token by.")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    help="What it may be used for, as read:/ or write:/buckets/b; may be given again.",
)
@click.option("--days", type=click.IntRange(1), help="Lifetime; default: `token_days` of the configuration.")
@settings_options
@reported
def new(
    account: str,
    name: str,
    scopes: tuple[str, ...],
    days: int | None,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Make a token for ACCOUNT and print it, this once."""
    settings = resolve(config, kinto_ini, data)
    section = settings.sections.get("accounts") or AccountsSection()
    given: dict[str, Any] = {"name": name, "scopes": list(scopes)}
    if days is not None:
        given["expires"] = timestamps.now() + days * DAY
    try:
        attributes = token_attributes(given, section)
    except InvalidParameters as error:
        fail(Exit.USAGE, str(error))
    made = run(settings, lambda store: accounts.add_token(store, account, attributes))
    if made is None:
        fail(Exit.FAILED, f"there is no account {account!r}")
    click.echo(made)


@token.command("list")
@click.argument("account")
@settings_options
@reported
def list_(account: str, config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Show the tokens of ACCOUNT: id, name, scopes, when it expires, when it was last used."""
    settings = resolve(config, kinto_ini, data)
    for item in run(settings, lambda store: accounts.objects_of(store, accounts.tokens_of(account))):
        times = (moment(item["expires"]), moment(item.get("last_used")))
        click.echo("\t".join((item["id"], item["name"], " ".join(item["scopes"]), *times)))


@token.command()
@click.argument("account")
@click.argument("ids", nargs=-1, required=True)
@settings_options
@reported
def revoke(
    account: str, ids: tuple[str, ...], config: Path | None, kinto_ini: Path | None, data: Path | None
) -> None:
    """Revoke the tokens IDS of ACCOUNT: they count for nothing from now on."""
    settings = resolve(config, kinto_ini, data)
    if not all(TOKEN.accepts(name) for name in ids):
        fail(Exit.USAGE, "that is not the id of a token: see `kintoun user token list`")
    revoked = run(settings, lambda store: accounts.revoke_tokens(store, account, ids))
    if revoked < len(set(ids)):
        fail(Exit.FAILED, f"revoked {revoked}; there are no others of these ids")
    click.echo(f"Revoked {revoked}.")
