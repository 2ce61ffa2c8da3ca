"""The unit of work: what the writes of one transaction see, and what they will have changed at its end.

Writes of one or several requests run against a `Unit` in memory; what they read is fetched once, what they
write is sent in one step before the commit. The clocks of all lists that are written stay locked from before
the first read to the commit, so what a write has checked is still true when it commits. A failing item of a
batch is taken back by `rollback`, without the database knowing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec

from kintoun.model import timestamps
from kintoun.model.kinds import BUCKET, CHILDREN, GROUP, RECORD
from kintoun.model.paths import BUCKETS, ListPath, Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.model.tuples import made
from kintoun.storage.engine import Transaction, Writes
from kintoun.storage.locked import Locked
from kintoun.storage.membership import Members, correct, members_of
from kintoun.storage.outgoing import before_and_after, counted, rows_of, size_of
from kintoun.storage.rows import Clock, Conflict, Found, Stored, Wanted, Written
from kintoun.storage.tables import Added, Row, Table

_encode = msgspec.json.encode

_ADDED = (None, None, None)
"""The entry of the journal for a row that was added."""

_LATER = "later"
"""Marks the entries of the journal for what is left for later: the items that were completed, or None for a
new one."""

Complete = Callable[["Unit", Sequence[Any]], None]


class TimestampTaken(Exception):
    """A client chose a timestamp that another object of the list bears."""


class Unit(Locked):
    """The state of one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._members: dict[Path, Members | None] = {}
        self._unlinked: dict[int, ListPath | None] = {}
        self._added = Added()
        self._changed: dict[ListPath | Path, None] = {}
        self._later: list[tuple[Complete, Any]] = []
        self._journal: list[tuple[Any, Any, Any]] = []
        self._sent = 0

    # Reading

    async def standing(self, path: ListPath) -> Clock:
        """The clock of a list whose parent is there, locked.

        Raises Conflict when the parent came to be after the lock was asked for: then all is run again.
        """
        clock = self._clocks.get(path) or await self.clock(path)
        if clock is None or clock.list is None:
            clock = await self._begun(path)
        if clock is None or clock.list is None:
            raise Conflict(f"the parent of {path} was created meanwhile")
        return clock

    def standing_at(self, path: ListPath) -> Clock | None:
        """What `standing` answers, if that needs no look into the database."""
        clock = self._clocks.get(path)
        return clock if clock is not None and clock.list is not None else None

    async def _begun(self, path: ListPath) -> Clock | None:
        """The clock of a list that has none, or no number: its kind came to the server after its parent did.

        Whoever else begins this list waits for the same lock, that of the list in which the parent stands.
        """
        parent = path.parent
        await self.clock(parent.list if parent is not None else BUCKETS)
        await self._lock({str(path): path}, ())
        clock = self._clocks[path]
        if clock is None or clock.list is None:
            row = await self.object(parent) if parent is not None else None
            if parent is None or (row is not None and not row.deleted):
                await self._link(path)
        return self._clocks[path]

    async def groups(self, principals: Sequence[str]) -> set[str]:
        """The URIs of the groups that one of the principals is a member of."""
        missing = [principal for principal in principals if principal not in self._groups]
        if missing:
            await self._fetch([], missing)
        groups = set().union(*(self._groups[principal] for principal in principals))
        if self._members or self._unlinked:
            correct(groups, principals, self._members, self._unlinked.values(), self._clocks)
        return groups

    async def read(self, wanted: Wanted) -> Found:
        """The answer to a question, as if what was written so far had been committed."""
        if wanted.page is not None or wanted.total is not None:
            await self.flush()
            found = await self.transaction.read(wanted._replace(principals=()))
        else:
            found = Found([await self.object(path) for path in wanted.points], [])
            if wanted.clock:
                self.settle()
                found.clock = await self.clock(wanted.clock)
        found.groups = [(p, group) for p in wanted.principals for group in await self.groups([p])]
        return found

    async def taken(self, path: ListPath, timestamp: int) -> bool:
        """Whether an object of the list bears the timestamp."""
        clock = await self.clock(path)
        if clock is None or clock.list is None or timestamp > clock.timestamp:
            return False
        await self.flush()
        return await self.transaction.taken(clock.list, timestamp)

    # Writing

    async def put(
        self, path: Path, attributes: dict[str, Any], grants: str, chosen: int | None = None
    ) -> Written:
        """Write a live object. The list's parent must exist.

        `attributes` get the object's id and timestamp. `chosen` is the timestamp (milliseconds) that the
        client asks for; raises TimestampTaken when another object of the list bears it.
        """
        clock = self._clocks.get(path.list)
        if clock is None or clock.list is None or chosen is not None or path not in self._objects:
            clock, previous = await self._before(path, chosen)
        else:
            previous = self._objects[path]
        timestamp = timestamps.following(clock.timestamp, timestamps.now()) if chosen is None else chosen
        attributes["id"] = path.ids[-1]
        attributes["last_modified"] = timestamp
        row = made(Stored, (path.ids[-1], timestamp, False, _encode(attributes).decode(), grants))
        self._set(clock, path, row, previous)
        if path.kind is GROUP:
            assert clock.list is not None
            members = Members(clock.list, frozenset(attributes.get("members") or ()))
            self._remember(self._members, path, members)
        if path.kind in CHILDREN and (previous is None or previous.deleted):
            for child in path.children:
                await self._link(child)
        return made(Written, (row, previous, clock.timestamp))

    async def place(
        self,
        place: ListPath,
        paths: Sequence[Path],
        rows: Sequence[Stored],
        before: Sequence[Stored | None],
    ) -> Clock:
        """Write many rows of records, live ones and tombstones, that are finished and later than their list.

        They are in the order of their timestamps, and of `paths`. `before` is what stands there, as somebody
        knows who read it under the version that the list's clock has. Returns the clock from before.
        """
        clock = await self.standing(place)
        if not rows:
            return clock
        assert rows[0].timestamp > clock.timestamp, "the clock of a list goes on"
        if place.kind in CHILDREN:
            self.conclusions.clear()
        self.tick(counted(clock, rows, before))
        for path, row, previous in zip(paths, rows, before, strict=True):
            self._stored.setdefault(path, previous)
            self._journal.append((self._objects, path, previous))
            self._objects[path] = row
            self._changed[path] = None
        return clock

    async def delete(self, path: Path, chosen: int | None = None) -> Written:
        """Turn an object into its tombstone, and unlink the lists below it."""
        clock, previous = await self._before(path, chosen)
        assert previous is not None, "only what is there can be deleted"
        assert not previous.deleted, "only what is there can be deleted"
        timestamp = timestamps.following(clock.timestamp, timestamps.now()) if chosen is None else chosen
        body = _encode({"id": path.id, "last_modified": timestamp, "deleted": True}).decode()
        row = Stored(path.id, timestamp, True, body, NO_GRANTS)
        self._set(clock, path, row, previous)
        if path.kind is GROUP:
            assert clock.list is not None
            self._remember(self._members, path, Members(clock.list, frozenset()))
        await self._unlink(path)
        return Written(row, previous, clock.timestamp)

    async def _before(self, path: Path, chosen: int | None) -> tuple[Clock, Stored | None]:
        place = path.list
        clock = self._clocks.get(place)
        if clock is None or clock.list is None:
            clock = await self.standing(place)
        previous = self._objects[path] if path in self._objects else await self.object(path)
        if chosen is not None:
            mine = previous is not None and previous.timestamp == chosen
            if not mine and await self.taken(place, chosen):
                raise TimestampTaken
        return clock, previous

    def _set(self, clock: Clock, path: Path, row: Stored, previous: Stored | None) -> None:
        place, number, timestamp, version, live, dead, size, watermark = clock
        if previous is not None:
            if previous.deleted:
                dead -= 1
            else:
                live -= 1
                size -= size_of(previous.body)
        if row.deleted:
            dead += 1
        else:
            live += 1
            size += size_of(row.body)
        if path.kind is not RECORD or RECORD in CHILDREN:
            self.conclusions.clear()
        last = row.timestamp
        if last > timestamp:
            timestamp = last
        self._journal += ((self._objects, path, previous), (self._clocks, place, clock))
        self._objects[path] = row
        self._clocks[place] = made(
            Clock, (place, number, timestamp, version + 1, live, dead, size, watermark)
        )
        self._changed[path] = None
        self._changed[place] = None

    async def _link(self, path: ListPath) -> None:
        """Give the list at `path` a new number: its parent has come to be."""
        clock = await self.clock(path)
        assert clock is None or clock.list is None, f"the list at {path} was not unlinked with its parent"
        number = secrets.randbits(62) + 1
        if clock is None:
            start = timestamps.now()
            clock = Clock(path, number, start, 0, 0, 0, 0, 0)
        self.tick(clock._replace(list=number, version=clock.version + 1))

    async def _unlink(self, path: Path) -> None:
        """Cut off every list below an object that is deleted."""
        if path.kind is BUCKET:
            clocks = await self.clocks_of_bucket(path.id)
        else:
            clocks = [clock for child in path.children if (clock := await self.clock(child))]
        for clock in clocks:
            if clock.list is not None:
                self.cut(clock, None)

    def cut(self, clock: Clock, number: int | None) -> None:
        """Drop all objects of a list at once; it goes on under `number`, or waits for its parent.

        Whoever had synced live records learns it by the clock, which moves on. The watermark does not: the
        answer to who asks for changes is the protocol's, an ETag that changed (protocol section 3.4).
        """
        assert clock.list is not None
        timestamp = clock.timestamp
        if clock.live:
            timestamp = timestamps.following(timestamp, timestamps.now())
        self._remember(self._unlinked, clock.list, clock.path)
        self.conclusions.clear()
        self.tick(Clock(clock.path, number, timestamp, clock.version + 1, 0, 0, 0, clock.watermark))
        for path in [path for path in self._objects if path.list == clock.path]:
            self._forget(path)
            self._stored.pop(path, None)

    async def set_clock(self, path: ListPath, timestamp: int) -> None:
        """Put a list's clock at `timestamp` (milliseconds), for an import that keeps timestamps.

        Only where no object has been read yet may that be back, and never behind what readers were given.
        """
        clock = await self.standing(path)
        self.tick(clock._replace(timestamp=timestamp, version=clock.version + 1))

    def add(self, table: Table, row: Row) -> None:
        """Add a row to a table of a feature, sent with everything else."""
        self._added.add(table, row)
        self._journal.append(_ADDED)

    def add_all(self, table: Table, rows: Collection[Row]) -> None:
        """Add many rows to a table of a feature: see `add`."""
        self._added.add_all(table, rows)
        self._journal += [_ADDED] * len(rows)

    def later(self, complete: Complete, item: Any) -> None:
        """Have `complete(unit, items)` called before anything is sent, once for all items that it was left.

        So what each of many writes entails is done for all of them together.
        """
        self._later.append((complete, item))
        self._journal.append((_LATER, None, None))

    def settle(self) -> None:
        """Complete what was left for later."""
        if not self._later:
            return
        items: dict[Complete, list[Any]] = {}
        for complete, item in self._later:
            items.setdefault(complete, []).append(item)
        self._journal.append((_LATER, self._later, None))
        self._later = []
        for complete, left in items.items():
            complete(self, left)

    def added(self, table: Table) -> list[Row]:
        """The rows that were added to a table, which a closing hook may still complete."""
        return self._added.of(table)

    def clocks_changed(self) -> Iterator[tuple[Clock | None, Clock]]:
        """The clocks that are to be written: each as it was before, None for a new one, and as it is now."""
        return ((before, after) for _, before, after in before_and_after(self._journal, self._clocks))

    def objects_changed(self) -> Iterator[tuple[Path, Stored | None, Stored]]:
        """The rows that are to be written, but of lists cut off: each as it was before, and as it is now."""
        return before_and_after(self._journal, self._objects)

    # Undoing and sending

    def mark(self) -> int:
        """The present state, to come back to."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Take back every write since `mark`."""
        self.conclusions.clear()
        while len(self._journal) > mark:
            state, key, old = self._journal.pop()
            if state is None:
                self._added.take_back()
                continue
            if state is _LATER:
                if key is None:
                    self._later.pop()
                else:
                    self._later = key
                continue
            if state is self._clocks and len(self._journal) < self._sent:
                present = state[key]
                assert present is not None, "a clock never goes"
                old = self._unborn(present) if old is None else self._not_before(old, present)
            state[key] = old
            if state is self._clocks or state is self._objects:
                self._changed[key] = None
        self._sent = min(self._sent, mark)

    def _unborn(self, clock: Clock) -> Clock:
        """A clock that was made by a write taken back: it may have been sent, so it stays, without a list."""
        if clock.list is not None:
            self._unlinked[clock.list] = clock.path
        return clock._replace(list=None, live=0, dead=0, bytes=0)

    @staticmethod
    def _not_before(old: Clock, present: Clock) -> Clock:
        """A clock taken back keeps its timestamps used: they may have been sent already."""
        return old._replace(timestamp=present.timestamp) if present.timestamp > old.timestamp else old

    def _remember(self, state: dict[Any, Any], key: Any, value: Any) -> None:
        self._journal.append((state, key, state.get(key)))
        state[key] = value

    def _forget(self, path: Path) -> None:
        """What is cached of an object whose list is cut off: there is nothing at its path."""
        self._journal.append((self._objects, path, self._objects[path]))
        self._objects[path] = None

    def tick(self, clock: Clock) -> None:
        """Let the clock of a list, locked, be this one."""
        self._journal.append((self._clocks, clock.path, self._clocks.get(clock.path)))
        self._clocks[clock.path] = clock
        self._changed[clock.path] = None

    async def flush(self) -> None:
        """Send what was written so far, so that pages can be read of it."""
        self.settle()
        writes = self._to_write(last=False)
        if writes:
            await self._retract()
            await self.transaction.write(writes)
            self._sent = len(self._journal)

    async def finish(self) -> None:
        """Send everything. Nothing can be taken back after that."""
        self.settle()
        writes = self._to_write(last=True)
        writes.members = members_of(self._members)
        writes.unlinked = [number for number, path in self._unlinked.items() if path is not None]
        await self._retract()
        await self.transaction.write(writes)

    def _to_write(self, *, last: bool) -> Writes:
        writes = rows_of(self._changed, self._clocks, self._objects, self._stored)
        writes.added = self._added.to_send(last=last)
        self._changed.clear()
        return writes

    async def _retract(self) -> None:
        for table, keys in self._added.retracted().items():
            await self.transaction.execute_many(table.delete, keys)
