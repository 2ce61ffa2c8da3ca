"""`kintoun migrate`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli.exits import reported
from kintoun.cli.options import resolve, settings_options
from kintoun.settings import Settings


@click.command()
@settings_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@reported
def migrate(config: Path | None, kinto_ini: Path | None, data: Path | None, dry_run: bool) -> None:
    """Bring the schema of the database to the version of this server."""
    from kintoun.storage.schema import STEPS

    settings = resolve(config, kinto_ini, data)
    latest = len(STEPS)
    before = asyncio.run(_migrate(settings, dry_run))
    if before == latest:
        click.echo(f"The schema is at version {latest} already.")
    elif dry_run:
        click.echo(f"The schema would go from version {before} to version {latest}.")
    else:
        click.echo(f"The schema went from version {before} to version {latest}.")


async def _migrate(settings: Settings, dry_run: bool) -> int:
    from kintoun.storage import open_store

    store = await open_store(settings.storage)
    try:
        return await (store.engine.schema_version() if dry_run else store.migrate())
    finally:
        await store.close()
