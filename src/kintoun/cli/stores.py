"""A command's way to the store, and how it shows what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from kintoun.config import migrations_of
from kintoun.settings import Settings
from kintoun.storage import Store, open_store

T = TypeVar("T")


def run(settings: Settings, action: Callable[[Store], Awaitable[T]]) -> T:
    """The result of an action on the store, which is brought to the present version first."""

    async def act() -> T:
        store = await open_store(settings.storage)
        try:
            await store.migrate(migrations_of(settings.features))
            return await action(store)
        finally:
            await store.close()

    return asyncio.run(act())


def moment(timestamp: int | None) -> str:
    """A timestamp (milliseconds) as an ISO date and time, `never` for None."""
    if timestamp is None:
        return "never"
    return datetime.fromtimestamp(timestamp / 1000, UTC).isoformat(timespec="seconds")
