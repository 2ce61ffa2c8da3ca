"""What published lists hold, read as seldom as can be: all of it once, and then what others have changed.

Whatever is read or remembered counts only where its digest is that of what was signed last.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakValueDictionary

from kintoun.features.signing.canonical_list import CanonicalList
from kintoun.features.signing.reading import Position, aside, content
from kintoun.features.signing.signable import fragment
from kintoun.features.signing.state import Edition
from kintoun.model import json
from kintoun.model.errors import ProtocolError
from kintoun.storage import Store

LONG = 5000
"""Records from which on nobody should have to wait for a list to be read."""


class Known(NamedTuple):
    """What a list held at a timestamp (milliseconds); `digest` is SHA-256 of what was signed of it."""

    digest: str
    timestamp: int
    records: CanonicalList


class Remembered:
    """What lists held when they were last looked at, by their numbers, as far as there is room.

    It is told apart by digests, so what was never committed, or is no longer there, is never taken for it.
    """

    def __init__(self, room: int) -> None:
        """`room` is in bytes."""
        self._room = room
        self._used = 0
        self._lists: OrderedDict[int, Known] = OrderedDict()

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more need no other list to be forgotten."""
        return self._used + size <= self._room

    def get(self, number: int) -> Known | None:
        """What a list held."""
        found = self._lists.get(number)
        if found is not None:
            self._lists.move_to_end(number)
        return found

    def put(self, number: int, known: Known) -> None:
        """Remember what a list holds in place of what it held."""
        if number in self._lists:
            self._used -= self._lists.pop(number).records.memory
        if known.records.memory > self._room:
            return
        self._lists[number] = known
        self._used += known.records.memory
        while self._used > self._room:
            _, dropped = self._lists.popitem(last=False)
            self._used -= dropped.records.memory


NOTHING = Known("", 0, CanonicalList())
"""What every list held before it held anything."""


class Holdings:
    """What lists hold. `room` is for what is remembered of that, in bytes."""

    def __init__(self, store: Store, room: int) -> None:
        self._store = store
        self._remembered = Remembered(room)
        self._reading: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def of(self, position: Position, edition: Edition | None) -> tuple[CanonicalList, bool]:
        """What a list holds, and whether that is what was signed last, its `edition` if it has one."""
        if edition is None:
            return await self.decoded(position), False
        lock = self._reading.setdefault(position.number, asyncio.Lock())
        async with lock:
            known = self._remembered.get(position.number)
            if known is not None and known.digest != edition.digest:  # others have published since
                known = await self.signed(position, edition, known)
            if known is None:
                known = await self.signed(position, edition)
            if known is not None:
                self._remembered.put(position.number, known)
                return known.records, True
        return await self.decoded(position), False

    async def signed(self, position: Position, edition: Edition, before: Known = NOTHING) -> Known | None:
        """What a list holds, if that is what was signed last; what it held `before` is not read again."""
        changes = await content(self._store, position, before.timestamp) if position.live else {}

        def catch_up() -> Known | None:
            found = before.records.changed(changes)
            if found.message(position.timestamp).name != edition.digest:
                return None
            return Known(edition.digest, position.timestamp, found)

        return await aside(len(before.records) + len(changes), catch_up)

    async def decoded(self, position: Position) -> CanonicalList:
        """What a list holds that came here in any way, with gaps for what cannot be signed."""
        bodies = await content(self._store, position) if position.live else {}
        return await aside(len(bodies), lambda: _as_decoded(bodies))

    async def look_ahead(self, position: Position, edition: Edition) -> None:
        """Read what a long list holds before anybody asks, if nothing has to be forgotten for that."""
        known = self._remembered.get(position.number)
        if known is None and position.live >= LONG and self._remembered.has_room(2 * position.size):
            await self.of(position, edition)

    def remember(self, number: int, known: Known) -> None:
        """Remember what a list holds from now on."""
        self._remembered.put(number, known)


def _as_decoded(bodies: Mapping[str, str | None]) -> CanonicalList:
    fragments = {}
    for name, body in bodies.items():
        try:
            fragments[name] = fragment(json.decode_stored(body or "")).decode()
        except ProtocolError:
            fragments[name] = ""
    return CanonicalList.of(fragments)
