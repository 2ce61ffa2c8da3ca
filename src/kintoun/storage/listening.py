"""Wake-ups between processes by PostgreSQL's NOTIFY.

Commits are announced after they are made, by a transaction of their own that waits for no disk: one that
notifies holds a lock of the whole database server while it commits, so if it waited for the disk, all writers
would wait in turn. What gathers while one announcement is under way goes with the next.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from kintoun.storage.postgresql import PostgreSQL
from kintoun.storage.rows import Conflict, Unavailable
from kintoun.storage.wakeups import Wakeups

log = structlog.get_logger()

CHANNEL = "kintoun"

_ANNOUNCE = (
    "SELECT set_config('synchronous_commit', 'off', true), pg_notify('kintoun', payload)"
    " FROM unnest($1::text[]) AS payload"
)

PAYLOAD_BYTES = 7900
"""Of a notification; PostgreSQL takes less than 8,000."""

PAYLOADS = 20
"""Of one announcement; more lists than fit into them are told as `any`."""

LOOK_SECONDS = 5.0
"""How often clocks are looked at though nobody told of them: a process may die before it announces."""

LOOK_DEAF_SECONDS = 0.5
"""How often while there is no listener."""

AGAIN_SECONDS, LONGEST_SECONDS = 0.1, 5.0
"""How long is waited before a lost listener is replaced, at first and when that failed often."""

ALIVE_SECONDS = 15.0
"""How often the listener is asked whether it is still there."""


class Listener:
    """Hears and announces commits. `url` leads past a pooler that shares sessions, if there is one."""

    def __init__(self, engine: PostgreSQL, url: str | None) -> None:
        self._engine = engine
        self._url = url
        self._name = secrets.token_hex(8)
        self._pending: set[str] = set()
        self._announcing: asyncio.Task[None] | None = None
        self._listening = False

    # Announcing

    def announce(self, paths: Iterable[str]) -> None:
        self._pending.update(paths)
        if self._announcing is None:
            self._announcing = asyncio.get_running_loop().create_task(self._announce())

    async def _announce(self) -> None:
        try:
            while self._pending:
                payloads = self._payloads()
                # A hint: without it they look at the clocks themselves.
                with suppress(Unavailable, Conflict, asyncpg.PostgresError):
                    await self._engine.fetch(_ANNOUNCE, (payloads,))
        finally:
            self._announcing = None

    def _payloads(self) -> list[str]:
        payloads = [self._name]
        for path in self._pending:
            if len(payloads[-1]) + len(path.encode()) >= PAYLOAD_BYTES:
                payloads.append(self._name)
            payloads[-1] += "\n" + path
        self._pending.clear()
        return payloads if len(payloads) <= PAYLOADS else [self._name]

    # Listening

    async def run(self, wakeups: Wakeups) -> None:
        """Listen until cancelled, and look at the clocks now and then, the more often while it is deaf."""
        looking = asyncio.ensure_future(self._look(wakeups))
        failures = 0
        try:
            while True:
                try:
                    await self._listen(wakeups)
                except Exception as error:
                    failures = 1 if self._listening else failures + 1
                    if failures == 1:
                        log.warning("no listener for wake-ups", error=str(error))
                finally:
                    self._listening = False
                await asyncio.sleep(min(AGAIN_SECONDS * 2**failures, LONGEST_SECONDS))
        finally:
            looking.cancel()

    async def finish(self) -> None:
        """Wait until what was committed is announced."""
        if self._announcing is not None:
            await self._announcing

    async def _listen(self, wakeups: Wakeups) -> None:
        raw = await self._engine.pool.connect(url=self._url)
        lost = asyncio.get_running_loop().create_future()

        def hear(_raw: Any, _process: int, _channel: str, payload: str) -> None:
            name, *paths = payload.split("\n")
            if name != self._name:
                wakeups.tell(paths or None)

        def end(_raw: Any) -> None:
            if not lost.done():
                lost.set_result(None)

        try:
            raw.add_termination_listener(end)
            await raw.add_listener(CHANNEL, hear)
            self._listening = True
            with suppress(Unavailable, Conflict):
                await wakeups.doubt()  # of what happened before
            while not lost.done():
                await raw.fetchval("SELECT 1")
                await asyncio.wait([lost], timeout=ALIVE_SECONDS)
            raise asyncpg.InterfaceError("its connection was closed")
        finally:
            raw.terminate()

    async def _look(self, wakeups: Wakeups) -> None:
        while True:
            listening = self._listening
            await asyncio.sleep(LOOK_SECONDS if listening else LOOK_DEAF_SECONDS)
            with suppress(Unavailable, Conflict):  # whoever needs the database is told
                await (wakeups.look() if listening and self._listening else wakeups.doubt())
