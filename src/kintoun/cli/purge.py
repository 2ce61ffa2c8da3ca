"""`kintoun purge`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.progress import Tables
from kintoun.model import timestamps
from kintoun.model.kinds import KINDS
from kintoun.operations import open_patiently
from kintoun.operations.purge import Purged, Scope, plan
from kintoun.operations.purge import purge as run
from kintoun.operations.purge_entries import PurgedEntries, count_unused_entries, purge_entries
from kintoun.settings import Settings

DAY = 86_400_000
LISTED = 40
"""Lists that are named; the others are counted."""


@click.command()
@click.option(
    "--older-than", "days", type=click.FloatRange(min=0), help="Tombstones of so many days and more."
)
@click.option(
    "--keep", type=click.IntRange(min=0), help="All tombstones but the newest so many of each list."
)
@click.option("--bucket", "-b", help="Only below this bucket.")
@click.option("--collection", "-k", help="Only records of this collection; with --bucket.")
@click.option("--kind", type=click.Choice([kind.name for kind in KINDS]), help="Only objects of this kind.")
@click.option(
    "--permissions", is_flag=True, help="Also what is kept of permissions that nothing has any more."
)
@click.option("--apply", is_flag=True, help="Do it; without this it is only said what would be done.")
@settings_options
@reported
def purge(
    days: float | None,
    keep: int | None,
    bucket: str | None,
    collection: str | None,
    kind: str | None,
    permissions: bool,
    apply: bool,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Forget deletions: remove tombstones, by --older-than or --keep, while servers go on.

    Clients that have not synced since the newest tombstone that is purged are told to start over. With
    --permissions the names of users go that no object has any more; writers wait while history is read.
    """
    if (days is not None) + (keep is not None) + (permissions and days is None and keep is None) != 1:
        fail(Exit.USAGE, "give one of --older-than and --keep, or --permissions")
    if collection is not None and bucket is None:
        fail(Exit.USAGE, "--collection: its --bucket must be given too")
    before = timestamps.now() - int(days * DAY) if days is not None else None
    settings = resolve(config, kinto_ini, data)
    scope = Scope(before, keep, bucket, collection, kind)
    if before is not None or keep is not None:
        _show(asyncio.run(_purge(settings, scope, apply)), apply)
    if permissions:
        _show_entries(asyncio.run(_purge_entries(settings, apply)), apply)
    if not apply:
        click.echo("Nothing was changed: give --apply to do it.")


def _show(done: Purged, apply: bool) -> None:
    for item in done.plan[:LISTED]:
        click.echo(f"{item.path}: {item.tombstones} tombstones, watermark {item.newest}")
    if len(done.plan) > LISTED:
        click.echo(f"… and {len(done.plan) - LISTED} more lists")
    click.echo(f"{_verb(apply)} {done.tombstones} tombstones of {done.lists} lists.")


def _show_entries(done: PurgedEntries, apply: bool) -> None:
    click.echo(f"{_verb(apply)} {done.entries} entries of permissions.")
    if not done.complete:
        click.echo("Some were left: writers kept the table in use. Another run will find them.")


def _verb(apply: bool) -> str:
    return "Purged" if apply else "Would purge"


async def _purge(settings: Settings, scope: Scope, apply: bool) -> Purged:
    store = await open_patiently(settings.storage)
    try:
        if apply:
            with Tables() as progress:
                return await run(store, scope, progress)
        done = Purged(plan=[item async for item in plan(store, scope)])
        done.tombstones, done.lists = sum(item.tombstones for item in done.plan), len(done.plan)
        return done
    finally:
        await store.close()


async def _purge_entries(settings: Settings, apply: bool) -> PurgedEntries:
    store = await open_patiently(settings.storage)
    try:
        return await purge_entries(store) if apply else PurgedEntries(await count_unused_entries(store))
    finally:
        await store.close()
