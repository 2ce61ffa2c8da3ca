"""A table of objects on each engine, to put questions in the query language to."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import asyncpg

from kintoun.model.query import Filter, Sort
from kintoun.storage.dialect import Dialect, Parameters
from kintoun.storage.select import after, index_expression, order_by, register_functions, where

LIST = 7
OTHER_LIST = 8

SQLITE_TABLE = (
    "CREATE TABLE object (list INTEGER NOT NULL, id TEXT NOT NULL, ts INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL, body TEXT NOT NULL)"
)
POSTGRESQL_TABLE = (
    'CREATE TABLE object (list BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL, ts BIGINT NOT NULL,'
    ' deleted SMALLINT NOT NULL, body TEXT COLLATE "C" NOT NULL)'
)
UNIQUE = (
    "CREATE UNIQUE INDEX object_id ON object (list, id)",
    "CREATE UNIQUE INDEX object_ts ON object (list, ts)",
)


class Table(Protocol):
    """The table of objects of one engine."""

    dialect: Dialect
    indexed: frozenset[str]

    def fill(self, objects: Iterable[Mapping[str, Any]], number: int = LIST) -> None: ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]: ...

    def close(self) -> None: ...


class SQLiteTable:
    """In memory."""

    dialect = Dialect.SQLITE

    def __init__(self) -> None:
        self.indexed: frozenset[str] = frozenset()
        self._connection = sqlite3.connect(":memory:")
        register_functions(self._connection)
        for sql in (SQLITE_TABLE, *UNIQUE):
            self._connection.execute(sql)

    def fill(self, objects: Iterable[Mapping[str, Any]], number: int = LIST) -> None:
        self._connection.execute("DELETE FROM object WHERE list = ?", (number,))
        self._connection.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?)", rows(objects, number))

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        self._connection.close()


class PostgreSQLTable:
    """In a database of its own."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, uri: str) -> None:
        self.indexed: frozenset[str] = frozenset()
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(uri))
        for sql in (POSTGRESQL_TABLE, *UNIQUE):
            self.run(sql)

    def fill(self, objects: Iterable[Mapping[str, Any]], number: int = LIST) -> None:
        self.run("DELETE FROM object WHERE list = $1", (number,))
        insert = "INSERT INTO object VALUES ($1, $2, $3, $4, $5)"
        self._loop.run_until_complete(self._connection.executemany(insert, rows(objects, number)))

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._loop.run_until_complete(self._connection.fetch(sql, *values))

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


def rows(objects: Iterable[Mapping[str, Any]], number: int) -> list[tuple[int, str, int, int, str]]:
    """The objects as rows; bodies have non-ASCII characters as escapes, as they are served."""
    bodies = ((obj, json.dumps(obj, separators=(",", ":"))) for obj in objects)
    return [(number, obj["id"], obj["last_modified"], 0, body) for obj, body in bodies]


def add_index(table: Table, field: str) -> None:
    """Declare an index on a field."""
    expressions = index_expression(field, table.dialect)
    name = f"object_{field.replace('.', '_')}"
    table.run(f"CREATE INDEX {name} ON object (list, {expressions})")
    table.indexed |= {field}


def statement(
    table: Table,
    filters: Sequence[Filter],
    sort: Sequence[Sort],
    *,
    limit: int = 10_000,
    position: Sequence[Any] | None = None,
    columns: str = "o.id",
) -> tuple[str, list[Any]]:
    """The statement of a page, as storage composes it."""
    params = Parameters(table.dialect)
    parts = [f"o.list = {params.add(LIST)}", where(filters, table.dialect, params, indexed=table.indexed)]
    if position is not None:
        parts.append(after(sort, position, table.dialect, params, indexed=table.indexed))
    order = order_by(sort, table.dialect, params, indexed=table.indexed, filters=filters)
    condition = " AND ".join(f"({part})" for part in parts)
    sql = f"SELECT {columns} FROM object o WHERE {condition} ORDER BY {order} LIMIT {params.add(limit)}"
    return sql, params.values


def selected(table: Table, filters: Sequence[Filter], sort: Sequence[Sort], **page: Any) -> list[str]:
    """The ids of the objects that the engine finds, in its order."""
    sql, values = statement(table, filters, sort, **page)
    return [row[0] for row in table.run(sql, values)]
