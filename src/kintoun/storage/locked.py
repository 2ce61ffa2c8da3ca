"""What a transaction holds: the clocks it has locked, and the rows it has fetched under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kintoun.model.paths import ListPath, Path
from kintoun.storage.engine import Transaction
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Clock, Stored


class Locked:
    """What is locked and fetched so far: in one step what was known in advance, the rest when asked for."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self._clocks: dict[ListPath, Clock | None] = {}
        self._buckets: set[str] = set()
        """Those of which every clock is locked."""
        self._objects: dict[Path, Stored | None] = {}
        self._stored: dict[Path, Stored | None] = {}
        """Rows as the database has them."""
        self._groups: dict[str, set[str]] = {}
        """The groups of a principal, as the database has them."""
        self.conclusions: dict[Any, Any] = {}
        """What was made of rows that others depend on, as whom a claim stands for; gone when one changes."""

    def knows(self, needs: Needs) -> bool:
        """Whether all that a write is known to touch is locked and fetched already."""
        for path in needs.lists:
            if path not in self._clocks:
                return False
        for point in (*needs.points, *needs.fresh):
            if point not in self._objects:
                return False
        return self._buckets.issuperset(needs.buckets) and not needs.principals

    async def prepare(self, needs: Sequence[Needs]) -> None:
        """Lock and fetch what the writes of a group are known to touch, as far as it is not there yet."""
        lists: dict[str, ListPath] = {}
        buckets: set[str] = set()
        points: dict[Path, None] = {}
        principals: dict[str, None] = {}
        for need in needs:
            for path in need.lists:
                if path not in self._clocks:
                    lists[str(path)] = path
            buckets.update(bucket for bucket in need.buckets if bucket not in self._buckets)
            points.update(dict.fromkeys(need.points))
            principals.update((user, None) for user in need.principals if user not in self._groups)
        if lists or buckets:
            await self._lock(lists, sorted(buckets))
        missing = [path for path in points if path not in self._objects]
        if missing or principals:
            await self._fetch(missing, list(principals))
        for need in needs:
            for point in need.fresh:
                if point not in self._objects:
                    self._objects[point] = None

    async def _lock(self, lists: dict[str, ListPath], buckets: Sequence[str]) -> None:
        """Lock clocks, those included that others were adding while their locks were waited for."""
        if not lists and not buckets:
            return
        for path in lists.values():
            self._clocks.setdefault(path, None)
        more = True
        while more:
            clocks = await self.transaction.lock(sorted(lists), buckets)
            # What this unit has changed already is newer than what the database says.
            fresh = {clock.path: clock for clock in clocks if self._clocks.get(clock.path) is None}
            self._clocks.update(fresh)
            # What was read of a list before it was locked may have changed since.
            for stale in [path for path in self._objects if path.list in fresh]:
                del self._objects[stale]
            self.conclusions.clear()
            # A statement that waited has not seen what was added meanwhile; another one does.
            missing = any(self._clocks[path] is None for path in lists.values())
            more = bool(fresh) and (missing or bool(buckets))
        self._buckets.update(buckets)

    async def _fetch(self, paths: Sequence[Path], principals: Sequence[str]) -> None:
        objects, groups = await self.transaction.points(paths, principals)
        fetched = dict(zip(paths, objects, strict=True))
        self._objects.update(fetched)
        self._stored.update(fetched)
        for principal in principals:
            self._groups.setdefault(principal, set())
        for principal, group in groups:
            self._groups[principal].add(group)

    async def clock(self, path: ListPath) -> Clock | None:
        """The clock of a list, locked; None when nothing ever stood at that path."""
        if path not in self._clocks:
            await self._lock({str(path): path}, ())
        return self._clocks[path]

    async def clocks_of_bucket(self, bucket: str) -> list[Clock]:
        """The clocks of all lists in a bucket, locked."""
        if bucket not in self._buckets:
            await self._lock({}, [bucket])
        return [
            clock
            for path, clock in self._clocks.items()
            if clock and path.parents and path.parents[0] == bucket
        ]

    async def object(self, path: Path) -> Stored | None:
        """The row of an object, a tombstone perhaps; None when there is none, or no parent."""
        if path not in self._objects:
            await self._fetch([path], ())
        return self._objects[path]

    async def objects(self, paths: Sequence[Path]) -> list[Stored | None]:
        """The rows of several objects: see `object`."""
        known = self._objects
        try:
            return [known[path] for path in paths]
        except KeyError:
            await self._fetch([path for path in paths if path not in known], ())
        return [known[path] for path in paths]
