"""The collections that clients follow, and when each has changed last (signing section 10.1)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import md5
from typing import Any

from kintoun.features.publication.marks import Marks, Seen
from kintoun.features.publication.sharing import Shared
from kintoun.model import timestamps
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD
from kintoun.model.paths import BUCKETS, ListPath
from kintoun.storage import Store

BUCKET_ID = "monitor"
COLLECTION_ID = "changes"

Entry = dict[str, Any]

NOTHING: frozenset[str] = frozenset()

PLACE = Marks.place("monitor")
"""Where those who follow all collections look whether one has moved."""


class Resources:
    """Which collections are followed: those of some buckets, and some by themselves."""

    def __init__(self, included: Iterable[str], excluded: Iterable[str]) -> None:
        """`included` and `excluded` are URIs of buckets and collections. Raises ValueError for others."""
        self.buckets, self.collections = _told_apart(included)
        self._not_buckets, self._not_collections = _told_apart(excluded)
        self.touched = frozenset((*self.buckets, *(bucket for bucket, _ in self.collections)))

    def __bool__(self) -> bool:
        return bool(self.touched)

    def has(self, bucket: str, collection: str) -> bool:
        """Whether a collection is followed."""
        if bucket in self._not_buckets or (bucket, collection) in self._not_collections:
            return False
        return bucket in self.buckets or (bucket, collection) in self.collections

    def touched_by(self, path: ListPath) -> bool:
        """Whether the entries may be others when a list has moved."""
        if path.kind is RECORD:
            return self.has(*path.parents)
        return path.kind is BUCKET or (path.kind is COLLECTION and path.parents[0] in self.touched)

    def statement(self) -> tuple[str, Sequence[str]]:
        """The timestamps of the lists of records that may be followed, and its parameters."""
        buckets = sorted(self.buckets)
        paths = [str(ListPath(RECORD, place)) for place in sorted(self.collections)]
        marks = [f"${n}" for n in range(1, len(buckets) + len(paths) + 1)]
        chosen = []
        if buckets:
            chosen.append(f"(bucket IN ({', '.join(marks[: len(buckets)])}) AND path LIKE '%/records')")
        if paths:
            chosen.append(f"path IN ({', '.join(marks[len(buckets) :])})")
        sql = f"SELECT path, ts FROM clock WHERE list IS NOT NULL AND ({' OR '.join(chosen)})"
        return sql, (*buckets, *paths)


def _told_apart(uris: Iterable[str]) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    buckets, collections = set(), set()
    for uri in uris:
        match uri.strip("/").split("/"):
            case ["buckets", bucket] if BUCKET.accepts(bucket):
                buckets.add(bucket)
            case ["buckets", bucket, "collections", name] if BUCKET.accepts(bucket) and COLLECTION.accepts(
                name
            ):
                collections.add((bucket, name))
            case _:
                rule = "is not the URI of a bucket or a collection, as /buckets/b/collections/c"
                raise ValueError(f"publication: {uri!r} {rule}")
    return frozenset(buckets), frozenset(collections)


class Snapshot:
    """The entries at one time, those that changed last first."""

    __slots__ = ("entries", "seen", "timestamp", "watched")

    def __init__(self, entries: list[Entry], seen: Seen, watched: frozenset[str]) -> None:
        self.entries = entries
        self.seen = seen
        self.watched = watched
        self.timestamp: int = entries[0]["last_modified"] if entries else timestamps.now()
        """The highest of all; without any, the present."""


class Monitor:
    """The entries, as long as nothing moves without a question to the database."""

    def __init__(self, store: Store, resources: Resources, host: str, marks: Marks) -> None:
        self.resources = resources
        self._store = store
        self._marks = marks
        self._described = lru_cache(maxsize=4096)(lambda place: _described(host, *place))
        self._known: Snapshot | None = None
        self._under_way: Shared[Seen, Snapshot] = Shared()

    def ready(self) -> Snapshot | None:
        """The entries, when they are known."""
        known = self._known
        return known if known is not None and known.seen == self._marks.at((PLACE,)) else None

    @property
    def watched(self) -> frozenset[str]:
        """The lists that what is known depends on."""
        return self._known.watched if self._known is not None else NOTHING

    async def snapshot(self) -> Snapshot:
        """The entries. Raises `Unavailable`."""
        known = self.ready()
        if known is not None:
            return known
        seen = self._marks.at((PLACE,))
        return await self._under_way.do(seen, lambda: self._look(seen))

    async def _look(self, seen: Seen) -> Snapshot:
        rows = await self._store.fetch(*self.resources.statement()) if self.resources else []
        entries = []
        for path, timestamp in rows:
            place = ListPath.parse(path).parents
            if self.resources.has(*place):
                entries.append({**self._described(place), "last_modified": timestamp})
        entries.sort(key=lambda entry: (-entry["last_modified"], entry["id"]))
        known = self._known
        if known is not None and known.entries == entries:
            known.seen = seen  # what was made of them is still good
            return known
        above = (BUCKETS, *(ListPath(COLLECTION, (bucket,)) for bucket in self.resources.touched))
        watched = frozenset((*map(str, above), *(path for path, _ in rows)))
        self._known = snapshot = Snapshot(entries, seen, watched)
        return snapshot


def _described(host: str, bucket: str, collection: str) -> Entry:
    """What never changes of an entry. The id tells entries of several servers apart, no more."""
    digest = md5(f"{host}/buckets/{bucket}/collections/{collection}".encode(), usedforsecurity=False).digest()
    described = {"id": str(uuid.UUID(bytes=digest)), "last_modified": 0}
    return {**described, "bucket": bucket, "collection": collection, "host": host}
