"""The SQLite engine: short reads in the event loop, long ones and every commit in a thread.

A read of a record takes some ten microseconds, a hop to a thread costs ten times as much. A commit waits for
the disk, and meanwhile the loop goes on reading. WAL mode lets other processes do the same beside this one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import local
from typing import Any, TypeVar

from kintoun.model.paths import ListPath
from kintoun.settings import Storage
from kintoun.storage import indexes, schema
from kintoun.storage.dialect import Dialect, translated
from kintoun.storage.engine import Steps, Transaction
from kintoun.storage.indexes import indexed_fields
from kintoun.storage.known import Known
from kintoun.storage.migrating import FEATURE_VERSIONS, FEATURES_SINCE, bring_up, outstanding
from kintoun.storage.rows import Found, Unavailable, Wanted
from kintoun.storage.select import register_functions
from kintoun.storage.sqlite_transaction import SQLiteTransaction
from kintoun.storage.statements import answer, question
from kintoun.storage.threads import Threads

T = TypeVar("T")

LONG_PAGE = 2000
"""Rows above which a page is read in a thread."""

LONG_SCAN = 5000
"""Objects in a list above which a filtered page is read in a thread."""


def _as_it_is(value: Any) -> Any:
    return value


# Where the module knows of none it looks for an adapter by raising and catching, for each such value.
for _kind in (bytes, type(None)):
    sqlite3.register_adapter(_kind, _as_it_is)


def _connect(file: str, settings: Storage) -> sqlite3.Connection:
    connection = sqlite3.connect(
        file, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=0
    )
    connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if settings.durability == 'full' else 'NORMAL'}")
    connection.execute("PRAGMA cache_size = -2000")
    connection.execute("PRAGMA temp_store = MEMORY")
    register_functions(connection)
    return connection


def _create_private(file: str) -> None:
    """Make a file that only its owner can read, if there is none: it will hold hashes of passwords."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SQLite:
    """A database in a file."""

    dialect = Dialect.SQLITE

    def __init__(self, file: str, settings: Storage) -> None:
        self.file = file
        self.settings = settings
        self.indexed = indexed_fields(settings)
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._threads = Threads(3, "sqlite")
        self._per_thread = local()
        self._opened: list[sqlite3.Connection] = []
        self._turn = asyncio.Lock()
        self._sizes: dict[ListPath, int] = {}
        self._known = Known()

    def lane(self, lists: Sequence[ListPath]) -> str | None:
        """There is one writer, so there is one queue."""
        return ""

    async def open(self) -> None:
        try:
            _create_private(self.file)
            self._reader = self.connect()
            self._writer = self.connect()
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"{self.file}: {error}") from error

    async def close(self) -> None:
        self._threads.close()
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._reader = self._writer = None

    def connect(self) -> sqlite3.Connection:
        """One more connection, which is closed with the engine."""
        # Another process may be changing the journal mode of a new file at this very moment.
        deadline = time.monotonic() + self.settings.timeout_seconds
        while True:
            try:
                connection = _connect(self.file, self.settings)
            except sqlite3.OperationalError as error:
                if not _busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                self._opened.append(connection)
                return connection

    # Reading

    async def read(self, wanted: Wanted) -> Found:
        if wanted.page is not None or wanted.total is not None:
            return await self._read(wanted)
        known = self._known
        missing = known.missing(wanted)
        found = await self._read(missing) if missing is not None else None
        version = self.version()
        if version != known.version:
            # What was known may be older than what was just found: all of it from one snapshot. That may be
            # newer than the version, which then will not be met again.
            known.move(version)
            missing, found = wanted, await self._read(wanted)
        if missing is None or found is None:
            return known.answer(wanted)
        known.learn(missing, found)
        answered = known.answer(wanted)
        known.trim()
        return answered

    def version(self) -> int:
        """Changes whenever another connection, of this process or of another, has committed."""
        assert self._reader is not None, "the store is open"
        try:
            version: int = self._reader.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error
        return version

    async def _read(self, wanted: Wanted) -> Found:
        sql, values = question(wanted, self.dialect, self.indexed)
        try:
            if self._is_long(wanted):
                rows = await self._in_thread(lambda: self._thread_reader().execute(sql, values).fetchall())
            else:
                assert self._reader is not None, "the store is open"
                rows = self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error
        found = answer(wanted, rows)
        if found.clock is not None:
            self._sizes[found.clock.path] = found.clock.live
        return found

    def _is_long(self, wanted: Wanted) -> bool:
        if wanted.total is not None:
            return self._size(wanted) > LONG_SCAN
        page = wanted.page
        if page is None:
            return False
        if page.limit > LONG_PAGE:
            return self._size(wanted) > LONG_PAGE
        plain = not page.filters and page.holders is None and page.sort[0].field == "last_modified"
        return not plain and self._size(wanted) > LONG_SCAN

    def _size(self, wanted: Wanted) -> int:
        """How long the list was when it was last looked at: a hint, to choose where to read."""
        if len(self._sizes) > 10_000:
            self._sizes.clear()
        assert wanted.clock is not None
        return self._sizes.get(wanted.clock, LONG_SCAN)

    def _thread_reader(self) -> sqlite3.Connection:
        connection = getattr(self._per_thread, "connection", None)
        if connection is None:
            connection = self._per_thread.connection = self.connect()
        return connection

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._threads.run(work)

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        numbered = translated(sql, self.dialect)
        try:
            return await self._in_thread(lambda: self._thread_reader().execute(numbered, args).fetchall())
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error

    def connections(self) -> dict[str, int]:
        return {}

    async def ping(self) -> None:
        try:
            assert self._reader is not None, "the store is open"
            self._reader.execute("SELECT count(*) FROM schema_version").fetchone()
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error

    # Writing

    async def begin(self) -> Transaction:
        await self._turn.acquire()
        try:
            await self._begin()
        except BaseException:
            self._turn.release()
            raise
        assert self._writer is not None, "the store is open"
        return SQLiteTransaction(self._writer, self.indexed, self._end)

    async def _begin(self) -> None:
        """Take the file's write lock, for which other processes may be queueing too."""
        assert self._writer is not None, "the store is open"
        deadline = time.monotonic() + self.settings.timeout_seconds
        pause = 0.0005
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.Error as error:
                if not _busy(error) or time.monotonic() > deadline:
                    raise Unavailable(str(error)) from error
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.02)

    async def _end(self, statement: str) -> None:
        """Commit or roll back, and let the next transaction begin."""
        connection = self._writer
        assert connection is not None, "the store is open"
        try:
            if statement == "COMMIT":
                await self._in_thread(lambda: connection.execute("COMMIT"))
            else:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise Unavailable(str(error)) from error
        finally:
            self._turn.release()

    # The schema

    async def schema_version(self) -> int:
        assert self._reader is not None, "the store is open"
        try:
            rows = self._reader.execute("SELECT max(version) FROM schema_version").fetchall()
        except sqlite3.OperationalError:
            return 0
        return int(rows[0][0] or 0)

    async def feature_versions(self) -> dict[str, int]:
        if await self.schema_version() < FEATURES_SINCE:
            return {}
        return {row[0]: int(row[1]) for row in await self.fetch(FEATURE_VERSIONS)}

    async def migrate(self, features: Mapping[str, Steps]) -> int:
        before = await self.schema_version()
        if await outstanding(self, "sqlite", before, features):
            before = await self._migrate(features)
        await self._make_indexes()
        return before

    async def _make_indexes(self) -> None:
        present = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE $1"
        transaction = await self.begin()
        try:
            rows = await transaction.fetch(present, (f"{indexes.PREFIX}%",))
            changes = indexes.index_changes(self.indexed, [row[0] for row in rows], self.dialect)
            for sql in changes:
                await transaction.fetch(sql)
            if changes:
                await transaction.fetch("ANALYZE object")
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()

    async def _migrate(self, features: Mapping[str, Steps]) -> int:
        transaction = await self.begin()
        try:
            await transaction.fetch(schema.VERSION_TABLE.format_map(schema.TYPES["sqlite"]))
            before = await bring_up(transaction, "sqlite", features)
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        return before
