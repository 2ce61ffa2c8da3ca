"""`kintoun migrate`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from kintoun.cli.exits import reported
from kintoun.cli.options import resolve, settings_options
from kintoun.config import migrations_of
from kintoun.settings import Settings


@click.command()
@settings_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@reported
def migrate(config: Path | None, kinto_ini: Path | None, data: Path | None, dry_run: bool) -> None:
    """Bring the schema of the database, and the tables of the features, to the version of this server."""
    from kintoun.storage.schema import STEPS

    settings = resolve(config, kinto_ini, data)
    steps = migrations_of(settings.features)
    before, features = asyncio.run(_migrate(settings, steps, dry_run))
    went = "would go" if dry_run else "went"
    latest = len(STEPS)
    if before > latest:
        click.echo(
            f"The schema is at version {before}, newer than this server, which knows version {latest}."
        )
    elif before == latest:
        click.echo(f"The schema is at version {before} already.")
    else:
        click.echo(f"The schema {went} from version {before} to version {latest}.")
    for name, own in steps.items():
        had = features.get(name, 0)
        if had < len(own):
            click.echo(f"The tables of `{name}` {went} from version {had} to version {len(own)}.")


async def _migrate(
    settings: Settings, steps: Mapping[str, Sequence[Sequence[str]]], dry_run: bool
) -> tuple[int, dict[str, int]]:
    """The versions that the schema and the features' tables had before."""
    from kintoun.storage import open_store

    store = await open_store(settings.storage)
    try:
        features = await store.engine.feature_versions()
        return await (store.engine.schema_version() if dry_run else store.migrate(steps)), features
    finally:
        await store.close()
