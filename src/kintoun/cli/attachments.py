"""`kintoun attachments`: adopt."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.files import BackendFailed, files_at
from kintoun.files.adopting import Adopted, adopt
from kintoun.operations import open_patiently
from kintoun.settings import Settings

LISTED = 20
"""Locations that are named; the others are counted."""


@click.group()
def attachments() -> None:
    """Files that are attached to records."""


@attachments.command("adopt")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@settings_options
@reported
def adopt_(folder: Path, config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Take over the files of a kinto-attachment, which are in FOLDER; the records are here already.

    Files in the folder of the setting `store` stay where they are, those in another one are copied. It can be
    done while servers go on, and again. The exit code is 1 when a record names a file that is not there, or
    is not what the record says.
    """
    settings = resolve(config, kinto_ini, data)
    if "attachments" not in settings.features:
        fail(Exit.CONFIGURATION, "the feature `attachments` is not switched on")
    try:
        done = asyncio.run(_adopt(settings, folder))
    except BackendFailed as error:
        fail(Exit.STORAGE, f"the store of files is not available: {error}")
    click.echo(f"{done.files} files were taken over, {done.bytes:,} bytes; {done.known} were known.")
    for what, locations in (("is not there", done.missing), ("is not what its record says", done.different)):
        for location in locations[:LISTED]:
            click.secho(f"{location} {what}", err=True, fg="red")
        if len(locations) > LISTED:
            click.secho(f"… and {len(locations) - LISTED} more", err=True, fg="red")
    if done.missing or done.different:
        raise click.exceptions.Exit(Exit.FAILED)


async def _adopt(settings: Settings, folder: Path) -> Adopted:
    store = await open_patiently(settings.storage)
    try:
        files = files_at(store, settings, settings.sections["attachments"])
        return await adopt(files, folder, lambda _: None)
    finally:
        await store.close()
