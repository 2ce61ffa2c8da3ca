"""What buckets hold: one row for each bucket that has a limit, changed with whatever is written in it.

A collection's total is its clock. A bucket's is the sum of the clocks of its lists, and writers of different
lists do not wait for each other; so the sum is kept in a row, which a transaction changes as its last step.
From there to the commit those who write in the same bucket do wait, and so no limit is ever passed unseen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kintoun.model.kinds import COLLECTION, GROUP, RECORD
from kintoun.model.paths import ListPath
from kintoun.storage import Store
from kintoun.storage.engine import Transaction
from kintoun.storage.rows import Clock
from kintoun.storage.unit import Unit

MIGRATIONS = (
    (
        """CREATE TABLE quota_usage (
            bucket {text} NOT NULL PRIMARY KEY,
            items {int} NOT NULL,
            bytes {int} NOT NULL
        )""",
    ),
)

_COUNTED = frozenset(kind.plural for kind in (COLLECTION, GROUP, RECORD))

STEP = 100
"""Buckets whose names are read at once."""

PAUSE_SECONDS = 600.0
"""How long the totals rest before they are counted again."""

_ADD = (
    "UPDATE quota_usage SET items = items + $2, bytes = bytes + $3 WHERE bucket = $1 RETURNING items, bytes"
)
_BEGIN = (
    "INSERT INTO quota_usage (bucket, items, bytes) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING RETURNING bucket"
)
_SET = "UPDATE quota_usage SET items = $2, bytes = $3 WHERE bucket = $1 RETURNING items, bytes"
_LOCK = "UPDATE quota_usage SET items = items WHERE bucket = $1 RETURNING items, bytes"
_FORGET = "DELETE FROM quota_usage WHERE bucket = $1"
_CLOCKS = "SELECT path, live, bytes FROM clock WHERE bucket = $1 AND list IS NOT NULL"
_BUCKETS = "SELECT bucket FROM quota_usage WHERE bucket > $1 ORDER BY bucket LIMIT $2"


class Usage(NamedTuple):
    """Records, and the bytes of all objects in a bucket."""

    items: int
    bytes: int

    def plus(self, other: Usage) -> Usage:
        return Usage(self.items + other.items, self.bytes + other.bytes)

    def minus(self, other: Usage) -> Usage:
        return Usage(self.items - other.items, self.bytes - other.bytes)


NOTHING = Usage(0, 0)


def _usage(plural: str, live: int, size: int) -> Usage:
    """What a list of these objects adds to its bucket; what features keep below buckets does not count."""
    if plural not in _COUNTED:
        return NOTHING
    return Usage(live if plural == RECORD.plural else 0, size)


def _of_clock(clock: Clock | None) -> Usage:
    return NOTHING if clock is None else _usage(clock.path.kind.plural, clock.live, clock.bytes)


def changes(unit: Unit) -> Iterator[tuple[ListPath, Usage, Usage]]:
    """For each list of a bucket that a unit writes: what it had, and what it has now."""
    for before, after in unit.clocks_changed():
        if after.path.kind.plural in _COUNTED:
            yield after.path, _of_clock(before), _of_clock(after)


async def add(transaction: Transaction, bucket: str, more: Usage, mine: dict[str, Usage]) -> Usage:
    """Change a bucket's total and return it; the row stays locked until the commit.

    `mine` are the lists that the transaction changes, with what they had before: where there is no total yet
    it is counted, and what was sent already is not to be counted twice.
    """
    rows = await transaction.fetch(_ADD, (bucket, *more))
    if not rows and await transaction.fetch(_BEGIN, (bucket,)):
        counted = await _counted(transaction, bucket, mine)
        rows = await transaction.fetch(_SET, (bucket, *counted.plus(more)))
    elif not rows:  # somebody began it meanwhile
        rows = await transaction.fetch(_ADD, (bucket, *more))
    return Usage(*rows[0])


async def _counted(transaction: Transaction, bucket: str, mine: dict[str, Usage]) -> Usage:
    """What a bucket holds by its clocks. Whoever has not committed yet waits for the row, and adds to it."""
    total = NOTHING
    for before in mine.values():
        total = total.plus(before)
    for path, live, size in await transaction.fetch(_CLOCKS, (bucket,)):
        if path not in mine:
            total = total.plus(_usage(path.rpartition("/")[2], live, size))
    return total


async def recount(store: Store) -> None:
    """Count every total anew, for what was written while the feature was off, or by other programs."""
    after = ""
    while rows := await store.fetch(_BUCKETS, (after, STEP)):
        for (bucket,) in rows:
            await store.transact(_Recount(bucket))
        after = rows[-1][0]
    await asyncio.sleep(PAUSE_SECONDS)


class _Recount:
    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    async def __call__(self, transaction: Transaction) -> None:
        rows: Sequence[Any] = await transaction.fetch(_LOCK, (self._bucket,))
        if not rows:
            return
        counted = await _counted(transaction, self._bucket, {})
        if counted == NOTHING:
            await transaction.fetch(_FORGET, (self._bucket,))
        elif counted != tuple(rows[0]):
            await transaction.fetch(_SET, (self._bucket, *counted))
