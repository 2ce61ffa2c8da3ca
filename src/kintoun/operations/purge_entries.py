"""Purging the entries of ACLs that nothing has any more, while servers go on.

Entries stand once for all objects that have the same ACL. A writer finds those of its objects' ACLs there, or
adds them, before its commit. So no writer may be between the two while it is looked whether an ACL is unused:
SQLite has one writer at a time, and on PostgreSQL a lock of the table waits for those who have looked for
entries, and keeps others from it. What is unused then stays so until the lock is given back, and its entries
go. An object that keeps its ACL is no concern: its row has it before and after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from kintoun.operations.acls import Fetches
from kintoun.operations.tables import acl_columns, versions_of
from kintoun.storage import Store
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Transaction

STEP = 500
"""Entries that go while writers wait; more when features' tables have to be read meanwhile."""

STEP_WITH_FEATURES = 5000

ATTEMPTS = 5
"""How often the table is asked for in vain, before what is left is left for another day."""

_UNUSED = (
    "SELECT principal, acl, permission FROM acl_entry e WHERE (principal, acl, permission) > ($1, $2, $3)"
    " AND NOT EXISTS (SELECT 1 FROM object o WHERE o.acl = e.acl)"
    " ORDER BY principal, acl, permission LIMIT $4"
)
_DELETE = (
    "DELETE FROM acl_entry WHERE principal = $1 AND acl = $2 AND permission = $3"
    " AND NOT EXISTS (SELECT 1 FROM object o WHERE o.acl = $2) RETURNING 1"
)
_LOCK_NOT_AVAILABLE = "55P03"

Columns = Sequence[tuple[str, str]]


@dataclass
class PurgedEntries:
    """What was purged; `complete` is False when writers kept the table in use."""

    entries: int = 0
    complete: bool = True


async def count_unused_entries(store: Store) -> int:
    """How many entries belong to ACLs that nothing has."""
    columns = await _columns(store)
    used = await used_by_features(store, columns)
    total = 0
    async for rows in _unused(store, STEP_WITH_FEATURES):
        total += sum(bytes(row[1]) not in used for row in rows)
    return total


async def purge_entries(store: Store) -> PurgedEntries:
    """Delete the entries of ACLs that nothing has."""
    done = PurgedEntries()
    columns = await _columns(store)
    used = await used_by_features(store, columns)
    async for rows in _unused(store, STEP_WITH_FEATURES if columns else STEP):
        candidates = [tuple(row) for row in rows if bytes(row[1]) not in used]
        if candidates and not await _delete(store, candidates, columns, done):
            done.complete = False
            break
    return done


async def _delete(store: Store, candidates: list[Any], columns: Columns, done: PurgedEntries) -> bool:
    step = _Step(candidates, columns, store.engine.dialect)
    for _ in range(ATTEMPTS):
        try:
            done.entries += await store.transact(step)
        except Exception as error:
            if getattr(error, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
        else:
            return True
    return False


async def _columns(store: Store) -> Columns:
    return await acl_columns(store, store.engine.dialect, await versions_of(store))


async def used_by_features(database: Fetches, columns: Columns) -> set[bytes]:
    """The ACLs that rows of features' tables have."""
    used: set[bytes] = set()
    for table, column in columns:
        rows = await database.fetch(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL")
        used.update(bytes(row[0]) for row in rows)
    return used


async def _unused(store: Store, step: int) -> AsyncIterator[list[Any]]:
    last: tuple[str, bytes, str] = ("", b"", "")
    while rows := await store.fetch(_UNUSED, (*last, step)):
        last = (rows[-1][0], bytes(rows[-1][1]), rows[-1][2])
        yield rows


class _Step:
    """Some entries go, as far as nothing has taken up their ACLs since they were found."""

    def __init__(self, candidates: list[Any], columns: Columns, dialect: Dialect) -> None:
        self._candidates = candidates
        self._columns = columns
        self._dialect = dialect

    async def __call__(self, transaction: Transaction) -> int:
        if self._dialect is Dialect.POSTGRESQL:
            await transaction.fetch("SET LOCAL lock_timeout = '2s'")
            await transaction.fetch("LOCK TABLE acl_entry IN SHARE ROW EXCLUSIVE MODE")
        used = await used_by_features(transaction, self._columns)
        gone = 0
        for row in self._candidates:
            if bytes(row[1]) not in used:
                gone += len(await transaction.fetch(_DELETE, row))
        return gone
