"""What one process has read of a database since its last change.

The bucket and the collection above a record are read with every record. As long as nobody has committed
anything they are what they were, and asking the database whether anybody has is cheaper than reading them.
"""

from __future__ import annotations

from kintoun.model.paths import ListPath, Path
from kintoun.storage.rows import Clock, Found, Stored, Wanted

BYTES = 3 * 1024 * 1024
"""Memory for objects, about; the latest ones stay."""

OVERHEAD = 700
"""What an object takes besides its JSON, in bytes."""

NAMES = 1000
"""Principals, and lists, that are kept."""

Groups = list[tuple[str, str]]


class Known:
    """Objects, groups and clocks as they are at one version of the database."""

    def __init__(self) -> None:
        self.version: int | None = None
        self._size = 0
        self._objects: dict[Path, Stored | None] = {}
        self._groups: dict[str, Groups] = {}
        self._clocks: dict[ListPath, Clock | None] = {}

    def move(self, version: int) -> None:
        """Forget everything: the database is at another version."""
        self.version = version
        self._size = 0
        self._objects.clear()
        self._groups.clear()
        self._clocks.clear()

    def missing(self, wanted: Wanted) -> Wanted | None:
        """What of a question is not known; None when all is."""
        objects, groups = self._objects, self._groups
        points = tuple([point for point in wanted.points if point not in objects])
        principals = tuple([name for name in wanted.principals if name not in groups])
        clock = wanted.clock if wanted.clock not in self._clocks else None
        if points or principals or clock is not None:
            return Wanted(points, principals, clock)
        return None

    def learn(self, wanted: Wanted, found: Found) -> None:
        """Remember the answer to a question."""
        for point, row in zip(wanted.points, found.points, strict=True):
            if point not in self._objects:
                self._size += _size(row)
            self._objects[point] = row
        for name in wanted.principals:
            self._groups[name] = [pair for pair in found.groups if pair[0] == name]
        if wanted.clock is not None:
            self._clocks[wanted.clock] = found.clock

    def trim(self) -> None:
        """Forget the oldest of what is too much."""
        while self._size > BYTES:
            self._size -= _size(self._objects.pop(next(iter(self._objects))))
        for kept in (self._groups, self._clocks):
            if len(kept) > NAMES:
                kept.clear()

    def answer(self, wanted: Wanted) -> Found:
        """The answer to a question of which nothing is missing."""
        groups = [pair for name in wanted.principals for pair in self._groups[name]]
        clock = self._clocks[wanted.clock] if wanted.clock is not None else None
        return Found([self._objects[point] for point in wanted.points], groups, clock)


def _size(row: Stored | None) -> int:
    return OVERHEAD + (len(row.body) if row is not None else 0)
