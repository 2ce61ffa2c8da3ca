"""Background work: started with the server, and run again for as long as it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from kintoun.measures import Counter
from kintoun.storage import Store
from kintoun.storage.leases import Lease, holder_of_this_process
from kintoun.storage.rows import Conflict, Unavailable

log = structlog.get_logger()

PAUSE_SECONDS = 10.0
"""How long work that ended waits before it is run again."""

Job = Callable[[], Awaitable[None]]


class Background:
    """The background work of one process."""

    def __init__(self, store: Store, failures: Counter) -> None:
        self._store = store
        self._failures = failures
        self._jobs: list[tuple[Job, str | None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, job: Job, lease: str | None) -> None:
        """Have a job run; with the name of a lease, in the one worker of all that holds it."""
        self._jobs.append((job, lease))

    def start(self) -> None:
        """Run all jobs. The store is open."""
        holder = holder_of_this_process()
        for job, name in self._jobs:
            if name is not None:
                lease = Lease(self._store, name, holder, self._store.settings.lease_seconds)
                job = partial(lease.lead, partial(self._go_on, job))
            self._tasks.append(asyncio.ensure_future(self._go_on(job)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _go_on(self, job: Job) -> None:
        """Run a job, and again after a while when it ends or fails."""
        while True:
            try:
                await job()
            except (Unavailable, Conflict) as error:
                self._failures.add()
                log.warning("background work waits for the storage", error=str(error))
            except Exception:
                self._failures.add()
                log.exception("background work failed")
            await asyncio.sleep(PAUSE_SECONDS)
