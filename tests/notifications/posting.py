"""An application with one notifying feature on, and what its outbox holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from kintoun.outbox import Outbox
from kintoun.outbox.letters import Letter, letters
from kintoun.plugin import Plugin
from kintoun.settings import Section
from kintoun.storage import Store
from tests.notifications.receivers import PATIENCE_SECONDS
from tests.support.inprocess import App, opened, settings_for

QUICK = {"first_retry_seconds": 0.05, "longest_retry_seconds": 0.1, "timeout_seconds": 30.0}
"""Nothing in the tests depends on how long pauses are."""


class Posting:
    """The application, and the outbox of its feature."""

    def __init__(self, app: App, outbox: Outbox) -> None:
        self.app = app
        self.ok = app.ok
        self.call = app.call
        self.outbox = outbox

    @property
    def store(self) -> Store:
        return self.app.application.composition.service.store

    async def deliver(self, until: Callable[[], bool] | None = None) -> None:
        """Deliver what is due; again and again until something is so, for a minute at the most."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        await self.outbox.deliver_now()
        while until is not None and not until():
            assert time.monotonic() < deadline, await self.waiting() + await self.dead()
            await asyncio.sleep(0.02)
            await self.outbox.deliver_now()

    async def deliver_all(self) -> None:
        """Deliver until nothing waits."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while await self.waiting():
            assert time.monotonic() < deadline, await self.waiting()
            await self.outbox.deliver_now()
            await asyncio.sleep(0.02)

    async def waiting(self) -> list[Letter]:
        return await letters(self.store, waiting=True)

    async def dead(self) -> list[Letter]:
        return await letters(self.store, waiting=False)


@asynccontextmanager
async def posting(
    url: str, plugin: Any, section: Section, *more: Plugin, **changes: Any
) -> AsyncIterator[Posting]:
    """The application with a notifying feature, on an empty database with a bucket and a collection.

    `changes` replace whole tables of its settings.
    """
    settings = settings_for(url, sections={plugin.name: section}, **changes)
    async with opened(settings, plugin, *more) as app:
        await app.ok("PUT /buckets/b")
        await app.ok("PUT /buckets/b/collections/c")
        try:
            yield Posting(app, plugin.outbox)
        finally:
            await plugin.outbox._close()
