"""Group commit: writes that wait for the same lock share one transaction and one commit.

A write is a `Job`. While one group of a lane commits, the next gathers behind it; so the more writers there
are, the less each pays for the commit, and every answer still leaves after the data is on disk.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from kintoun.storage.engine import Engine, Transaction
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Conflict, Unavailable
from kintoun.storage.unit import Unit
from kintoun.storage.wakeups import Wakeups

T = TypeVar("T")

Closing = Callable[[Unit], Awaitable[None]]

ATTEMPTS = 12
"""How often a transaction is run when the engine reports conflicts."""


class Job(Protocol):
    """A write: what it needs, and what it does.

    It may be run more than once, and must act on nothing but the unit.
    """

    @property
    def needs(self) -> Needs:
        """What the write will touch, as far as it is known before it runs."""
        ...

    async def run(self, unit: Unit) -> Any:
        """Write, and return what whoever asked for the write is given once it is committed."""
        ...


class _Waiting:
    __slots__ = ("done", "error", "job", "result")

    def __init__(self, job: Job, done: asyncio.Future[Any]) -> None:
        self.job = job
        self.done = done
        self.result: Any = None
        self.error: Exception | None = None

    def settle(self) -> None:
        """Give the outcome to whoever waits for it."""
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Lanes:
    """The queues of an engine's writes."""

    def __init__(self, engine: Engine, group: int) -> None:
        self.closing: list[Closing] = []
        """Called for each unit after all of its writes and before they are sent; an exception undoes them,
        and if they were several jobs' each runs again by itself."""
        self._engine = engine
        self._group = group
        self._queues: dict[str, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watcher: Callable[[int, float], None] | None = None
        self.wakeups: Wakeups | None = None

    def watch(self, hook: Callable[[int, float], None]) -> None:
        """Call `hook(size, seconds)` with each group that was committed."""
        self._watcher = hook

    async def write(self, job: Job) -> Any:
        """Run a job, together with others perhaps, and return its result once it is committed.

        An exception of the job is raised here, its own writes undone. Raises `Unavailable` when the database
        cannot be written, `Conflict` when it went on refusing.
        """
        waiting = _Waiting(job, asyncio.get_running_loop().create_future())
        lane = self._engine.lane(job.needs.lists)
        if lane is None:
            self._start(self._run([waiting]))
        elif lane in self._queues:
            self._queues[lane].append(waiting)
        else:
            self._queues[lane] = deque((waiting,))
            self._start(self._drain(lane))
        return await waiting.done

    async def transact(self, action: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run an action in a transaction of its own and return its result once it is committed.

        It may be run more than once. An exception of the action undoes it. When whoever waits is cancelled,
        it is finished nevertheless. Raises as `write` does.
        """
        return await asyncio.shield(self._start(_repeated(lambda: self._alone(action))))

    async def _alone(self, action: Callable[[Transaction], Awaitable[T]]) -> T:
        transaction = await self._engine.begin()
        try:
            result = await action(transaction)
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        return result

    async def finish(self) -> None:
        """Wait for the writes that are under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _drain(self, lane: str) -> None:
        queue = self._queues[lane]
        while queue:
            # Requests that have arrived but were not looked at yet can still join.
            await asyncio.sleep(0)
            group = [queue.popleft() for _ in range(min(len(queue), self._group))]
            await self._run(group)
        del self._queues[lane]

    async def _run(self, group: Sequence[_Waiting]) -> None:
        try:
            await _repeated(lambda: self._attempt(group))
        except Exception as error:
            if len(group) > 1 and not isinstance(error, (Conflict, Unavailable)):
                # One job made the others fail: by itself each of them gets its own outcome. Not after a
                # failed commit, which is `Unavailable`: what became of it nobody knows.
                for waiting in group:
                    await self._run([waiting])
                return
            for waiting in group:
                waiting.fail(error)
        except BaseException as error:
            for waiting in group:
                waiting.fail(error)
            raise
        else:
            for waiting in group:
                waiting.settle()

    async def _attempt(self, group: Sequence[_Waiting]) -> None:
        began = time.perf_counter()
        transaction = await self._engine.begin()
        try:
            unit = Unit(transaction)
            await unit.prepare([waiting.job.needs for waiting in group])
            for waiting in group:
                await _outcome(waiting, unit)
            for close in self.closing:
                await close(unit)
            await unit.finish()
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        if self.wakeups is not None and self.wakeups.used:
            self.wakeups.committed(clock for _, clock in unit.clocks_changed())
        if self._watcher is not None:
            self._watcher(len(group), time.perf_counter() - began)


async def _repeated(attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of an attempt, made again when it met a conflict."""
    for number in range(1, ATTEMPTS):
        try:
            return await attempt()
        except Conflict:
            await asyncio.sleep(random.uniform(0, 0.005 * 2 ** min(number, 6)))
    return await attempt()


async def _outcome(waiting: _Waiting, unit: Unit) -> None:
    mark = unit.mark()
    waiting.result = waiting.error = None
    try:
        waiting.result = await waiting.job.run(unit)
    except Conflict:
        raise
    except Exception as error:
        unit.rollback(mark)
        waiting.error = error
