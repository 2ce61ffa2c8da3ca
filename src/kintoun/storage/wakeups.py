"""Which lists moved, told to whoever waits for it, in every process of every server.

A wake-up is a hint: what changed is read from the database afterwards. One that is lost is made up for by a
look at the clocks, so it delays and never loses. Commits of this process are told before their answers leave.
Those of others come by PostgreSQL's NOTIFY (`storage.listening`); of a SQLite file it is asked, many times a
second, whether anybody has written to it. Nothing of this happens while nobody subscribes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import NamedTuple, Protocol

import structlog

from kintoun.model import json
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Engine
from kintoun.storage.rows import Clock, Unavailable

log = structlog.get_logger()

Hear = Callable[[Collection[str] | None], None]
"""Called in the event loop with the paths of lists whose clocks moved; None: any list's may have."""

Watched = Callable[[], Collection[str]]

_CLOCKS = "SELECT path, list, ts, version, watermark FROM clock WHERE path "
_AMONG = {
    Dialect.SQLITE: "IN (SELECT value FROM json_each($1))",
    Dialect.POSTGRESQL: "= ANY($1::text[])",
}

State = tuple[int | None, int, int, int]
"""A clock, as far as readers of its list can tell: its number, timestamp, version and watermark."""


class Subscription(NamedTuple):
    """Somebody who waits. `watched` are the lists that are looked after when hints may have been lost."""

    hear: Hear
    watched: Watched | None


class Hints(Protocol):
    """How processes learn of one another's commits."""

    async def run(self, wakeups: Wakeups) -> None:
        """Tell of the others' commits until cancelled."""
        ...

    def announce(self, paths: Iterable[str]) -> None:
        """Tell the others of this process's own."""
        ...

    async def finish(self) -> None:
        """Wait until they are told."""
        ...


class Wakeups:
    """The wake-ups of one process."""

    def __init__(self, engine: Engine, hints: Hints) -> None:
        self._engine = engine
        self._hints = hints
        self._subscriptions: list[Subscription] = []
        self._seen: dict[str, State] = {}
        self._open = False
        self._task: asyncio.Task[None] | None = None
        self.lost = 0
        """How many times wake-ups may have been lost, so that everything was looked at."""

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for anything just now."""
        return any(each.watched is None or each.watched() for each in self._subscriptions)

    @property
    def used(self) -> bool:
        """Whether anybody is to be told of commits."""
        return bool(self._subscriptions)

    def subscribe(self, hear: Hear, watched: Watched | None = None) -> Callable[[], None]:
        """Tell `hear` of every list that moves; returns what ends that.

        `watched` names the lists in which the subscriber is interested just now: when wake-ups may have been
        lost their clocks are compared. A subscriber without it is told None then.
        """
        subscription = Subscription(hear, watched)
        self._subscriptions.append(subscription)
        self._start()

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._subscriptions.remove(subscription)

        return unsubscribe

    def open(self) -> None:
        """Begin to listen; the store is open."""
        self._open = True
        self._start()

    async def close(self) -> None:
        """Listen no more. All writes are finished."""
        self._open = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._hints.finish()

    def _start(self) -> None:
        if self._open and self._subscriptions and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._hints.run(self))

    # What is told

    def committed(self, clocks: Iterable[Clock]) -> None:
        """A transaction of this process has moved these clocks."""
        paths = []
        for clock in clocks:
            path = str(clock.path)
            paths.append(path)
            if path in self._seen:
                self._seen[path] = (clock.list, clock.timestamp, clock.version, clock.watermark)
        if paths:
            self.tell(paths)
            self._hints.announce(paths)

    def tell(self, paths: Collection[str] | None) -> None:
        """Tell every subscriber."""
        for subscription in tuple(self._subscriptions):
            _call(subscription.hear, paths)

    async def doubt(self) -> None:
        """Wake-ups may have been lost: look at what is watched, and tell the others that anything may be."""
        self.lost += 1
        for subscription in tuple(self._subscriptions):
            if subscription.watched is None:
                _call(subscription.hear, None)
        await self.look()

    async def look(self) -> None:
        """Compare the clocks of the watched lists with what they were. Raises `Unavailable`."""
        moved = await self._moved()
        if not moved:
            return
        for subscription in tuple(self._subscriptions):
            if subscription.watched is not None:
                paths = moved.intersection(subscription.watched())
                if paths:
                    _call(subscription.hear, paths)

    async def _moved(self) -> set[str]:
        watched: set[str] = set()
        for subscription in self._subscriptions:
            if subscription.watched is not None:
                watched.update(subscription.watched())
        for path in [path for path in self._seen if path not in watched]:
            del self._seen[path]
        if not watched:
            return set()
        states = await self._states(watched)
        moved = set()
        for path in watched:
            state = states.get(path, _NEVER)
            if self._seen.get(path) != state:
                self._seen[path] = state
                moved.add(path)
        return moved

    async def _states(self, paths: Collection[str]) -> dict[str, State]:
        dialect = self._engine.dialect
        listed = sorted(paths)
        value = listed if dialect is Dialect.POSTGRESQL else json.encode_text(listed)
        rows = await self._engine.fetch(_CLOCKS + _AMONG[dialect], (value,))
        return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


_NEVER: State = (None, 0, 0, 0)


class FileHints:
    """SQLite: every process asks the file whether it was written to."""

    PAUSE_SECONDS = 0.05

    def __init__(self, engine: FileEngine) -> None:
        self._engine = engine

    async def run(self, wakeups: Wakeups) -> None:
        last = None
        while True:
            with suppress(Unavailable):  # whoever needs the database is told by it
                if wakeups.wanted and (version := self._engine.version()) != last:
                    last = version
                    await wakeups.doubt()
            await asyncio.sleep(self.PAUSE_SECONDS)

    def announce(self, paths: Iterable[str]) -> None:
        """The file tells."""

    async def finish(self) -> None:
        """Nothing is under way."""


class FileEngine(Protocol):
    """An engine that knows whether its file was written to."""

    def version(self) -> int:
        """Changes whenever another connection, of this process or of another, has committed."""
        ...


def _call(hear: Hear, paths: Collection[str] | None) -> None:
    try:
        hear(paths)
    except Exception:
        log.exception("a subscriber of wake-ups failed", hook=getattr(hear, "__qualname__", repr(hear)))
