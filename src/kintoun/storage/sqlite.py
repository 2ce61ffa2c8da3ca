"""The SQLite engine: short reads in the event loop, long ones and every commit in a thread.

A read of a record takes some ten microseconds, a hop to a thread costs ten times as much. A commit waits for
the disk, and meanwhile the loop goes on reading. WAL mode lets other processes do the same beside this one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from threading import local
from typing import Any, TypeVar

from kintoun.model.paths import ListPath, Path
from kintoun.settings import Storage
from kintoun.storage import indexes, schema
from kintoun.storage.dialect import Dialect, translated
from kintoun.storage.engine import Steps, Transaction, Writes
from kintoun.storage.indexes import indexed_fields
from kintoun.storage.insertions import insertions
from kintoun.storage.known import Known
from kintoun.storage.migrating import FEATURE_VERSIONS, FEATURES_SINCE, bring_up, outstanding
from kintoun.storage.rows import Clock, Found, Stored, Unavailable, Wanted
from kintoun.storage.select import register_functions
from kintoun.storage.statements import CLOCK_COLUMNS, answer, question, stored
from kintoun.storage.threads import Threads

T = TypeVar("T")

LONG_PAGE = 2000
"""Rows above which a page is read in a thread."""

LONG_SCAN = 5000
"""Objects in a list above which a filtered page is read in a thread."""

AT_ONCE = 500
"""Rows that are written before the event loop turns to others: they take some ten milliseconds."""

_UPSERT_CLOCK = (
    "INSERT INTO clock (path, bucket, list, ts, version, live, dead, bytes, watermark)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET list = excluded.list,"
    " ts = excluded.ts, version = excluded.version, live = excluded.live, dead = excluded.dead,"
    " bytes = excluded.bytes, watermark = excluded.watermark"
)
_UPSERT_OBJECT = (
    "INSERT INTO object (list, id, ts, deleted, body, grants, acl) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (list, id) DO UPDATE SET ts = excluded.ts, deleted = excluded.deleted,"
    " body = excluded.body, grants = excluded.grants, acl = excluded.acl"
)
# The index on ACLs is left alone; SQLite would write it anew with every column that the statement names.
_REWRITE_OBJECT = "UPDATE object SET ts = ?, deleted = ?, body = ? WHERE list = ? AND id = ?"
_REWRITTEN = itemgetter(2, 3, 4, 0, 1)
_POINTS = (
    "SELECT o.deleted, o.id, o.ts, o.body, o.grants FROM object o"
    " WHERE o.list = (SELECT k.list FROM clock k WHERE k.path = ?) AND o.id IN"
)
_INSERT_ENTRY = "INSERT INTO acl_entry (principal, permission, acl) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"


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
        return SQLiteTransaction(self, self._writer)

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

    async def end(self, statement: str) -> None:
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


class SQLiteTransaction:
    """A transaction that holds the file's write lock."""

    def __init__(self, engine: SQLite, connection: sqlite3.Connection) -> None:
        self._engine = engine
        self.connection = connection

    def _run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self.connection.execute(sql, values).fetchall()
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error

    def _run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self.connection.executemany(sql, rows)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error

    async def lock(self, paths: Sequence[str], buckets: Sequence[str]) -> list[Clock]:
        rows = []
        for path in paths:
            rows += self._run(f"SELECT {CLOCK_COLUMNS} FROM clock WHERE path = ?", (path,))
        for bucket in buckets:
            rows += self._run(f"SELECT {CLOCK_COLUMNS} FROM clock WHERE bucket = ?", (bucket,))
        return [Clock(ListPath.parse(row[0]), *row[1:]) for row in rows]

    async def points(
        self, paths: Sequence[Path], principals: Sequence[str]
    ) -> tuple[list[Stored | None], list[tuple[str, str]]]:
        objects: list[Stored | None] = [None] * len(paths)
        lists: dict[ListPath, dict[str, int]] = {}
        for n, path in enumerate(paths):
            lists.setdefault(path.list, {})[path.ids[-1]] = n
        for place, ids in lists.items():
            marks = ", ".join("?" * len(ids))
            for row in self._run(f"{_POINTS} ({marks})", (str(place), *ids)):
                objects[ids[row[1]]] = stored(row)
        groups: list[tuple[str, str]] = []
        if principals:
            wanted = Wanted(principals=tuple(principals))
            groups = (await self.read(wanted)).groups
        return objects, groups

    async def read(self, wanted: Wanted) -> Found:
        sql, values = question(wanted, Dialect.SQLITE, self._engine.indexed)
        return answer(wanted, self._run(sql, values))

    async def write(self, writes: Writes) -> None:
        if writes.erased:
            self._run_many("DELETE FROM object WHERE list = ? AND id = ?", writes.erased)
        if writes.new or writes.objects:
            self._run_many(_INSERT_ENTRY, schema.entries_of(writes))
            await self._in_turns(_UPSERT_OBJECT, writes.new)
            await self._in_turns(_UPSERT_OBJECT, writes.objects)
        if writes.rewritten:
            await self._in_turns(_REWRITE_OBJECT, [_REWRITTEN(row) for row in writes.rewritten])
        for number, group, members in writes.members:
            self._run("DELETE FROM member WHERE list = ? AND id = ?", (number, group))
            rows = [(principal, number, group) for principal in members]
            self._run_many("INSERT INTO member (principal, list, id) VALUES (?, ?, ?)", rows)
        if writes.unlinked:
            lists = [(number,) for number in writes.unlinked]
            self._run_many("INSERT INTO unlinked (list) VALUES (?) ON CONFLICT DO NOTHING", lists)
        if writes.clocks:
            self._run_many(_UPSERT_CLOCK, map(schema.clock_row, writes.clocks))
        for table, added in writes.added.items():
            for start in range(0, len(added), AT_ONCE):
                if start:
                    await asyncio.sleep(0)
                for sql, values in insertions(table, added[start : start + AT_ONCE]):
                    self._run(sql, values)

    async def _in_turns(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row, many of them in steps between which the loop turns to others."""
        for start in range(0, len(rows), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            self._run_many(sql, rows[start : start + AT_ONCE])

    async def taken(self, number: int, timestamp: int) -> bool:
        return bool(self._run("SELECT 1 FROM object WHERE list = ? AND ts = ?", (number, timestamp)))

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        return self._run(translated(sql, Dialect.SQLITE), args)

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._run_many(translated(sql, Dialect.SQLITE), rows)

    async def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(columns))
        self._run_many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    async def commit(self) -> None:
        await self._engine.end("COMMIT")

    async def rollback(self) -> None:
        await self._engine.end("ROLLBACK")
