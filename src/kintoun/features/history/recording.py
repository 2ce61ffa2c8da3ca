"""Entering changes, in the transactions that make them: one row for each, and nothing is looked up for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kintoun.features.history.counting import entered
from kintoun.features.history.table import ENTRIES, RECORDED, history_of, part_of
from kintoun.model import json, timestamps
from kintoun.model.changes import Change
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD, random_uuid
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.resources.context import Work
from kintoun.storage.outgoing import digest
from kintoun.storage.rows import Clock, Stored
from kintoun.storage.unit import Needs, Unit

AHEAD_MS = 1000
"""How far a list's clock may be ahead of the wall for an entry to follow it."""

Old = tuple[int | None, int | None, str | None, str | None, bytes | None]


_IN_COLLECTIONS = (COLLECTION, RECORD)


class Recorder:
    """Enters changes, except those of excluded objects (URIs, with all that is below them) and users."""

    def __init__(self, excluded: Collection[str], users: Collection[str]) -> None:
        self._excluded = frozenset(excluded)
        self._users = frozenset(users)

    def widen(self, needs: Needs) -> Needs:
        """Lock the history of each bucket in which something is written, in the order of all locks."""
        buckets = {path.parents[0] for path in needs.lists if path.parents and path.kind in RECORDED}
        if not buckets:
            return needs
        return needs._replace(lists=(*needs.lists, *map(history_of, sorted(buckets))))

    async def record(self, work: Work, change: Change) -> None:
        """Enter a change."""
        path = change.path
        if self._passes_over(change):
            return
        if path.kind is BUCKET and change.action == "delete":
            return  # its history goes with it
        unit = work.unit
        list_path = path.list
        below: _Below = unit.conclusions.get((_Below, path.ids[0], list_path)) or await _found(unit, path)
        place = unit.standing_at(list_path) or await unit.standing(list_path)
        clock = unit.standing_at(below.history) or await unit.standing(below.history)
        # An entry is no older than what it tells of, unless that was dated into the future.
        became = place.timestamp
        wall = timestamps.now()
        clock = entered(clock, wall, became if became < wall + AHEAD_MS else 0)
        unit.tick(clock)
        unit.add(ENTRIES, _row(change, below, clock, place.list, place.version, became, _date()))

    async def record_together(self, work: Work, changes: Sequence[Change]) -> None:
        """Enter changes of records of one list, its last ones, each later than the one before."""
        unit, path = work.unit, changes[0].path
        below = await _found(unit, path)
        place = await unit.standing(path.list)
        clock = await unit.standing(below.history)
        wall = timestamps.now()
        date = _date()
        rows = []
        for version, change in enumerate(changes, place.version - len(changes) + 1):
            if not self._passes_over(change):
                became = change.timestamp
                clock = entered(clock, wall, became if became < wall + AHEAD_MS else 0)
                rows.append(_row(change, below, clock, place.list, version, became, date))
        unit.tick(clock)
        unit.add_all(ENTRIES, rows)

    def _passes_over(self, change: Change) -> bool:
        if self._users and change.user in self._users:
            return True
        return bool(self._excluded) and any(str(step) in self._excluded for step in change.path.lineage)


class _Below(NamedTuple):
    """What all entries of a list's objects have in common."""

    history: ListPath
    acl_collection: bytes | None
    acl_bucket: bytes | None
    named: str
    """The members of an entry that name the object, up to its id."""
    also: str
    """Those after its id."""


async def _found(unit: Unit, path: Path) -> _Below:
    kind, ids = path
    place = path.list
    rows = await unit.objects(place.lineage)
    # Ids are letters, digits, `_` and `-`: nothing in them needs to be escaped.
    below = unit.conclusions[_Below, ids[0], place] = _Below(
        history_of(ids[0]),
        _digest_of(rows[1]) if kind is RECORD else None,
        _digest_of(rows[0]) if rows else None,
        f'"resource_name":"{kind.name}","uri":"{place}/',
        f',"collection_id":"{ids[1]}"' if kind is RECORD else "",
    )
    return below


def _row(
    change: Change, below: _Below, clock: Clock, number: int | None, version: int, became: int, date: str
) -> tuple[Any, ...]:
    """The entry of a change, at that time of day, as the last one of a history's clock.

    The change has brought the list of this number to this version, and to the timestamp `became`.
    """
    kind, ids = change.path
    name = ids[-1]
    entry_id = random_uuid()
    return (
        clock.list,
        entry_id,
        clock.timestamp,
        0,
        _entry(entry_id, clock.timestamp, date, change, below),
        digest(change.grants),
        below.acl_collection,
        below.acl_bucket,
        part_of(name),
        name,
        ids[1] if kind in _IN_COLLECTIONS else "",
        kind.name,
        change.user or "",
        number,
        version,
        became if change.since is None else change.since,
        became,
        *_old(change),
    )


def _digest_of(row: Stored | None) -> bytes | None:
    return digest(row.grants) if row is not None else None


def _old(change: Change) -> Old:
    """The row that stood there before: live, a tombstone, or none."""
    timestamp = change.old_timestamp
    if change.old_body is not None:
        grants = change.old_grants or NO_GRANTS
        return timestamp or _timestamp_in(change), 0, change.old_body, grants, digest(grants)
    if timestamp is not None:
        body = json.encode_text({"id": change.path.id, "last_modified": timestamp, "deleted": True})
        return timestamp, 1, body, NO_GRANTS, digest(NO_GRANTS)
    return None, None, None, None, None


def _timestamp_in(change: Change) -> int:
    """For changes of plugins that do not say it."""
    timestamp: int = (change.old or {})["last_modified"]
    return timestamp


def _entry(entry_id: str, timestamp: int, date: str, change: Change, below: _Below) -> str:
    """The entry as readers are sent it, put together of JSON that is there already."""
    kind, ids = change.path
    name = ids[-1]
    return (
        f'{{"id":"{entry_id}","last_modified":{timestamp},"date":"{date}","action":"{change.action}",'
        f'"user_id":{_quoted(change.user)},{below.named}{name}","{kind.name}_id":"{name}"{below.also},'
        f'"target":{{"data":{change.new_body},"permissions":{change.grants}}}}}'
    )


def _date() -> str:
    """The time of day, to the microsecond."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}+00:00"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(maxsize=1024)
def _quoted(user: str | None) -> str:
    return json.encode_text(user)
