"""The outbox of one channel: adding messages in a transaction, and delivering them in the background."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import structlog

from kintoun.model import json, timestamps
from kintoun.model.changes import Change
from kintoun.model.paths import Path
from kintoun.outbox.measuring import OutboxMeasures
from kintoun.outbox.settings import Delivery
from kintoun.plugin import Registry
from kintoun.resources.context import Work
from kintoun.storage import Store
from kintoun.storage.engine import Transaction
from kintoun.storage.tables import Table

log = structlog.get_logger()

TABLE = Table(
    "outbox",
    (
        ("id", "text"),
        ("channel", "text"),
        ("target", "text"),
        ("place", "text"),
        ("payload", "text"),
        ("created", "int"),
        ("due", "int"),
        ("attempts", "int"),
        ("error", "text"),
    ),
)
COLUMNS = ", ".join(name for name, _ in TABLE.columns)

POLL_SECONDS = 1.0
"""How long a message waits that another worker has written."""

TARGETS_AT_ONCE = 8
MESSAGES_AT_ONCE = 20
"""Messages of one target that are read, and forgotten when they were delivered, in one step."""

STEPS_AT_ONCE = 10
"""Steps after which a target makes room for others."""

GRACE_SECONDS = 3.0
"""How long messages that are under way may go on when the server stops."""

LONGEST_ERROR = 500
SWEEP_SECONDS = 3600.0
DAY = 86_400_000

# The targets by jumps through the index, and when the first message of each is due.
_TARGETS = (
    "WITH RECURSIVE t (target) AS (SELECT min(f.target) FROM outbox f WHERE f.channel = $1"
    " UNION ALL SELECT (SELECT min(n.target) FROM outbox n WHERE n.channel = $1 AND n.target > t.target)"
    " FROM t WHERE t.target IS NOT NULL)"
    " SELECT t.target, (SELECT o.due FROM outbox o WHERE o.channel = $1 AND o.target = t.target"
    " ORDER BY o.place LIMIT 1) FROM t WHERE t.target IS NOT NULL"
)
_FIRST = (
    "SELECT id, target, payload, created, due, attempts FROM outbox WHERE channel = $1 AND target = $2"
    " ORDER BY place LIMIT $3"
)
_FORGET = "DELETE FROM outbox WHERE id = $1"
_RETRY = "UPDATE outbox SET payload = $2, due = $3, attempts = $4, error = $5 WHERE id = $1"
_BURY = (
    f"INSERT INTO outbox_dead ({COLUMNS}, died)"
    f" SELECT {COLUMNS}, CAST($2 AS BIGINT) FROM outbox WHERE id = $1"
)
_SWEEP = "DELETE FROM outbox_dead WHERE channel = $1 AND died < $2"

_numbers = itertools.count()


class Message(NamedTuple):
    """One message: `created` and the attempts before this one tell its age (milliseconds)."""

    id: str
    target: str
    payload: Mapping[str, Any]
    created: int
    attempts: int


class Failed(Exception):
    """A message was not received.

    A `final` failure is not tried again. `wait` is how many seconds the receiver asks for; `payload` stands
    in place of the message's own from now on, when a part of it was received.
    """

    def __init__(
        self,
        reason: str,
        *,
        final: bool = False,
        wait: float = 0.0,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(reason)
        self.final = final
        self.wait = wait
        self.payload = payload


Send = Callable[[Message], Awaitable[None]]
"""Gives a message to its receiver, within a time limit of its own. Raises Failed."""


async def _nothing() -> None:
    pass


class Outbox:
    """The messages of one channel.

    `immediate` delivers before the request is answered, which is for trying things out; what is left over is
    delivered in the background all the same. `close` is called when this worker stops delivering.
    """

    def __init__(
        self,
        channel: str,
        send: Send,
        settings: Delivery,
        *,
        immediate: bool = False,
        close: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self.channel = channel
        self._send = send
        self._settings = settings
        self._immediate = immediate
        self._close = close
        self._awake = asyncio.Event()
        self._added = False
        self._turn = asyncio.Lock()
        self._stopping = False
        self._store: Store | None = None
        self._measures: OutboxMeasures | None = None

    def join(self, registry: Registry) -> None:
        """Take part in the server: deliver in one worker of all."""
        self._store = registry.service.store
        self._measures = OutboxMeasures(self.channel, registry.service.measures, self._store)
        registry.after_commit(self._committed)
        work = self.deliver_now if self._immediate else self.deliver
        registry.background(work, lease=f"outbox.{self.channel}")

    @property
    def store(self) -> Store:
        assert self._store is not None, "the outbox has joined a server"
        return self._store

    # Adding

    async def add(self, work: Work, path: Path, target: str, payload: Mapping[str, Any]) -> None:
        """Add a message in a transaction, about the object at `path`, whose list it has locked.

        Messages of one list reach a target in the order of the writes.
        """
        clock = await work.unit.standing(path.list)
        # Both numbers grow with the list's writes, the first also across lists as time goes on.
        place = f"{clock.timestamp:016d}.{clock.version:016d}.{next(_numbers):012d}"
        text = json.encode(payload).decode()
        row = (secrets.token_hex(16), self.channel, target, place, text, timestamps.now(), 0, 0, "")
        work.unit.add(TABLE, row)
        self._added = True

    async def _committed(self, _changes: Sequence[Change]) -> None:
        if not self._added:
            return
        self._added = False
        if self._immediate:
            await self.deliver_now()
        else:
            self._awake.set()

    # Delivering

    async def deliver(self) -> None:
        """Deliver what there is, and go on."""
        running: dict[str, asyncio.Task[None]] = {}
        swept = 0.0
        self._stopping = False
        try:
            while True:
                self._awake.clear()
                now = timestamps.now()
                targets = await self.store.fetch(_TARGETS, (self.channel,))
                random.shuffle(targets)  # no target is always the first
                for target, due in targets:
                    if due <= now and target not in running and len(running) < TARGETS_AT_ONCE:
                        running[target] = asyncio.create_task(self._drain(target))
                        running[target].add_done_callback(lambda _: self._awake.set())
                if now - swept > SWEEP_SECONDS * 1000:
                    swept = now
                    await self._sweep(now)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._awake.wait()
                for target in [target for target, task in running.items() if task.done()]:
                    running.pop(target).result()
        finally:
            await self._stop(list(running.values()))

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Let the messages arrive that are under way, so that they need not be sent twice."""
        self._stopping = True
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._close()

    async def deliver_now(self) -> None:
        """Deliver what is due, and return."""
        async with self._turn:
            now = timestamps.now()
            targets = await self.store.fetch(_TARGETS, (self.channel,))
            await asyncio.gather(*(self._drain(target) for target, due in targets if due <= now))

    async def _drain(self, target: str) -> None:
        """Send the messages of a target, until there are none, or one has to wait, or others want a turn."""
        for _ in range(STEPS_AT_ONCE):
            rows = await self.store.fetch(_FIRST, (self.channel, target, MESSAGES_AT_ONCE))
            if not rows:
                return
            delivered: list[str] = []
            try:
                for row in rows:
                    message = Message(row[0], row[1], json.decode(row[2].encode()), row[3], row[5])
                    if self._stopping or row[4] > timestamps.now() or not await self._delivered(message):
                        return
                    delivered.append(message.id)
            finally:
                if delivered:
                    await self._forget(delivered)

    async def _delivered(self, message: Message) -> bool:
        """Send a message; False when it has to wait. One that is given up is as good as delivered."""
        try:
            await self._send(message)
        except Failed as failure:
            return await self._failed(message, failure)
        except Exception as error:
            log.exception("sending a message failed", channel=self.channel, message=message.id)
            return await self._failed(message, Failed(f"{type(error).__name__}: {error}"))
        if self._measures is not None:
            self._measures.delivered()
        return True

    async def _failed(self, message: Message, failure: Failed) -> bool:
        """Note a failure; whether the message is given up."""
        if self._measures is not None:
            self._measures.failed()
        attempts = message.attempts + 1
        dead = failure.final or attempts >= self._settings.attempts
        error = str(failure)[:LONGEST_ERROR]
        payload = json.encode(failure.payload if failure.payload is not None else message.payload).decode()
        now = timestamps.now()
        due = now + int(1000 * self._pause(attempts, failure.wait))

        async def note(transaction: Transaction) -> None:
            await transaction.fetch(_RETRY, (message.id, payload, due, attempts, error))
            if dead:
                await transaction.fetch(_BURY, (message.id, now))
                await transaction.fetch(_FORGET, (message.id,))

        await self.store.transact(note)
        told = {"channel": self.channel, "target": message.target, "message": message.id, "error": error}
        if dead:
            log.error("a message became a dead letter", **told)
        else:
            log.warning("a message was not delivered", attempt=attempts, **told)
        return dead

    def _pause(self, attempts: int, asked: float) -> float:
        """Seconds until the next attempt: doubling, never all at once, and not before the receiver asks."""
        longest = self._settings.longest_retry_seconds
        pause = min(self._settings.first_retry_seconds * 2.0 ** (attempts - 1), longest)
        return max(pause * random.uniform(0.5, 1.0), min(asked, longest))

    async def _forget(self, ids: Sequence[str]) -> None:
        async def forget(transaction: Transaction) -> None:
            await transaction.execute_many(_FORGET, [(each,) for each in ids])

        await self.store.transact(forget)

    async def _sweep(self, now: int) -> None:
        before = now - self._settings.dead_days * DAY

        async def sweep(transaction: Transaction) -> None:
            await transaction.fetch(_SWEEP, (self.channel, before))

        await self.store.transact(sweep)
