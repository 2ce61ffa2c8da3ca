"""`kintoun outbox`: list, retry, drop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.outbox import letters
from kintoun.outbox.letters import Letter
from kintoun.settings import Settings
from kintoun.storage import Store, open_store

Result = TypeVar("Result")

channel_option = click.option(
    "--channel", help="Only messages of this channel: that of `webhooks`, `emailer`, `slack`, or another."
)


@click.group()
def outbox() -> None:
    """Look at messages that could not be delivered, and decide what becomes of them."""


@outbox.command("list")
@channel_option
@click.option("--waiting", is_flag=True, help="Those that wait to be delivered, in place of dead letters.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@settings_options
@reported
def list_(
    channel: str | None,
    waiting: bool,
    as_json: bool,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """List dead letters, oldest first: id, when it was written, channel, target, attempts, last error."""
    found = _run(
        resolve(config, kinto_ini, data),
        lambda store: letters.letters(store, waiting=waiting, channel=channel),
    )
    for letter in found:
        click.echo(json.dumps(letter._asdict()) if as_json else _line(letter))
    if not found and not as_json:
        click.echo("No message waits." if waiting else "There are no dead letters.")


@outbox.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All dead letters.")
@channel_option
@settings_options
@reported
def retry(
    ids: tuple[str, ...],
    every: bool,
    channel: str | None,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Have the dead letters IDS delivered again, as if they were new. A running server takes them up."""
    settings = resolve(config, kinto_ini, data)
    _decide(settings, ids, every, channel, letters.retry, "to be delivered again")


@outbox.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All dead letters.")
@channel_option
@settings_options
@reported
def drop(
    ids: tuple[str, ...],
    every: bool,
    channel: str | None,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Delete the dead letters IDS for good."""
    _decide(resolve(config, kinto_ini, data), ids, every, channel, letters.drop, "dropped")


def _decide(
    settings: Settings,
    ids: Sequence[str],
    every: bool,
    channel: str | None,
    decision: Callable[[Store, Sequence[str]], Awaitable[int]],
    done: str,
) -> None:
    if bool(ids) == every or (channel is not None and not every):
        fail(Exit.USAGE, "name the ids of dead letters, or --all, with --channel perhaps")

    async def act(store: Store) -> tuple[int, int]:
        chosen = ids
        if every:
            found = await letters.letters(store, waiting=False, channel=channel)
            chosen = [letter.id for letter in found]
        return len(chosen), await decision(store, chosen)

    wanted, count = _run(settings, act)
    click.echo(f"{count} {done}.")
    if count < wanted:
        fail(Exit.FAILED, f"{wanted - count} of {wanted} are no dead letters")


def _line(letter: Letter) -> str:
    written = datetime.fromtimestamp(letter.created / 1000, UTC).isoformat(timespec="seconds")
    return (
        f"{letter.id}  {written}  {letter.channel}  {letter.target or '-'}"
        f"  {letter.attempts} attempts  {letter.error or '-'}"
    )


def _run(settings: Settings, action: Callable[[Store], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        store = await open_store(settings.storage)
        try:
            await store.migrate()
            return await action(store)
        finally:
            await store.close()

    return asyncio.run(run())
