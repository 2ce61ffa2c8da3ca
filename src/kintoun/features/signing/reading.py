"""What a publication reads: positions of lists, what changed in a source, and what a target holds.

Nothing is locked meanwhile. Positions are read first, and a publication is committed only where they still
hold: then nothing that was read after them has changed either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath, Path
from kintoun.storage import Store
from kintoun.storage.rows import Clock, Wanted

NO_LIST = 0
"""In place of the number of a list that is not there."""

_CHANGED = (
    "SELECT s.id, s.deleted, s.body, p.deleted, p.body, d.deleted, d.body FROM object s"
    " LEFT JOIN object p ON p.list = $2 AND p.id = s.id LEFT JOIN object d ON d.list = $3 AND d.id = s.id"
    " WHERE s.list = $1 AND s.ts > $4 ORDER BY s.ts"
)
_MORE = (
    "SELECT t.list, t.id, t.body FROM object t WHERE t.list IN ($2, $3) AND t.deleted = 0"
    " AND NOT EXISTS (SELECT 1 FROM object s WHERE s.list = $1 AND s.id = t.id)"
)
# In the order in which they were written: so they lie together, whatever their ids.
_RECORDS = "SELECT o.id, o.body FROM object o WHERE o.list = $1 AND o.deleted = 0 ORDER BY o.ts"


class Position(NamedTuple):
    """Where a list stood; without `number` it was not there, and `timestamp` is the last that it had."""

    path: ListPath
    number: int
    timestamp: int
    version: int
    live: int
    watermark: int

    def holds(self, clock: Clock | None) -> bool:
        """Whether the list still stands there."""
        present = position_of(self.path, clock)
        return (present.number, present.version) == (self.number, self.version)


class Candidate(NamedTuple):
    """The bodies of what stands under one id, None where nothing does."""

    id: str
    source: str | None
    preview: str | None
    destination: str | None


def position_of(path: ListPath, clock: Clock | None) -> Position:
    if clock is None:
        return Position(path, NO_LIST, 0, 0, 0, 0)
    return Position(path, clock.list or NO_LIST, clock.timestamp, clock.version, clock.live, clock.watermark)


def records_of(collection: Path) -> ListPath:
    return ListPath(RECORD, collection.ids)


async def positions(store: Store, paths: Sequence[ListPath]) -> list[Position]:
    """Where lists stand now."""
    found = await asyncio.gather(*(store.read(Wanted(clock=path)) for path in paths))
    return [position_of(path, each.clock) for path, each in zip(paths, found, strict=True)]


async def candidates(
    store: Store, source: int, preview: int, destination: int, since: int
) -> list[Candidate]:
    """What may differ between the lists of these numbers: what changed in the source after `since`.

    From the beginning (0) it is everything that any of them has.
    """
    rows = await store.fetch(_CHANGED, (source, preview, destination, since))
    found = [
        Candidate(row[0], _live(row[1], row[2]), _live(row[3], row[4]), _live(row[5], row[6])) for row in rows
    ]
    if not since:
        more: dict[str, Candidate] = {}
        for number, name, body in await store.fetch(_MORE, (source, preview, destination)):
            known = more.get(name, Candidate(name, None, None, None))
            role = {"preview": body} if number == preview else {"destination": body}
            more[name] = known._replace(**role)
        found += more.values()
    return found


def _live(deleted: int | None, body: str | None) -> str | None:
    return body if deleted == 0 else None


async def records(store: Store, number: int) -> list[tuple[str, str]]:
    """The ids and bodies of the live records of a list."""
    return [(row[0], row[1]) for row in await store.fetch(_RECORDS, (number,))]
