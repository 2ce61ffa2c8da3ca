"""`kintoun trash`: who deleted what."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from kintoun.cli.exits import reported
from kintoun.cli.options import resolve, settings_options
from kintoun.settings import Settings
from kintoun.storage import open_store


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, help="How many deletions are shown.")
@settings_options
@reported
def trash(limit: int, config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Tell who deleted which records, the last ones first."""
    for uri, who, timestamp in asyncio.run(_read(resolve(config, kinto_ini, data), limit)):
        click.echo(f"{timestamp}  {who or 'anonymous'}  {uri}")


async def _read(settings: Settings, limit: int) -> list[Any]:
    store = await open_store(settings.storage)
    try:
        return await store.fetch("SELECT uri, who, ts FROM trash_log ORDER BY ts DESC LIMIT $1", (limit,))
    finally:
        await store.close()
