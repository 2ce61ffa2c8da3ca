"""Leases: background work that one worker of all does at a time.

A row says who holds a lease and until when. Its holder renews it; when the holder is gone, even by `kill -9`,
it runs out and another worker takes it. The time is the database's, so that the clocks of several machines
need not agree. Work under a lease must do no harm when two do it: a worker that was suspended learns only
afterwards that it had lost its lease.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from kintoun.storage import Store
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Transaction
from kintoun.storage.rows import Conflict, Unavailable

log = structlog.get_logger()

_NOW = {
    Dialect.SQLITE: "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    Dialect.POSTGRESQL: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}


def holder_of_this_process() -> str:
    """A name that tells an operator which process holds a lease, and that no other process has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Lease:
    """The lease of one name, as one worker wants it for `seconds` at a time."""

    def __init__(self, store: Store, name: str, holder: str, seconds: float) -> None:
        self.name = name
        self.holder = holder
        self.seconds = seconds
        self._store = store
        now = _NOW[store.engine.dialect]
        self._held = f"SELECT 1 FROM lease WHERE name = $1 AND holder <> $2 AND expires > {now}"
        self._take = (
            f"INSERT INTO lease (name, holder, expires) VALUES ($1, $2, {now} + $3) ON CONFLICT (name)"
            " DO UPDATE SET holder = excluded.holder, expires = excluded.expires"
            f" WHERE lease.holder = excluded.holder OR lease.expires <= {now} RETURNING 1"
        )

    async def acquire(self) -> bool:
        """Take the lease, or renew it; False when somebody else holds it."""
        if await self._store.fetch(self._held, (self.name, self.holder)):
            return False  # seen without waiting for anybody's lock

        async def take(transaction: Transaction) -> bool:
            milliseconds = int(self.seconds * 1000)
            return bool(await transaction.fetch(self._take, (self.name, self.holder, milliseconds)))

        return await self._store.transact(take)

    async def release(self) -> None:
        """Let another worker have it at once."""

        async def give(transaction: Transaction) -> None:
            await transaction.fetch(
                "DELETE FROM lease WHERE name = $1 AND holder = $2", (self.name, self.holder)
            )

        await self._store.transact(give)

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, and work until the work ends or the lease is lost.

        Raises what the work raises, and `Unavailable` when the lease could not be asked for.
        """
        while True:
            if await self.acquire():
                break
            await asyncio.sleep(self.seconds / 3)
        task = asyncio.ensure_future(work())
        try:
            await self._keep(task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with suppress(Unavailable, Conflict):
                await self.release()
        if not task.cancelled():
            task.result()

    async def _keep(self, task: asyncio.Future[None]) -> None:
        """Renew until the task is done, or the lease may have passed to somebody else."""
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            await asyncio.wait((task,), timeout=self.seconds / 3)
            if task.done():
                return
            asked = time.monotonic()
            try:
                async with asyncio.timeout(max(until - asked, 0)):
                    if not await self.acquire():
                        break
            except (Unavailable, Conflict, TimeoutError) as error:
                log.warning("a lease could not be renewed", lease=self.name, error=str(error))
            else:
                until = asked + self.seconds
        log.warning("a lease was lost", lease=self.name)
