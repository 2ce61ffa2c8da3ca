"""Reading whole tables: from one snapshot while others write, or within a transaction, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from kintoun.storage import Store
from kintoun.storage.dialect import Dialect, translated
from kintoun.storage.engine import Transaction

BATCH = 2000
"""Rows that are in memory at once."""


class Snapshot(Protocol):
    """A database as it was at one moment, whatever is written meanwhile."""

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """The rows of a reading statement: see `Transaction.fetch`."""
        ...

    def scan(self, sql: str) -> AsyncIterator[list[Sequence[Any]]]:
        """The rows of a statement without parameters, some at a time."""
        ...

    async def close(self) -> None:
        """Let go of the moment."""
        ...


async def open_snapshot(store: Store) -> Snapshot:
    """The database of a store as it is now. Raises `Unavailable`."""
    from kintoun.storage.sqlite import SQLite

    if isinstance(store.engine, SQLite):
        return SQLiteSnapshot(store.engine)
    from kintoun.storage.postgresql import PostgreSQL

    assert isinstance(store.engine, PostgreSQL), "there are two engines"
    return await PostgreSQLSnapshot.open(store.engine)


class SQLiteSnapshot:
    """A read transaction of a connection of its own: in WAL mode it keeps nobody from writing."""

    def __init__(self, engine: Any) -> None:
        self._connection = engine.connect()
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # this takes the snapshot

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        return list(self._connection.execute(translated(sql, Dialect.SQLITE), args))

    def scan(self, sql: str) -> AsyncIterator[list[Sequence[Any]]]:
        return _scan_sqlite(self._connection, sql)

    async def close(self) -> None:
        self._connection.execute("ROLLBACK")


class PostgreSQLSnapshot:
    """A read-only transaction at REPEATABLE READ, of a session of its own."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    @classmethod
    async def open(cls, engine: Any) -> PostgreSQLSnapshot:
        raw = await engine.pool.connect(patient=True)
        await raw.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # What keeps small reads on their indexes would keep whole tables from being read at once.
        await raw.execute("SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on")
        await raw.fetchval("SELECT 1")
        return cls(raw)

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        rows: list[Any] = await self._raw.fetch(sql, *args)
        return rows

    def scan(self, sql: str) -> AsyncIterator[list[Sequence[Any]]]:
        return _scan_postgresql(self._raw, sql)

    async def close(self) -> None:
        await self._raw.close(timeout=5)


def scan(transaction: Transaction, sql: str) -> AsyncIterator[list[Sequence[Any]]]:
    """The rows of a statement without parameters as a transaction sees them, some at a time."""
    from kintoun.storage.sqlite_transaction import SQLiteTransaction

    if isinstance(transaction, SQLiteTransaction):
        return _scan_sqlite(transaction.connection, sql)
    from kintoun.storage.postgresql import PostgreSQLTransaction

    assert isinstance(transaction, PostgreSQLTransaction), "there are two engines"
    return _scan_postgresql(transaction.connection.raw, sql)


async def _scan_sqlite(connection: Any, sql: str) -> AsyncIterator[list[Sequence[Any]]]:
    cursor = connection.execute(sql)
    while rows := cursor.fetchmany(BATCH):
        yield rows
        await asyncio.sleep(0)


async def _scan_postgresql(raw: Any, sql: str) -> AsyncIterator[list[Sequence[Any]]]:
    cursor = await raw.cursor(sql)
    while rows := await cursor.fetch(BATCH):
        yield rows
