"""Connections to PostgreSQL, and the pool that keeps them.

The pool is our own: connections go back without the reset query that would cost more than the read itself,
since nothing here leaves state behind in a session.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import asyncpg

from kintoun.settings import Storage
from kintoun.storage.rows import Unavailable

# Every statement is a handful of index look-ups. Saying so keeps the planner from being misled by statistics
# that are stale after heavy writing, and spares it planning again for each set of parameters.
_SESSION = {
    "application_name": "kintoun",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}

_STATEMENTS = 300
"""Prepared statements kept on one connection."""

LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,  # so it calls what the system refuses for a reason that it has no name for
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # so it ends when its session is killed in the very moment of a request
    asyncio.TimeoutError,
)
"""What tells that a database is not there, or cannot go on now."""

CONFLICT = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""What tells that a transaction has to be run again."""


class Connection:
    """One session and the statements prepared in it."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._prepared: OrderedDict[str, Any] = OrderedDict()
        self._numbers = count()

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        statement = self._prepared.get(sql)
        if statement is None:
            # It takes a name for it to stay: one without would be parsed and planned for every execution.
            name = f"kintoun_{next(self._numbers)}"
            statement = self._prepared[sql] = await self.raw.prepare(sql, name=name)
            if len(self._prepared) > _STATEMENTS:
                self._prepared.popitem(last=False)
        rows: list[Any] = await statement.fetch(*args)
        return rows

    async def close(self) -> None:
        with suppress(Exception):
            await self.raw.close(timeout=2)


class Pool:
    """Connections, the last one used first."""

    def __init__(self, settings: Storage) -> None:
        self._settings = settings
        self._free: list[Connection] = []
        self._slots = asyncio.Semaphore(settings.pool_size)
        self._busy = 0
        self._waiting = 0

    async def take(self) -> Connection:
        """A connection of one's own, until `give` or `drop`. Raises `Unavailable`."""
        if self._slots.locked() or not self._free:
            self._waiting += 1
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise Unavailable("all connections to the database are in use") from error
            finally:
                self._waiting -= 1
        else:
            await self._slots.acquire()
        self._busy += 1
        while self._free:
            connection = self._free.pop()
            if not connection.raw.is_closed():
                return connection
        try:
            return Connection(await self.connect())
        except BaseException as error:
            self._leave()
            if isinstance(error, (*LOST, asyncpg.PostgresError)):
                raise Unavailable(f"the database cannot be reached: {error}") from error
            raise

    async def connect(self, *, patient: bool = False, url: str | None = None) -> Any:
        """A new session, elsewhere if `url` says so; a `patient` one has no time limit for its statements."""
        timeout = self._settings.timeout_seconds
        return await asyncpg.connect(
            url or self._settings.url,
            timeout=timeout,
            command_timeout=None if patient else timeout,
            statement_cache_size=0,
            server_settings=_SESSION,
        )

    def give(self, connection: Connection) -> None:
        """Put back a connection that is in no transaction."""
        self._free.append(connection)
        self._leave()

    async def drop(self, connection: Connection) -> None:
        """Close a connection that failed."""
        self._leave()
        connection.raw.terminate()

    def _leave(self) -> None:
        self._busy -= 1
        self._slots.release()

    def use(self) -> dict[str, int]:
        """How many connections are `idle` or `busy`, and how many wait for one."""
        return {"idle": len(self._free), "busy": self._busy, "waiting": self._waiting}

    async def close(self) -> None:
        while self._free:
            await self._free.pop().close()
