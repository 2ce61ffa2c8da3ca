"""`kintoun export`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, cast

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.progress import Bars
from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath
from kintoun.settings import Settings
from kintoun.storage import Store, open_store
from kintoun.transfer.dumping import Form, Missing, collections, dump


@click.command()
@click.argument("names", nargs=-1, metavar="[BUCKET | BUCKET/COLLECTION]...")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="File for one collection, or directory for several; default: the terminal.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "ndjson"]),
    default="json",
    show_default=True,
    help="Form of the files.",
)
@settings_options
@reported
def export(
    names: tuple[str, ...],
    output: Path | None,
    form: str,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Export collections with their ids, timestamps and tombstones: those named, or all.

    Collection `regions` of bucket `main` becomes main/regions.json in the output directory, which `kintoun
    import` reads.
    """
    settings = resolve(config, kinto_ini, data)
    one = len(names) == 1 and "/" in names[0]
    if output is None and not one:
        fail(Exit.USAGE, "several collections need a directory: give one with --output")
    try:
        asyncio.run(_export(settings, names, output, cast("Form", form), one))
    except Missing as error:
        fail(Exit.FAILED, str(error))


async def _export(
    settings: Settings, names: tuple[str, ...], output: Path | None, form: Form, one: bool
) -> None:
    store = await open_store(settings.storage)
    try:
        with Bars() as bars:
            for bucket, collection in await _chosen(store, names):
                file = output if one or output is None else output / bucket / f"{collection}.{form}"
                path = ListPath(RECORD, (bucket, collection))
                count = await _one(store, path, file, form, bars)
                bars.say(f"{bucket}/{collection}: {count} exported")
    finally:
        await store.close()


async def _chosen(store: Store, names: tuple[str, ...]) -> list[tuple[str, str]]:
    if not names:
        return await collections(store, None)
    chosen: list[tuple[str, str]] = []
    for name in names:
        bucket, separator, collection = name.partition("/")
        chosen += [(bucket, collection)] if separator else await collections(store, bucket)
    return list(dict.fromkeys(chosen))


async def _one(store: Store, path: ListPath, file: Path | None, form: Form, bars: Bars) -> int:
    """Write to a file beside the wanted one, which takes its place when it is complete."""
    progress = bars.add("/".join(path.parents), None)
    if file is None:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as buffer:
            count = await dump(store, path, buffer, form, progress)
            buffer.seek(0)
            shutil.copyfileobj(buffer, cast("IO[str]", sys.stdout))
        return count
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    with partial.open("w", encoding="utf-8") as buffer:
        count = await dump(store, path, buffer, form, progress)
    partial.replace(file)
    return count
