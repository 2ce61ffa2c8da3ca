"""What a publication reads: positions of lists, what changed in a source, and what a target holds.

Nothing is locked meanwhile. Positions are read first, and a publication is committed only where they still
hold: then nothing that was read after them has changed either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar

from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath, Path
from kintoun.model.tuples import made
from kintoun.storage import Store
from kintoun.storage.dialect import Dialect
from kintoun.storage.rows import Clock, Stored, Wanted

T = TypeVar("T")

FEW = 200
"""Records up to which work on them is done in the event loop."""

Role = Literal["source", "preview", "destination"]

NO_LIST = 0
"""In place of the number of a list that is not there."""

PAGE = 1000
"""Rows that are read at once: so many keep neither the database nor the event loop for long."""

# Where the pages of a list end. A range of timestamps has two bounds everywhere: PostgreSQL, planning for any
# values, would otherwise rather look through the whole list for the few rows behind one.
_ENDS = (
    "SELECT n.ts FROM (SELECT o.ts, row_number() OVER (ORDER BY o.ts) AS place FROM object o"
    " WHERE o.list = $1 AND o.ts > $2 AND o.ts <= $3) n WHERE n.place % {page} = 0 ORDER BY n.ts"
)
_CHANGED = (
    "SELECT s.id, s.ts, s.deleted, s.body, s.grants, p.ts, p.deleted, p.body, p.grants,"
    " d.ts, d.deleted, d.body, d.grants FROM object s"
    " LEFT JOIN object p ON p.list = $2 AND p.id = s.id LEFT JOIN object d ON d.list = $3 AND d.id = s.id"
    " WHERE s.list = $1 AND s.ts > $4 AND s.ts <= $5 ORDER BY s.ts"
)
_MORE = (
    "SELECT t.list, t.id, t.ts, t.deleted, t.body, t.grants FROM object t"
    " WHERE t.list IN ($2, $3) AND t.deleted = 0"
    " AND NOT EXISTS (SELECT 1 FROM object s WHERE s.list = $1 AND s.id = t.id)"
)
# What was written together lies together, whatever its ids. A page comes as one row, which costs driver and
# event loop next to nothing; no id and no JSON that is stored has a line break.
_CONTENT = (
    "SELECT {join}(o.id, '\n'), {join}(CASE WHEN o.deleted = 0 THEN o.body ELSE '' END, '\n') FROM object o"
    " WHERE o.list = $1 AND o.ts > $2 AND o.ts <= $3 AND o.deleted <= $4"
)
_JOIN = {Dialect.SQLITE: "group_concat", Dialect.POSTGRESQL: "string_agg"}


class Position(NamedTuple):
    """Where a list stood; without `number` it was not there, and `timestamp` is the last that it had.

    `live` counts its records, `size` their bytes.
    """

    path: ListPath
    number: int
    timestamp: int
    version: int
    live: int
    size: int
    watermark: int

    def holds(self, clock: Clock | None) -> bool:
        """Whether the list still stands there."""
        present = position_of(self.path, clock)
        return (present.number, present.version) == (self.number, self.version)


class Candidate(NamedTuple):
    """The rows that stand under one id, tombstones too, None where there is none."""

    id: str
    source: Stored | None
    preview: Stored | None
    destination: Stored | None

    def live(self, role: Role) -> Stored | None:
        """The row of a live record."""
        row: Stored | None = getattr(self, role)
        return None if row is None or row.deleted else row


def position_of(path: ListPath, clock: Clock | None) -> Position:
    if clock is None:
        return Position(path, NO_LIST, 0, 0, 0, 0, 0)
    _, number, timestamp, version, live, _, size, watermark = clock
    return Position(path, number or NO_LIST, timestamp, version, live, size, watermark)


def records_of(collection: Path) -> ListPath:
    return ListPath(RECORD, collection.ids)


async def positions(store: Store, paths: Sequence[ListPath]) -> list[Position]:
    """Where lists stand now."""
    found = await asyncio.gather(*(store.read(Wanted(clock=path)) for path in paths))
    return [position_of(path, each.clock) for path, each in zip(paths, found, strict=True)]


async def candidates(
    store: Store, source: Position | None, preview: int, destination: int, since: int
) -> list[Candidate]:
    """What may differ between a source and the lists of these numbers: what changed in it after `since`.

    From the beginning (0) it is everything that any of them has.
    """
    found: list[Candidate] = []
    number = source.number if source is not None else NO_LIST
    for behind, end in await _pages(store, number, since, source.timestamp) if source is not None else ():
        rows = await store.fetch(_CHANGED, (number, preview, destination, behind, end))
        found += map(_candidate, rows)
    if not since:
        more = await store.fetch(_MORE, (number, preview, destination))
        found += await aside(len(more), lambda: _without_source(more, preview))
    return found


async def _pages(store: Store, number: int, since: int, end: int) -> Iterable[tuple[int, int]]:
    """Between which timestamps there are as many rows of a list as are read at once."""
    if end - since <= PAGE:  # no two of a list have the same
        return ((since, end),)
    rows = await store.fetch(_ENDS.format(page=PAGE), (number, since, end))
    return pairwise((since, *(row[0] for row in rows), end))


def _candidate(row: Sequence[Any]) -> Candidate:
    name = row[0]
    return made(Candidate, (name, _row(name, row, 1), _row(name, row, 5), _row(name, row, 9)))


def _without_source(rows: Iterable[Sequence[Any]], preview: int) -> Iterable[Candidate]:
    """What targets have under ids that the source does not know."""
    found: dict[str, Candidate] = {}
    for row in rows:
        name, present = row[1], _row(row[1], row, 2)
        known = found.get(name, Candidate(name, None, None, None))
        if row[0] == preview:
            found[name] = known._replace(preview=present)
        else:
            found[name] = known._replace(destination=present)
    return found.values()


async def aside(size: int, work: Callable[[], T]) -> T:
    """The result of work on so many records: in a thread, unless they are few."""
    return work() if size <= FEW else await asyncio.to_thread(work)


def _row(name: str, values: Sequence[Any], first: int) -> Stored | None:
    """The row whose timestamp, deletion mark, body and ACL stand in `values` from the index `first` on."""
    timestamp = values[first]
    if timestamp is None:
        return None
    deleted, body, grants = values[first + 1 : first + 4]
    return made(Stored, (name, timestamp, bool(deleted), body, grants))


async def content(store: Store, position: Position, since: int = 0) -> dict[str, str | None]:
    """The bodies of the records of a list, by their ids.

    With a timestamp, `since`, it is what changed after that: None stands for a record that was deleted.
    """
    sql = _CONTENT.format(join=_JOIN[store.engine.dialect])
    found: dict[str, str | None] = {}
    for behind, end in await _pages(store, position.number, since, position.timestamp):
        ((ids, bodies),) = await store.fetch(sql, (position.number, behind, end, int(since > 0)))
        if ids is not None:
            names = ids.split("\n")
            found.update(zip(names, [body or None for body in bodies.split("\n")], strict=True))
    return found
