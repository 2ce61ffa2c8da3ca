"""The changesets of collections: read from one snapshot, made once, and kept while nothing moves."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from kintoun.features.publication.encodings import Body
from kintoun.features.publication.marks import Marks, Seen
from kintoun.features.publication.sharing import Shared
from kintoun.features.publication.shelf import Shelf
from kintoun.model import json
from kintoun.model.kinds import COLLECTION, RECORD
from kintoun.model.paths import BUCKETS, ListPath, collection_path
from kintoun.model.permissions import EVERYONE
from kintoun.model.query import NEWEST_FIRST, Filter, Op
from kintoun.resources.access import Access
from kintoun.resources.context import Context
from kintoun.resources.errors import unknown_parent
from kintoun.storage.rows import Clock, Found, Page, Stored, Wanted

NO_LIMIT = 2**62
"""Rows of a changeset without `_limit`: one that is cut off can never be verified."""

MOST_STATES = 10_000
"""Collections whose state a worker knows."""

IN_THREAD_ROWS = 2000
"""Rows above which a body is put together in a thread."""

ANYBODY = frozenset((EVERYONE,))

Place = tuple[str, str]
"""The ids of a bucket and a collection."""


class Forgotten(Exception):
    """Not all deletions since the time asked for are known any more."""


class Wish(NamedTuple):
    """What is asked of a collection: all of it, or with `since` (milliseconds) its changes since then."""

    place: Place
    since: int | None
    limit: int | None


class State(NamedTuple):
    """What is known of a collection that everybody may read, while the marks are those that were seen."""

    places: tuple[int, ...]
    seen: Seen
    version: object
    watermark: int


class Changesets:
    """The changesets that were asked for, of collections that everybody may read."""

    def __init__(self, access: Access, marks: Marks, shelf: Shelf[Any]) -> None:
        self._access = access
        self._marks = marks
        self._shelf = shelf
        self._states: OrderedDict[Place, State] = OrderedDict()
        self._under_way: Shared[tuple[Wish, Seen], Body] = Shared()
        self._watched: frozenset[str] | None = frozenset()

    @property
    def watched(self) -> frozenset[str]:
        """The lists that what is known depends on."""
        if self._watched is None:
            self._watched = frozenset(str(path) for place in self._states for path in _lists(place))
        return self._watched

    def ready(self, wish: Wish) -> tuple[Body, State] | None:
        """The changeset, when it is there, everybody may have it and nothing has moved since."""
        state = self._states.get(wish.place)
        if state is None or state.seen != self._marks.at(state.places):
            return None
        if wish.since and wish.since < state.watermark:
            return None
        body = self._shelf.get(wish, state.version)
        return (body, state) if body is not None else None

    async def read(self, context: Context, wish: Wish) -> Body:
        """The changeset as the caller may have it. Raises ProtocolError, and Forgotten.

        Those whom nobody knows all see the same, so one of them asks for all.
        """
        if context.claim is not None or context.work is not None:
            return await self._read(context, wish)
        seen = self._marks.at(_places(wish.place))
        return await self._under_way.do((wish, seen), lambda: self._read(context, wish))

    async def _read(self, context: Context, wish: Wish) -> Body:
        places = _places(wish.place)
        seen = self._marks.at(places)
        records = ListPath(RECORD, wish.place)
        committed = context.work is None
        wanted = Wanted(points=records.lineage, clock=records)
        body = None
        if committed:  # what a transaction has not committed may never come to be
            found = await context.load(wanted)
            body = self._shelf.get(wish, self._version(context, wish, found))
        if body is None:
            found = await context.load(wanted._replace(page=_page(wish)))
            body = await _make(wish, found, self._version(context, wish, found))
            if committed:
                self._shelf.put(wish, body)
        if committed and self._readable(found.points, ANYBODY):
            self._remember(wish.place, State(places, seen, body.version, _clock(found).watermark))
        return body

    def _remember(self, place: Place, state: State) -> None:
        if place not in self._states:
            self._watched = None
        self._states[place] = state
        self._states.move_to_end(place)
        if len(self._states) > MOST_STATES:
            self._states.popitem(last=False)

    def _version(self, context: Context, wish: Wish, found: Found) -> tuple[int, ...]:
        """The version of what was found, when the caller may have it. Raises as `read`."""
        if not self._readable(found.points, context.principals):
            raise context.refusal()
        collection = found.points[1]
        if found.points[0] is None or collection is None or collection.deleted:
            raise unknown_parent(collection_path(*wish.place))
        clock = _clock(found)
        if wish.since and wish.since < clock.watermark:
            raise Forgotten
        about = hash(collection.body)  # a client may choose the timestamp that it had before
        return clock.list or 0, clock.version, clock.timestamp, clock.watermark, collection.timestamp, about

    def _readable(self, above: Sequence[Stored | None], principals: frozenset[str]) -> bool:
        """Whether both the collection and all of its records may be read."""
        access = self._access
        if not access.may_read_all(RECORD, above, principals):
            return False
        return access.may_read(COLLECTION, above[:1], above[1], principals)


def _places(place: Place) -> tuple[int, ...]:
    return tuple(Marks.place(str(path)) for path in _lists(place))


def _lists(place: Place) -> tuple[ListPath, ...]:
    """The lists that a changeset depends on, those that say who may read it included."""
    return BUCKETS, ListPath(COLLECTION, place[:1]), ListPath(RECORD, place)


def _clock(found: Found) -> Clock:
    assert found.clock is not None, "a list has a clock while its parent exists"
    return found.clock


def _page(wish: Wish) -> Page:
    limit = NO_LIMIT if wish.limit is None else min(wish.limit, NO_LIMIT)
    if wish.since is None:
        return Page((), (NEWEST_FIRST,), limit)
    since = Filter("last_modified", Op.GT, wish.since)
    return Page((since,), (NEWEST_FIRST,), limit, deleted=True)


async def _make(wish: Wish, found: Found, version: tuple[int, ...]) -> Body:
    collection, rows = found.points[1], found.rows
    assert collection is not None, "the caller was told when it is not there"
    assert rows is not None, "its page was read"
    bucket, timestamp = wish.place[0], _clock(found).timestamp

    def make() -> Body:
        plain = changeset(collection.body, bucket, timestamp, [row[3] for row in rows])
        return Body(plain, collection.timestamp, version)

    return await asyncio.to_thread(make) if len(rows) > IN_THREAD_ROWS else make()


def changeset(metadata: str, bucket: str, timestamp: int, changes: Sequence[str]) -> bytes:
    """The body of a changeset, of the JSON of the collection and of its records."""
    if '"bucket"' in metadata:
        described = json.encode_text({**json.decode(metadata.encode()), "bucket": bucket})
    else:
        described = f'{metadata[:-1]},"bucket":{json.encode_text(bucket)}}}'
    text = f'{{"metadata":{described},"timestamp":{timestamp},"changes":[{",".join(changes)}]}}'
    return text.encode()
