"""Something that is fetched, kept for a while, and asked for by many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from kintoun.features.openid.wire import Unavailable

T = TypeVar("T")

PAUSE_SECONDS = 2.0
"""How long nobody tries again after a failure."""


class Remembered(Generic[T]):
    """A value and how to fetch it. However many ask, one fetch is under way.

    A value that is too old is kept as long as no newer one can be had. `fetch` raises Unavailable.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]], ttl: float, pause: float) -> None:
        self._fetch = fetch
        self._ttl = ttl
        self._pause = pause
        self.value: T | None = None
        self._fetched = self._tried = float("-inf")
        self._failure: Unavailable | None = None
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The value, fetched when there is none or it is too old; raises Unavailable when there is none."""
        if self.value is not None and time.monotonic() < self._fetched + self._ttl:
            return self.value
        if self._failure is None or time.monotonic() >= self._tried + PAUSE_SECONDS:
            try:
                return await self._fetched_now()
            except Unavailable:
                if self.value is None:
                    raise
        if self.value is None:
            assert self._failure is not None, "nothing is remembered but the failure"
            raise Unavailable(*self._failure.args)
        return self.value

    async def renewed(self) -> T:
        """The value, fetched again unless that was done less than `pause` seconds ago."""
        if self._task is None and time.monotonic() < self._tried + self._pause:
            return await self.get()
        try:
            return await self._fetched_now()
        except Unavailable:
            return await self.get()

    async def _fetched_now(self) -> T:
        if self._task is None:
            self._task = asyncio.ensure_future(self._attempt())
            self._task.add_done_callback(self._ended)
        # Whoever waits and goes away leaves the fetch to the others.
        return await asyncio.shield(self._task)

    async def _attempt(self) -> T:
        self._tried = time.monotonic()
        try:
            value = await self._fetch()
        except Unavailable as error:
            self._failure = error
            raise
        self._failure = None
        self._fetched = time.monotonic()
        self.value = value
        return value

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # those who waited have seen it
