"""Reads from streaming replicas: which replica may answer, and how far behind it is.

A replica shows the database as it was a moment ago. Each of its answers is one snapshot, and lists change on
it in the order in which they changed on the primary, so whoever asks with what it knows can be told the truth
by any replica that knows as much (see `resources.replicated`).

How far behind a replica is, is measured without trusting any clock but one's own: every second the position
in the primary's log is noted with the time at which it was asked for. A replica is as fresh as the latest of
these positions that it has replayed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from itertools import count
from urllib.parse import urlsplit

import asyncpg
import structlog
from msgspec.structs import replace

from kintoun.settings import Storage
from kintoun.storage.postgresql import PostgreSQL
from kintoun.storage.rows import Conflict, Found, Unavailable, Wanted

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
"""How long the watch rests between two looks."""

_POSITION = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
_REPLAYED = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint WHERE pg_is_in_recovery()"


class Replica:
    """One replica. `fresh` is the time (of the monotonic clock) since when it may lack what was committed."""

    def __init__(self, url: str, settings: Storage) -> None:
        # Who waits for a replica in vain can still ask the primary.
        patience = min(settings.timeout_seconds, settings.replica_lag_seconds)
        self.engine = PostgreSQL(replace(settings, url=url, timeout_seconds=patience, replicas=[]))
        self.name = urlsplit(url).netloc.rpartition("@")[2]
        self.fresh: float | None = None
        self.used = False

    async def read(self, wanted: Wanted) -> Found:
        """The answer to a question as of some moment within the lag limit. Raises `Unavailable`."""
        try:
            return await self.engine.read(wanted)
        except (Unavailable, Conflict, asyncpg.PostgresError) as error:
            # A query that stands in the way of what is replayed is cancelled: that says nothing of the rest.
            if not isinstance(error, asyncpg.SerializationError):
                self.fresh = None
            raise Unavailable(f"replica {self.name}: {error}") from error

    async def replayed(self) -> int | None:
        """Its position in the log; None when it is no replica (any more)."""
        rows = await self.engine.fetch(_REPLAYED)
        return int(rows[0][0]) if rows and rows[0][0] is not None else None


class Replicas:
    """The replicas of a primary, used in turn while they are less than the limit behind it."""

    def __init__(self, primary: PostgreSQL, settings: Storage) -> None:
        self._primary = primary
        self._limit = settings.replica_lag_seconds
        self.everybody = settings.replica_reads == "all"
        self.all: Sequence[Replica] = [Replica(url, settings) for url in settings.replicas]
        self._turn = count()
        self._positions: deque[tuple[float, int]] = deque()

    def choose(self) -> Replica | None:
        """The replica whose turn it is; None when all are down or too far behind."""
        oldest = time.monotonic() - self._limit
        usable = [replica for replica in self.all if replica.fresh is not None and replica.fresh >= oldest]
        return usable[next(self._turn) % len(usable)] if usable else None

    async def answers(self) -> bool | None:
        """For the heartbeat: whether a replica is used; None when the primary serves alone."""
        return True if self.choose() is not None else None

    async def watch(self) -> None:
        """Look after the replicas for ever."""
        while True:
            await self.look()
            await asyncio.sleep(PAUSE_SECONDS)

    async def look(self) -> None:
        """See how far the primary and each replica have come."""
        asked = time.monotonic()
        while self._positions and self._positions[0][0] < asked - 2 * self._limit:
            self._positions.popleft()
        try:
            rows = await self._primary.fetch(_POSITION)
            self._positions.append((asked, int(rows[0][0])))
        except (Unavailable, asyncpg.PostgresError) as error:
            # What it had come to is known for a while; then no replica is known to be fresh.
            log.warning("the position of the primary is not known", error=str(error))
        await asyncio.gather(*map(self._look_at, self.all))

    async def _look_at(self, replica: Replica) -> None:
        reason = ""
        try:
            replayed = await replica.replayed()
            replica.fresh = self._fresh(replayed) if replayed is not None else None
            if replica.fresh is None:
                reason = "it is no replica" if replayed is None else "it is too far behind"
        except (Unavailable, asyncpg.PostgresError) as error:
            replica.fresh, reason = None, str(error)
        used = replica.fresh is not None and replica.fresh >= time.monotonic() - self._limit
        if used != replica.used:
            replica.used = used
            if used:
                log.info("a replica is used", replica=replica.name)
            else:
                log.warning("a replica is not used", replica=replica.name, reason=reason or "it stands still")

    def _fresh(self, replayed: int) -> float | None:
        """The last time at which the primary had not come further than this position."""
        for asked, position in reversed(self._positions):
            if position <= replayed:
                return asked
        return None

    async def close(self) -> None:
        for replica in self.all:
            await replica.engine.close()
