"""Entering changes, in the transactions that make them: one row for each, and nothing is looked up for it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache

from kintoun.features.history.table import ENTRIES, RECORDED, history_of
from kintoun.model import json, timestamps
from kintoun.model.changes import Change
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD, random_uuid
from kintoun.model.paths import Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.resources.context import Work
from kintoun.storage.outgoing import digest
from kintoun.storage.rows import Clock, Stored
from kintoun.storage.unit import Needs

AHEAD_MS = 1000
"""How far a list's clock may be ahead of the wall for an entry to follow it."""

Old = tuple[int | None, int | None, str | None, str | None, bytes | None]


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
        kind, ids = change.path
        if kind not in RECORDED or change.user in self._users:
            return
        if self._excluded and self._is_excluded(change.path):
            return
        if kind is BUCKET and change.action == "delete":
            return  # its history goes with it
        unit = work.unit
        place = await unit.clock(change.path.list)
        assert place is not None, "what was written stands in a list"
        above = [await unit.object(step) for step in change.path.lineage[:-1]]
        collection = "" if len(ids) == 1 else ids[1] if kind in (COLLECTION, RECORD) else ""
        # An entry is no older than what it tells of, unless that was dated into the future.
        at_least = place.timestamp if place.timestamp < timestamps.now() + AHEAD_MS else 0
        clock = await unit.count(history_of(ids[0]), 1, at_least=at_least)
        entry_id = random_uuid()
        unit.add(
            ENTRIES,
            (
                clock.list,
                entry_id,
                clock.timestamp,
                0,
                _entry(entry_id, clock.timestamp, change),
                digest(change.grants),
                _digest_of(above, 1),
                _digest_of(above, 0),
                ids[-1],
                collection,
                kind.name,
                change.user or "",
                *_origin(place, change),
                *_old(change),
            ),
        )

    def _is_excluded(self, path: Path) -> bool:
        return any(str(step) in self._excluded for step in path.lineage)


def _digest_of(above: list[Stored | None], position: int) -> bytes | None:
    row = above[position] if position < len(above) else None
    return digest(row.grants) if row is not None else None


def _origin(place: Clock, change: Change) -> tuple[int | None, int, int, int]:
    since = place.timestamp if change.since is None else change.since
    return place.list, place.version, since, place.timestamp


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


def _entry(entry_id: str, timestamp: int, change: Change) -> str:
    """The entry as readers are sent it, put together of JSON that is there already."""
    ids = change.path.ids
    date = datetime.now(UTC).isoformat(timespec="microseconds")
    named = _names(change.path.kind.name, str(change.path), ids)
    return (
        f'{{"id":"{entry_id}","last_modified":{timestamp},"date":"{date}","action":"{change.action}",'
        f'"user_id":{_quoted(change.user)},{named},'
        f'"target":{{"data":{change.new_body},"permissions":{change.grants}}}}}'
    )


@lru_cache(maxsize=1024)
def _quoted(user: str | None) -> str:
    return json.encode_text(user)


def _names(name: str, uri: str, ids: tuple[str, ...]) -> str:
    # Ids are letters, digits, `_` and `-`: nothing in them needs to be escaped.
    own = f'"resource_name":"{name}","uri":"{uri}","{name}_id":"{ids[-1]}"'
    return f'{own},"collection_id":"{ids[1]}"' if len(ids) == 3 else own
