"""`kintoun import`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.progress import Bars
from kintoun.settings import Settings
from kintoun.transfer.loading import Load, Outcome
from kintoun.transfer.sources import BadFile, Source, find_sources, read


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--bucket", "-b", help="Bucket to import into; default: the name of the file's directory.")
@click.option("--collection", "-k", help="Collection to import into; default: the name of the file.")
@click.option(
    "--read", "readers", multiple=True, metavar="PRINCIPAL", help="Who may read what is made; repeatable."
)
@click.option(
    "--write", "writers", multiple=True, metavar="PRINCIPAL", help="Who may write what is made; repeatable."
)
@click.option("--keep-timestamps", is_flag=True, help="Keep even timestamps that readers may have passed.")
@settings_options
@reported
def import_(
    paths: tuple[Path, ...],
    bucket: str | None,
    collection: str | None,
    readers: tuple[str, ...],
    writers: tuple[str, ...],
    keep_timestamps: bool,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Import collections from PATHS: JSON or NDJSON files, or directories of them.

    The file main/regions.json becomes collection `regions` of bucket `main`. Ids, timestamps and tombstones
    are kept, each collection is one transaction, and a second run imports what is missing.
    """
    settings = resolve(config, kinto_ini, data)
    permissions = {"read": list(readers), "write": list(writers)}
    grants = {name: principals for name, principals in permissions.items() if principals}
    try:
        sources = [source for path in paths for source in find_sources(path, bucket, collection)]
        asyncio.run(_import(settings, sources, grants, keep_timestamps))
    except BadFile as error:
        fail(Exit.FAILED, str(error))


async def _import(
    settings: Settings, sources: list[Source], grants: dict[str, list[str]], keep_timestamps: bool
) -> None:
    from kintoun.storage import open_store

    store = await open_store(settings.storage)
    try:
        await store.migrate()
        with Bars() as bars:
            for source in sources:
                content = read(source.file)
                progress = bars.add(str(source), len(content.records))
                outcome = await store.write(Load(source, content, grants, keep_timestamps, progress))
                bars.say(f"{source}: {_summary(outcome)}")
    finally:
        await store.close()


def _summary(outcome: Outcome) -> str:
    parts = [f"{outcome.written} imported"]
    if outcome.unchanged:
        parts.append(f"{outcome.unchanged} there already")
    if outcome.restamped:
        parts.append(f"{outcome.restamped} with a new timestamp")
    return ", ".join(parts)
