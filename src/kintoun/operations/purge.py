"""Purging tombstones while servers go on.

A list whose tombstones were purged has a watermark: the newest of them. A client who asks for the changes
since an earlier time is told to start over, and keeps no ghosts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from kintoun.model.kinds import BUCKET, RECORD
from kintoun.model.paths import ListPath
from kintoun.storage import Store
from kintoun.storage.engine import Transaction, Writes

STEP = 500
"""Rows deleted in one transaction, so that no writer waits long behind it."""

Progress = Callable[[str, int], None]
"""Told the path of a list and how many tombstones have gone."""

_MARKS = ", ".join(f"${n}" for n in range(2, STEP + 2))
_LISTS = (
    "SELECT path, list FROM clock WHERE path > $1 AND list IS NOT NULL AND dead > 0 ORDER BY path LIMIT 1000"
)
_NEWEST = "SELECT ts FROM object WHERE list = $1 AND deleted = 1 ORDER BY ts DESC LIMIT 1 OFFSET $2"
_COUNT = "SELECT count(*), max(ts) FROM object WHERE list = $1 AND deleted = 1 AND ts < $2"
_FIND = "SELECT ts FROM object WHERE list = $1 AND deleted = 1 AND ts > $2 AND ts < $3 ORDER BY ts LIMIT $4"
_DELETE = f"DELETE FROM object WHERE list = $1 AND deleted = 1 AND ts IN ({_MARKS}) RETURNING ts"


class Scope(NamedTuple):
    """Which tombstones: those before a time (milliseconds), or all but the newest `keep` of each list.

    `bucket`, `collection` and `kind` restrict it to lists below them, or of that kind.
    """

    before: int | None = None
    keep: int | None = None
    bucket: str | None = None
    collection: str | None = None
    kind: str | None = None

    def covers(self, path: ListPath) -> bool:
        """Whether the tombstones of a list are meant."""
        if self.kind is not None and path.kind.name != self.kind:
            return False
        if self.bucket is not None and (path.kind is BUCKET or path.parents[:1] != (self.bucket,)):
            return False
        return self.collection is None or (path.kind is RECORD and path.parents[1:] == (self.collection,))


class Planned(NamedTuple):
    """A list with tombstones to purge: how many, and the newest of them, which becomes its watermark."""

    path: ListPath
    number: int
    tombstones: int
    newest: int


@dataclass
class Purged:
    """What was purged."""

    tombstones: int = 0
    lists: int = 0
    plan: list[Planned] = field(default_factory=list)


async def plan(store: Store, scope: Scope) -> AsyncIterator[Planned]:
    """What a purge would do."""
    last = ""
    while rows := await store.fetch(_LISTS, (last,)):
        last = rows[-1][0]
        for text, number in rows:
            path = ListPath.parse(text)
            if not scope.covers(path):
                continue
            before = scope.before
            if scope.keep is not None:
                oldest_kept = await store.fetch(_NEWEST, (number, max(scope.keep - 1, 0)))
                if not oldest_kept:
                    continue
                before = oldest_kept[0][0] + (scope.keep == 0)
            count, newest = (await store.fetch(_COUNT, (number, before)))[0]
            if count:
                yield Planned(path, number, count, newest)


async def purge(store: Store, scope: Scope, progress: Progress) -> Purged:
    """Purge, in small transactions; one that is broken off can be begun again."""
    done = Purged()
    async for item in plan(store, scope):
        gone, last = 0, -(2**62)
        while True:
            rows = await store.fetch(_FIND, (item.number, last, item.newest + 1, STEP))
            if not rows:
                break
            stamps = [row[0] for row in rows]
            last = stamps[-1]
            gone += await store.transact(_Step(item, stamps))
            progress(str(item.path), gone)
        done.tombstones += gone
        done.lists += gone > 0
        done.plan.append(item._replace(tombstones=gone))
    return done


class _Step:
    """Some tombstones of one list go, and its counts and watermark follow, in one transaction."""

    def __init__(self, item: Planned, stamps: list[int]) -> None:
        self._item = item
        # Always as many parameters, so that it is one prepared statement.
        self._stamps = stamps + stamps[-1:] * (STEP - len(stamps))

    async def __call__(self, transaction: Transaction) -> int:
        clocks = await transaction.lock([str(self._item.path)], ())
        if not clocks or clocks[0].list != self._item.number:
            return 0  # the parent was deleted meanwhile, and all of the list with it
        clock = clocks[0]
        gone = await transaction.fetch(_DELETE, (self._item.number, *self._stamps))
        if not gone:
            return 0
        # The version stays: no object has changed, and whoever counts the changes by it misses none.
        clock = clock._replace(
            dead=clock.dead - len(gone),
            watermark=max(clock.watermark, *(stamp for (stamp,) in gone)),
        )
        await transaction.write(Writes(clocks=[clock]))
        return len(gone)
