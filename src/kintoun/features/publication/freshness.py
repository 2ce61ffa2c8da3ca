"""When to look again: what has been written, by this process or another, and by other servers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

from kintoun.features.publication.changesets import Changesets
from kintoun.features.publication.marks import Marks
from kintoun.features.publication.monitor import PLACE, Monitor
from kintoun.model.paths import ListPath
from kintoun.storage import Store
from kintoun.storage.dialect import Dialect
from kintoun.storage.rows import Conflict, Unavailable

LOOK_SECONDS = 0.75
"""How often the clocks are looked at of which something is kept: wake-ups of other servers are hints."""


class Freshness:
    """Marks the lists that have moved, whoever moved them."""

    def __init__(self, store: Store, marks: Marks, monitor: Monitor, changesets: Changesets) -> None:
        self._store = store
        self._marks = marks
        self._monitor = monitor
        self._changesets = changesets
        self._parts: tuple[frozenset[str], ...] = ()
        self._watched: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Hear of every commit: of this process's own before its client does."""
        self._store.wakeups.subscribe(self._hear, self.watched)

    def watched(self) -> frozenset[str]:
        """The lists of which something is kept; the same object while they are the same."""
        parts = (self._changesets.watched, self._monitor.watched)
        if any(part is not before for part, before in zip(parts, self._parts or (None, None), strict=True)):
            self._parts, self._watched = parts, parts[0] | parts[1]
        return self._watched

    def _hear(self, paths: Collection[str] | None) -> None:
        if paths is None:
            self._marks.lose()
            return
        places = set(map(Marks.place, paths))
        if any(self._monitor.resources.touched_by(ListPath.parse(path)) for path in paths):
            places.add(PLACE)
        self._marks.move(places)

    async def look(self) -> None:
        """Look at the clocks again and again. The file of a SQLite database tells by itself."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._store.engine.dialect is Dialect.POSTGRESQL:
                with suppress(Unavailable, Conflict):  # whoever needs the database is told
                    await self._store.wakeups.look()
