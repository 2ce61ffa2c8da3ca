"""Importing a collection: one write, which keeps ids and timestamps and can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kintoun.model import json
from kintoun.model.kinds import RECORD
from kintoun.model.paths import BUCKETS, ListPath, bucket_path, collection_path
from kintoun.model.permissions import NO_GRANTS, acl_text
from kintoun.model.query import Sort
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Clock, Page, Wanted
from kintoun.storage.unit import TimestampTaken, Unit
from kintoun.transfer.sources import Content, Source

OLDEST_FIRST = (Sort("last_modified", False),)
EVERY_ROW = 2**31 - 1
REPORTED_EVERY = 100

Grants = Mapping[str, list[str]]


@dataclass
class Outcome:
    """What an import did to a collection, in numbers of records and tombstones."""

    written: int = 0
    unchanged: int = 0
    restamped: int = 0
    """How many of those written got a new timestamp, because readers may be past the one in the file."""


@dataclass(frozen=True)
class Load:
    """The write that imports one collection: a `Job` of the store, all or nothing.

    Timestamps are kept where no reader can have passed them: in a list without objects all of them, elsewhere
    those after the list's own. With `keep_timestamps` all are kept, and readers who had synced miss the older
    ones. `grants` are given on the bucket and the collection when they are made.
    """

    source: Source
    content: Content
    grants: Grants = field(default_factory=dict)
    keep_timestamps: bool = False
    progress: Callable[[int], None] = lambda _: None

    @property
    def list(self) -> ListPath:
        """The list of the collection's records."""
        return ListPath(RECORD, (self.source.bucket, self.source.collection))

    @property
    def needs(self) -> Needs:
        """What is touched besides the records."""
        bucket = bucket_path(self.source.bucket)
        collection = collection_path(self.source.bucket, self.source.collection)
        return Needs((BUCKETS, collection.list, self.list), (), (bucket, collection))

    async def run(self, unit: Unit) -> Outcome:
        """Write what differs."""
        before = await unit.clock(self.list)
        await self._make_parents(unit)
        clock = await unit.clock(self.list)
        assert clock is not None, "a collection has a list of records"
        if not clock.live and not clock.dead:
            return await self._fill(unit, before)
        return await self._merge(unit, clock)

    async def _make_parents(self, unit: Unit) -> None:
        collection = collection_path(self.source.bucket, self.source.collection)
        for path in collection.lineage:
            present = await unit.object(path)
            if present is None or present.deleted:
                await unit.put(path, {}, acl_text(self.grants))

    async def _fill(self, unit: Unit, before: Clock | None) -> Outcome:
        """Into a list without objects: oldest first, from a clock that is set back for the while."""
        await unit.set_clock(self.list, 0)
        outcome = Outcome()
        for record in sorted(
            self.content.records, key=lambda record: record.get("last_modified", float("inf"))
        ):
            await self._write(unit, record, outcome, chosen=record.get("last_modified"))
        clock = await unit.clock(self.list)
        assert clock is not None
        least = before.timestamp + 1 if before is not None else 1
        await unit.set_clock(self.list, max(clock.timestamp, self.content.timestamp or 0, least))
        return outcome

    async def _merge(self, unit: Unit, clock: Clock) -> Outcome:
        wanted = Wanted(clock=self.list, page=Page((), OLDEST_FIRST, EVERY_ROW, deleted=True))
        rows = (await unit.read(wanted)).rows or ()
        present = {row[1]: json.decode(row[3].encode()) for row in rows}
        outcome = Outcome()
        for record in sorted(
            self.content.records, key=lambda record: record.get("last_modified", float("inf"))
        ):
            if _is_same(present.get(record["id"]), record):
                outcome.unchanged += 1
                self._report(outcome)
                continue
            chosen = record.get("last_modified")
            if chosen is not None and chosen <= clock.timestamp and not self.keep_timestamps:
                chosen = None
                outcome.restamped += 1
            await self._write(unit, record, outcome, chosen=chosen)
        moved = await unit.clock(self.list)
        if moved is not None and (self.content.timestamp or 0) > moved.timestamp:
            await unit.set_clock(self.list, self.content.timestamp or 0)
        return outcome

    async def _write(self, unit: Unit, record: dict[str, Any], outcome: Outcome, chosen: int | None) -> None:
        try:
            await self._put(unit, record, chosen)
        except TimestampTaken:
            await self._put(unit, record, None)
            outcome.restamped += 1
        outcome.written += 1
        self._report(outcome)

    async def _put(self, unit: Unit, record: dict[str, Any], chosen: int | None) -> None:
        path = self.list.object(record["id"])
        if record.get("deleted") is not True:
            await unit.put(path, dict(record), NO_GRANTS, chosen)
            return
        present = await unit.object(path)
        if present is None or present.deleted:
            await unit.put(path, {}, NO_GRANTS, chosen)
        await unit.delete(path, chosen)

    def _report(self, outcome: Outcome) -> None:
        done = outcome.written + outcome.unchanged
        if done % REPORTED_EVERY == 0 or done == len(self.content.records):
            self.progress(done)


def _is_same(present: dict[str, Any] | None, record: dict[str, Any]) -> bool:
    """Whether the store has the record, be it under a later timestamp, which an earlier import gave it."""
    if present is None or present["last_modified"] < record.get("last_modified", 0):
        return False
    return json.equal({**present, "last_modified": 0}, {**record, "last_modified": 0})
