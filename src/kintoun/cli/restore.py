"""`kintoun restore`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli.backup import summary
from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.progress import Tables
from kintoun.config import migrations_of
from kintoun.operations import Refused


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace everything that is in the database.")
@click.option(
    "--keep-clocks", is_flag=True, help="Nothing was written after the backup: clients go on where they are."
)
@click.option("--check", "only_check", is_flag=True, help="Read FILE, and say whether it is whole.")
@settings_options
@reported
def restore(
    file: Path,
    force: bool,
    keep_clocks: bool,
    only_check: bool,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Restore FILE, which `kintoun backup` wrote, into a database that is empty. Stop the servers before.

    Unless --keep-clocks is given, clients that synced are told to start over: some may have seen what was
    written after the backup, and would keep it.
    """
    from kintoun.operations.backup import check
    from kintoun.operations.restore import restore as restored

    try:
        with Tables() as progress:
            if only_check:
                done = check(file, progress)
            else:
                settings = resolve(config, kinto_ini, data)
                steps = migrations_of(settings.features)
                done = asyncio.run(
                    restored(settings, steps, file, progress, force=force, keep_clocks=keep_clocks)
                )
    except Refused as error:
        fail(Exit.FAILED, str(error))
    for line in summary(done):
        click.echo(line)
    made = f"made {done.header.made} by version {done.header.version}"
    click.echo(f"{file}: whole, {made}." if only_check else f"Restored {file}, {made}.")
