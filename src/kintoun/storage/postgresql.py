"""The PostgreSQL engine: asyncpg, one prepared statement per read, few round trips per group of writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import asyncpg

from kintoun.model.paths import ListPath, Path
from kintoun.settings import Storage
from kintoun.storage import indexes, schema
from kintoun.storage.connections import CONFLICT, LOST, Connection, Pool
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Steps, Transaction, Writes
from kintoun.storage.indexes import indexed_fields
from kintoun.storage.insertions import ByColumns, by_columns
from kintoun.storage.migrating import FEATURE_VERSIONS, FEATURES_SINCE, bring_up, outstanding, persistently
from kintoun.storage.rows import Clock, Conflict, Found, Stored, Unavailable, Wanted
from kintoun.storage.shared_reads import SharedReads
from kintoun.storage.statements import CLOCK_COLUMNS, GROUP, answer, question, stored

MANY = 100
"""New rows from which on they are copied into their table, which costs half as much for each."""

AT_ONCE = 1000
"""Rows that are copied before the event loop turns to others: they take it some ten milliseconds."""

_POINTS = (
    "SELECT 2 * (p.n - 1) + o.deleted AS tag, o.id AS id, o.ts AS ts, o.body AS body, o.grants AS grants"
    " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS p (path, id, n)"
    ' JOIN clock k ON k.path = p.path COLLATE "C"'
    ' JOIN object o ON o.list = k.list AND o.id = p.id COLLATE "C"'
    f" UNION ALL SELECT {GROUP}, m.principal, 0, '/buckets/' || k.bucket || '/groups/' || m.id, ''"
    " FROM member m JOIN clock k ON k.list = m.list WHERE m.principal = ANY($3::text[])"
)
_LOCK = f"SELECT {CLOCK_COLUMNS} FROM clock WHERE path = ANY($1::text[]) ORDER BY path FOR UPDATE"
_LOCK_BUCKETS = (
    f"SELECT {CLOCK_COLUMNS} FROM clock WHERE path = ANY($1::text[]) OR bucket = ANY($2::text[])"
    " ORDER BY path FOR UPDATE"
)
_WRITE_CLOCKS = (
    "INSERT INTO clock (path, bucket, list, ts, version, live, dead, bytes, watermark)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],"
    " $7::bigint[], $8::bigint[], $9::bigint[]) ON CONFLICT (path) DO UPDATE SET list = excluded.list,"
    " ts = excluded.ts, version = excluded.version, live = excluded.live, dead = excluded.dead,"
    " bytes = excluded.bytes, watermark = excluded.watermark"
)
_WRITE_OBJECTS = (
    f"WITH clocks AS ({_WRITE_CLOCKS}), entries AS (INSERT INTO acl_entry (principal, permission, acl)"
    " SELECT * FROM unnest($10::text[], $11::text[], $12::bytea[]) ON CONFLICT DO NOTHING){added}"
    " INSERT INTO object (list, id, ts, deleted, body, grants, acl) SELECT * FROM unnest($13::bigint[],"
    " $14::text[], $15::bigint[], $16::smallint[], $17::text[], $18::text[], $19::bytea[])"
    " ON CONFLICT (list, id) DO UPDATE SET ts = excluded.ts, deleted = excluded.deleted,"
    " body = excluded.body, grants = excluded.grants, acl = excluded.acl"
)


@lru_cache(maxsize=64)
def _write_objects(added: tuple[ByColumns, ...]) -> str:
    """The statement that writes clocks, entries and objects, and adds to tables of features with them."""
    parts = []
    first = 20
    for n, columns in enumerate(added):
        parts.append(f", added{n} AS ({columns.insert(first)})")
        first += len(columns.table.columns)
    return _WRITE_OBJECTS.replace("{added}", "".join(parts))


class PostgreSQL:
    """A database of a PostgreSQL server, or of one that speaks like it."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, settings: Storage) -> None:
        self.settings = settings
        self.indexed = indexed_fields(settings)
        self.pool = Pool(settings)
        self._reads = SharedReads(self._read, self.fetch)

    def lane(self, lists: Sequence[ListPath]) -> str | None:
        """Writers of one list wait for its clock; those of several lists wait in the database.

        Lists that are written along with others below one parent are one queue for them all.
        """
        if len(lists) == 1:
            return str(lists[0])
        parents = {path.parents for path in lists if path.kind.shared}
        return "/".join(parents.pop()) if len(parents) == 1 else None

    async def open(self) -> None:
        await self.ping()

    async def close(self) -> None:
        await self.pool.close()

    async def read(self, wanted: Wanted) -> Found:
        return await self._reads.read(wanted)

    async def _read(self, wanted: Wanted) -> Found:
        sql, values = question(wanted, self.dialect, self.indexed)
        return answer(wanted, await self.fetch(sql, values))

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of one statement; a connection that turns out to be dead is replaced.

        A statement that a migration was in the way of is run again, like every other deadlock.
        """
        for last in (False, False, True):
            connection = await self.pool.take()
            try:
                rows = await connection.fetch(sql, values)
            except CONFLICT as error:
                self.pool.give(connection)
                if last:
                    raise _translated(error) from error
            except LOST as error:
                await self.pool.drop(connection)
                if last or isinstance(error, (asyncio.TimeoutError, asyncpg.QueryCanceledError)):
                    raise Unavailable(str(error)) from error
            except BaseException:
                await self.pool.drop(connection)
                raise
            else:
                self.pool.give(connection)
                return rows
        raise AssertionError("the loop returns or raises")

    def connections(self) -> dict[str, int]:
        return self.pool.use()

    async def ping(self) -> None:
        await self.fetch("SELECT 1")

    async def begin(self) -> Transaction:
        for last in (False, True):
            connection = await self.pool.take()
            try:
                await connection.raw.execute("BEGIN")
            except LOST as error:
                await self.pool.drop(connection)
                if last:
                    raise Unavailable(str(error)) from error
            except BaseException:
                await self.pool.drop(connection)
                raise
            else:
                return PostgreSQLTransaction(self, connection)
        raise AssertionError("the loop returns or raises")

    async def schema_version(self) -> int:
        rows = await self.fetch("SELECT to_regclass('schema_version') IS NOT NULL")
        if not rows[0][0]:
            return 0
        return int((await self.fetch("SELECT coalesce(max(version), 0) FROM schema_version"))[0][0])

    async def feature_versions(self) -> dict[str, int]:
        if await self.schema_version() < FEATURES_SINCE:
            return {}
        return {row[0]: int(row[1]) for row in await self.fetch(FEATURE_VERSIONS)}

    async def migrate(self, features: Mapping[str, Steps]) -> int:
        before = await self.schema_version()
        if await outstanding(self, "postgresql", before, features):
            before = await persistently(lambda: self._migrate(features))
        await self._make_indexes()
        return before

    async def _make_indexes(self) -> None:
        """Make them while writers go on; one that was left unfinished is made anew."""
        present = (
            "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE i.indrelid = 'object'::regclass AND starts_with(c.relname, $1)"
        )
        rows = await self.fetch(present, (indexes.PREFIX,))
        changes = [f"DROP INDEX CONCURRENTLY {name}" for name, valid in rows if not valid]
        names = [name for name, valid in rows if valid]
        changes += indexes.index_changes(self.indexed, names, self.dialect, "CONCURRENTLY")
        if not changes:
            return
        connection = await self.pool.connect(patient=True)
        try:
            for sql in (*changes, "ANALYZE object"):
                await connection.execute(sql)
        finally:
            await connection.close()

    async def _migrate(self, features: Mapping[str, Steps]) -> int:
        with suppress(asyncpg.UniqueViolationError):  # two processes that create the table at once
            await self.fetch(schema.VERSION_TABLE.format_map(schema.TYPES["postgresql"]))
        transaction = await self.begin()
        try:
            # Processes that start together migrate one after the other, behind the row of the empty schema.
            await transaction.fetch("INSERT INTO schema_version (version) VALUES (0) ON CONFLICT DO NOTHING")
            await transaction.fetch("SELECT version FROM schema_version WHERE version = 0 FOR UPDATE")
            before = await bring_up(transaction, "postgresql", features)
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        return before


def _translated(error: Exception) -> Exception:
    if isinstance(error, CONFLICT):
        return Conflict(str(error))
    return Unavailable(str(error))


class PostgreSQLTransaction:
    """A transaction at READ COMMITTED: every statement sees what was committed when it began.

    That is why locks are taken by a statement of their own: what is read after it was committed before it.
    """

    def __init__(self, engine: PostgreSQL, connection: Connection) -> None:
        self._engine = engine
        self._pool = engine.pool
        self.connection = connection

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        try:
            return await self.connection.fetch(sql, args)
        except (*CONFLICT, *LOST) as error:
            raise _translated(error) from error

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            await self.connection.raw.executemany(sql, rows)
        except (*CONFLICT, *LOST) as error:
            raise _translated(error) from error

    async def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        try:
            await self.connection.raw.copy_records_to_table(table, columns=columns, records=rows)
        except (*CONFLICT, *LOST) as error:
            raise _translated(error) from error

    async def lock(self, paths: Sequence[str], buckets: Sequence[str]) -> list[Clock]:
        if buckets:
            rows = await self.fetch(_LOCK_BUCKETS, (paths, buckets))
        else:
            rows = await self.fetch(_LOCK, (paths,))
        return [Clock(ListPath.parse(row[0]), *tuple(row)[1:]) for row in rows]

    async def points(
        self, paths: Sequence[Path], principals: Sequence[str]
    ) -> tuple[list[Stored | None], list[tuple[str, str]]]:
        args = ([str(path.list) for path in paths], [path.id for path in paths], principals)
        objects: list[Stored | None] = [None] * len(paths)
        groups = []
        for row in await self.fetch(_POINTS, args):
            if row[0] == GROUP:
                groups.append((row[1], row[3]))
            else:
                objects[row[0] >> 1] = stored(row)
        return objects, groups

    async def read(self, wanted: Wanted) -> Found:
        sql, values = question(wanted, Dialect.POSTGRESQL, self._engine.indexed)
        return answer(wanted, await self.fetch(sql, values))

    async def write(self, writes: Writes) -> None:
        for number, object_id in writes.erased:
            await self.fetch("DELETE FROM object WHERE list = $1 AND id = $2", (number, object_id))
        new, added = writes.new, writes.added
        if len(new) >= MANY:
            await self._copy("object", schema.OBJECT_COLUMNS, new)
            new = []
        for table in [table for table, rows in added.items() if len(rows) >= MANY]:
            await self._copy(table.name, [name for name, _ in table.columns], added.pop(table))
        clocks = _columns(map(schema.clock_row, writes.clocks), 9)
        objects = [*new, *writes.objects, *writes.rewritten]
        if objects or writes.new:
            entries = _columns(schema.entries_of(writes), 3)
            values = [*clocks, *entries, *_columns(objects, 7)]
            given = [by_columns(table, rows) for table, rows in added.items()]
            for _, columns in given:
                values += columns
            await self.fetch(_write_objects(tuple([way for way, _ in given])), values)
        else:
            if writes.clocks:
                await self.fetch(_WRITE_CLOCKS, clocks)
            for table, rows in added.items():
                way, values = by_columns(table, rows)
                await self.fetch(way.insert(1), values)
        for number, group, members in writes.members:
            await self.fetch("DELETE FROM member WHERE list = $1 AND id = $2", (number, group))
            await self.fetch(
                "INSERT INTO member (principal, list, id) SELECT p, $2, $3 FROM unnest($1::text[]) AS p",
                (members, number, group),
            )
        if writes.unlinked:
            await self.fetch(
                "INSERT INTO unlinked (list) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING",
                (writes.unlinked,),
            )

    async def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add many rows, in steps between which the loop turns to others."""
        for start in range(0, len(rows), AT_ONCE):
            await self.append(table, columns, rows[start : start + AT_ONCE])

    async def taken(self, number: int, timestamp: int) -> bool:
        return bool(await self.fetch("SELECT 1 FROM object WHERE list = $1 AND ts = $2", (number, timestamp)))

    async def commit(self) -> None:
        await self._end("COMMIT")

    async def rollback(self) -> None:
        with suppress(Conflict, Unavailable):
            await self._end("ROLLBACK")

    async def _end(self, statement: str) -> None:
        try:
            await self.connection.raw.execute(statement)
        except BaseException as error:
            await self._pool.drop(self.connection)
            if isinstance(error, (*CONFLICT, *LOST)):
                raise _translated(error) from error
            raise
        self._pool.give(self.connection)


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows turned on their side, as the arrays that `unnest` takes."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
