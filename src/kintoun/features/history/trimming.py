"""Retention: entries that are too old or too many go, in the background and in small steps.

The count is of entries about one kind of object in a bucket, or, when users are named, of those by each of
them (protocol section 10.1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from kintoun.features.history.counting import forgotten
from kintoun.features.history.table import history_of
from kintoun.model import timestamps
from kintoun.model.paths import ListPath
from kintoun.storage import Store
from kintoun.storage.needs import Needs
from kintoun.storage.unit import Unit

STEP = 500
"""Entries deleted in one transaction, so that no writer waits long behind it."""

DAY_MS = 24 * 3600 * 1000

# A history is found by its path: ids have no slash.
_LISTS = (
    "SELECT bucket, list, version FROM clock WHERE list IS NOT NULL AND bucket IS NOT NULL"
    " AND path = '/buckets/' || bucket || '/history'"
)
_KINDS = "SELECT DISTINCT resource FROM history WHERE list = $1 AND deleted = 0"
_NTH = (
    "SELECT ts FROM history WHERE list = $1 AND deleted = 0 AND resource = $2{author}"
    " ORDER BY ts DESC LIMIT 1 OFFSET ${n}"
)


class Retention(NamedTuple):
    """What is kept: None and -1 are no limit. `threshold` is how many more there may be before any go."""

    max_age_days: int | None
    max_count: int
    threshold: int
    users: tuple[str, ...]


class Excess(NamedTuple):
    """Entries that are to go: those up to a timestamp, of one kind and one user where these are named."""

    until: int
    resource: str | None = None
    author: str | None = None

    def condition(self) -> tuple[str, tuple[Any, ...]]:
        """The condition on them, whose parameters are numbered from `$2`."""
        parts: list[str] = ["ts <= $2"]
        values: list[Any] = [self.until]
        for column, value in (("resource", self.resource), ("author", self.author)):
            if value is not None:
                values.append(value)
                parts.append(f"{column} = ${len(values) + 1}")
        return " AND ".join(parts), tuple(values)


class _Step:
    """One step: some entries of one bucket; done twice, or by two workers at once, it does no harm."""

    def __init__(self, path: ListPath, number: int, excess: Excess) -> None:
        self.needs = Needs((path,))
        self._path = path
        self._number = number
        self._excess = excess

    async def run(self, unit: Unit) -> bool:
        """Returns whether there may be more to do."""
        clock = await unit.clock(self._path)
        if clock is None or clock.list != self._number:
            return False
        condition, values = self._excess.condition()
        gone = await unit.transaction.fetch(
            "DELETE FROM history WHERE list = $1 AND ts IN (SELECT ts FROM history WHERE list = $1"
            f" AND {condition} ORDER BY ts LIMIT {STEP}) RETURNING deleted",
            (self._number, *values),
        )
        if gone:
            dead = sum(row[0] for row in gone)
            unit.tick(forgotten(clock, len(gone) - dead, dead))
        return len(gone) == STEP


class Trimmer:
    """Trims every history that has changed since it was last looked at."""

    def __init__(self, store: Store, retention: Retention) -> None:
        self._store = store
        self._retention = retention
        self._seen: dict[int, int] = {}

    async def run(self) -> None:
        """One round through all of them."""
        seen: dict[int, int] = {}
        for bucket, number, version in await self._store.fetch(_LISTS):
            if self._retention.max_age_days is not None or self._seen.get(number) != version:
                await self._trim(history_of(bucket), number)
            seen[number] = version
        self._seen = seen

    async def _trim(self, path: ListPath, number: int) -> None:
        async for excess in self._excesses(number):
            more = True
            while more:
                more = await self._store.write(_Step(path, number, excess))

    async def _excesses(self, number: int) -> AsyncIterator[Excess]:
        keep = self._retention
        if keep.max_age_days is not None:
            yield Excess(timestamps.now() - keep.max_age_days * DAY_MS)
        if keep.max_count < 0:
            return
        for (resource,) in await self._store.fetch(_KINDS, (number,)):
            for author in keep.users or (None,):
                if await self._nth(number, resource, author, keep.max_count + keep.threshold) is None:
                    continue
                until = await self._nth(number, resource, author, keep.max_count)
                if until is not None:
                    yield Excess(until, resource, author)

    async def _nth(self, number: int, resource: str, author: str | None, n: int) -> int | None:
        """The timestamp of the entry that has `n` newer ones."""
        values: list[Any] = [number, resource, *([author] if author is not None else []), n]
        by = " AND author = $3" if author is not None else ""
        rows = await self._store.fetch(_NTH.format(author=by, n=len(values)), values)
        return int(rows[0][0]) if rows else None
