"""Entering changes, in the transactions that make them: one row for each, and nothing is looked up for it.

What an entry says that only the moment of the change knows is kept then; the rows are made of it all at once,
before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kintoun.features.history.counting import entered
from kintoun.features.history.table import CREATED, RECORDED, REPLACED, history_of, part_of
from kintoun.model import json, timestamps
from kintoun.model.changes import Change
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD, random_uuids
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.resources.context import Work
from kintoun.storage.needs import Needs
from kintoun.storage.outgoing import digest
from kintoun.storage.rows import Clock, Stored
from kintoun.storage.unit import Unit

AHEAD_MS = 1000
"""How far a list's clock may be ahead of the wall for an entry to follow it."""

_IN_COLLECTIONS = (COLLECTION, RECORD)


class Recorder:
    """Enters changes, except those of excluded objects (URIs, with all that is below them) and users."""

    def __init__(self, excluded: Collection[str], users: Collection[str]) -> None:
        self._excluded = frozenset(excluded)
        self._users = frozenset(users)

    def widen(self, needs: Needs) -> Needs:
        """Lock the history of each bucket in which something is written, in the order of all locks."""
        return needs._replace(lists=_with_histories(needs.lists))

    async def record(self, work: Work, change: Change) -> None:
        """Enter a change."""
        path = change.path
        if (self._users or self._excluded) and self._passes_over(change):
            return
        if path.kind is BUCKET and change.action == "delete":
            return  # its history goes with it
        unit, place = work.unit, path.list
        below = unit.conclusions.get((_Below, path.kind, path.ids[:2])) or await _found(unit, path)
        clock = unit.standing_at(place) or await unit.standing(place)
        unit.later(enter, (change, below, clock.version, clock.timestamp))

    async def record_together(self, work: Work, changes: Sequence[Change]) -> None:
        """Enter changes of records of one list, its last ones, each later than the one before."""
        unit, path = work.unit, changes[0].path
        below = await _found(unit, path)
        clock = await unit.standing(path.list)
        for version, change in enumerate(changes, clock.version - len(changes) + 1):
            if not self._passes_over(change):
                unit.later(enter, (change, below, version, change.timestamp))

    def _passes_over(self, change: Change) -> bool:
        if change.user in self._users:
            return True
        return bool(self._excluded) and any(str(step) in self._excluded for step in change.path.lineage)


@lru_cache(maxsize=4096)
def _with_histories(lists: tuple[ListPath, ...]) -> tuple[ListPath, ...]:
    buckets = {path.parents[0] for path in lists if path.parents and path.kind in RECORDED}
    return (*lists, *map(history_of, sorted(buckets)))


class _Below(NamedTuple):
    """What the entries of a list's objects have in common."""

    history: ListPath
    shared: tuple[Any, ...]
    """What stands in the first columns of their rows. The very first is the number of the history."""
    named: str
    """The members of an entry that name the object, up to its id."""
    again: str
    """What follows until the id is named once more."""
    target: str
    """What follows that, up to the data."""


Told = tuple[Change, _Below, int, int]
"""A change, what its entry has in common with others, and the version and the timestamp that the change gave
its list."""


async def _found(unit: Unit, path: Path) -> _Below:
    kind, ids = path
    place = path.list
    rows = await unit.objects(place.lineage)
    origin = await unit.standing(place)
    history = await unit.standing(history_of(ids[0]))
    acl_collection = _digest_of(rows[1]) if kind is RECORD else None
    acl_bucket = _digest_of(rows[0]) if rows else None
    collection = ids[1] if kind in _IN_COLLECTIONS else ""
    # Ids are letters, digits, `_` and `-`: nothing in them needs to be escaped.
    also = f',"collection_id":"{collection}"' if kind is RECORD else ""
    below = unit.conclusions[_Below, kind, ids[:2]] = _Below(
        history.path,
        (history.list, 0, acl_collection, acl_bucket, origin.list, kind.name, collection),
        f'"resource_name":"{kind.name}","uri":"{place}/',
        f'","{kind.name}_id":"',
        f'"{also},"target":{{"data":',
    )
    return below


def _digest_of(row: Stored | None) -> bytes | None:
    return digest(row.grants) if row is not None else None


def enter(unit: Unit, told: Sequence[Told]) -> None:
    """Add the entries of changes."""
    histories: dict[ListPath, list[Told]] = {}
    for each in told:
        histories.setdefault(each[1].history, []).append(each)
    for path, changes in histories.items():
        clock = unit.standing_at(path)
        # What is told of a bucket that was deleted since goes with it.
        kept = [each for each in changes if clock is not None and each[1].shared[0] == clock.list]
        if clock is not None and kept:
            _enter(unit, clock, kept)


def _enter(unit: Unit, clock: Clock, told: Sequence[Told]) -> None:
    """Add the entries of changes to the history that has this clock."""
    wall, date = timestamps.now(), _date()
    # An entry is no older than what it tells of, unless that was dated into the future.
    timestamp, latest = max(clock.timestamp, wall - 1), wall + AHEAD_MS
    created: list[tuple[Any, ...]] = []
    replaced: list[tuple[Any, ...]] = []
    known: Any = None
    shared: tuple[Any, ...] = ()
    opening = ""
    ids = random_uuids(len(told))
    for entry_id, (change, below, version, became) in zip(ids, told, strict=True):
        action, path, old_body, new_body, grants, _, user, _, old_timestamp, since = change
        timestamp = became if timestamp < became < latest else timestamp + 1
        if (common := (below, action, user, grants)) != known:
            known = common
            shared = (*below.shared, user or "", digest(grants))
            opening = f',"date":"{date}","action":"{action}","user_id":{_quoted(user)},{below.named}'
        name = path.ids[-1]
        body = (
            f'{{"id":"{entry_id}","last_modified":{timestamp}{opening}{name}{below.again}{name}{below.target}'
            f'{new_body},"permissions":{grants}}}}}'
        )
        if since is None:
            since = became
        own = (entry_id, timestamp, body, part_of(name), name, version, since, became)
        if old_body is None and old_timestamp is None:
            created.append(shared + own)
        else:
            alike, apart = _old(change)
            replaced.append(shared + alike + own + apart)
    unit.add_all(CREATED, created)
    unit.add_all(REPLACED, replaced)
    unit.tick(entered(clock, len(told), timestamp))


def _old(change: Change) -> tuple[tuple[int, str, bytes], tuple[int, str]]:
    """The row that stood there before, live or a tombstone: what many have in common, and the rest of it."""
    timestamp = change.old_timestamp
    if change.old_body is not None:
        grants = change.old_grants or NO_GRANTS
        return (0, grants, digest(grants)), (timestamp or _timestamp_in(change), change.old_body)
    assert timestamp is not None, "there was something"
    body = json.encode_text({"id": change.path.id, "last_modified": timestamp, "deleted": True})
    return (1, NO_GRANTS, digest(NO_GRANTS)), (timestamp, body)


def _timestamp_in(change: Change) -> int:
    """For changes of plugins that do not say it."""
    timestamp: int = (change.old or {})["last_modified"]
    return timestamp


def _date() -> str:
    """The time of day, to the microsecond."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{moment}.{nanoseconds // 1000:06d}+00:00"


@lru_cache(maxsize=1024)
def _quoted(user: str | None) -> str:
    return json.encode_text(user)
