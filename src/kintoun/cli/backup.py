"""`kintoun backup`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.progress import Tables
from kintoun.operations import Refused
from kintoun.operations.backup import Backup, back_up, check


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE when it is there already.")
@click.option("--verify/--no-verify", default=True, help="Read the file again, and compare its digests.")
@settings_options
@reported
def backup(
    file: Path, force: bool, verify: bool, config: Path | None, kinto_ini: Path | None, data: Path | None
) -> None:
    """Back up the whole database into FILE, while servers go on reading and writing.

    The file holds one moment of the database, compressed, and can be restored into either engine.
    """
    settings = resolve(config, kinto_ini, data)
    try:
        with Tables() as progress:
            made = asyncio.run(back_up(settings, file, progress, overwrite=force))
            if verify:
                read = check(file, lambda _table, _rows: None)
                if read.tables != made.tables:
                    raise Refused(f"{file}: does not hold what was written")
    except Refused as error:
        fail(Exit.FAILED, str(error))
    for line in summary(made):
        click.echo(line)
    click.echo(f"{file}: {file.stat().st_size:,} bytes{', read again and found whole' if verify else ''}.")


def summary(backup: Backup) -> list[str]:
    """The tables with their rows and digests, and how long it took."""
    lines = [f"{name:<20}{table.rows:>12}  {table.digest}" for name, table in backup.tables.items()]
    seconds = max(backup.seconds, 1e-9)
    return [*lines, f"{backup.rows} rows in {seconds:.1f} s, {backup.rows / seconds:,.0f} per second."]
