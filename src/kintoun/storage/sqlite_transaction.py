"""A transaction of SQLite: short statements in the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from kintoun.model.paths import ListPath, Path
from kintoun.storage import schema
from kintoun.storage.dialect import Dialect, translated
from kintoun.storage.engine import Writes
from kintoun.storage.insertions import insertions
from kintoun.storage.rows import Clock, Found, Stored, Unavailable, Wanted
from kintoun.storage.statements import CLOCK_COLUMNS, answer, question, stored

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


class SQLiteTransaction:
    """A transaction that holds the file's write lock."""

    def __init__(
        self, connection: sqlite3.Connection, indexed: frozenset[str], end: Callable[[str], Awaitable[None]]
    ) -> None:
        self.connection = connection
        self._indexed = indexed
        self._end = end

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
        sql, values = question(wanted, Dialect.SQLITE, self._indexed)
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
        await self._end("COMMIT")

    async def rollback(self) -> None:
        await self._end("ROLLBACK")
