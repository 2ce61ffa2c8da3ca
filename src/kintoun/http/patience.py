"""How long the bodies of requests may take to arrive: one timer for all that are awaited.

A timer of its own for each would cost more than the rest of reading it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

LOOKS = 20
"""How often the waiting are looked at in the time that they have: none is longer by more than that part."""


class Patience:
    """Waits for what arrives, each time for so many seconds at most."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, arriving: Awaitable[T]) -> T:
        """What arrives. Raises TimeoutError when it takes too long."""
        task = asyncio.current_task()
        assert task is not None, "requests are served in tasks"
        loop = task.get_loop()
        self._waiting[task] = loop.time() + self._seconds
        if self._timer is None:
            self._look_later(loop)
        try:
            return await arriving
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            if task.uncancel():
                raise  # somebody else wants it to end as well
            raise TimeoutError from None
        finally:
            del self._waiting[task]
            self._overdue.discard(task)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._seconds / LOOKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for task, deadline in self._waiting.items():
            if deadline <= now and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        if self._waiting:
            self._look_later(loop)
