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
from kintoun.operations.purge import Purged, Scope
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
@click.option("--apply", is_flag=True, help="Do it; without this it is only said what would be done.")
@settings_options
@reported
def purge(
    days: float | None,
    keep: int | None,
    bucket: str | None,
    collection: str | None,
    kind: str | None,
    apply: bool,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Forget deletions: remove tombstones, by --older-than or --keep, while servers go on.

    Clients that have not synced since the newest tombstone that is purged are told to start over. Without a
    scope, what is kept of permissions that no object has any more goes as well.
    """
    if (days is None) == (keep is None):
        fail(Exit.USAGE, "give one of --older-than and --keep")
    if collection is not None and bucket is None:
        fail(Exit.USAGE, "--collection: its --bucket must be given too")
    before = timestamps.now() - int(days * DAY) if days is not None else None
    settings = resolve(config, kinto_ini, data)
    done = asyncio.run(_purge(settings, Scope(before, keep, bucket, collection, kind), apply))
    for item in done.plan[:LISTED]:
        click.echo(f"{item.path}: {item.tombstones} tombstones, watermark {item.newest}")
    if len(done.plan) > LISTED:
        click.echo(f"… and {len(done.plan) - LISTED} more lists")
    verb = "Purged" if apply else "Would purge"
    click.echo(
        f"{verb} {done.tombstones} tombstones of {done.lists} lists, {done.entries} unused permissions."
    )
    if done.entries_left:
        click.echo("Some permissions were left: writers kept the table in use. Another run will find them.")
    if not apply:
        click.echo("Nothing was changed: give --apply to do it.")


async def _purge(settings: Settings, scope: Scope, apply: bool) -> Purged:
    from kintoun.operations import open_patiently
    from kintoun.operations.purge import count_unused_entries, plan, purge, purge_entries

    whole = scope.bucket is None and scope.kind is None
    store = await open_patiently(settings.storage)
    try:
        if not apply:
            done = Purged(plan=[item async for item in plan(store, scope)])
            done.tombstones, done.lists = sum(item.tombstones for item in done.plan), len(done.plan)
            done.entries = await count_unused_entries(store) if whole else 0
            return done
        with Tables() as progress:
            done = await purge(store, scope, progress)
            if whole:
                await purge_entries(store, done)
        return done
    finally:
        await store.close()
