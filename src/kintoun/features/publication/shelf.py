"""What was published and asked for last, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from kintoun.features.publication.encodings import Body

OVERHEAD = 700
"""What a body costs beside its bytes."""

K = TypeVar("K", bound=Hashable)


class _Room(Generic[K]):
    """Bodies that take `most` bytes together, `largest` each; what was asked for longest ago goes first."""

    def __init__(self, most: int, largest: int) -> None:
        self.most = most
        self.largest = largest
        self.bodies: OrderedDict[K, tuple[Body, int]] = OrderedDict()
        self.bytes = 0

    def add(self, key: K, body: Body, size: int) -> None:
        self.bodies[key] = body, size
        self.bytes += size

    def remove(self, key: K) -> Body | None:
        body, size = self.bodies.pop(key, (None, 0))
        self.bytes -= size
        return body


class Shelf(Generic[K]):
    """Bodies by what was asked. One that is of another state of the data than is asked for is not there.

    A body that would take half of the room has a room for its like, so that neither is made again and again:
    many clients ask for what is new at the same time.
    """

    def __init__(self, most: int, most_large: int, dropped: Callable[[], None]) -> None:
        """Keep `most` bytes, and `most_large` of large bodies; `dropped` is called when a body goes."""
        self._rooms: tuple[_Room[K], ...] = _Room(most, most // 2), _Room(most_large, most_large)
        self._dropped = dropped

    @property
    def bytes(self) -> int:
        """What is kept takes so much."""
        return sum(room.bytes for room in self._rooms)

    def get(self, key: K, version: object) -> Body | None:
        for room in self._rooms:
            found = room.bodies.get(key)
            if found is not None:
                room.bodies.move_to_end(key)
                return found[0] if found[0].version == version else None
        return None

    def put(self, key: K, body: Body) -> None:
        """Keep a body, if there is a room for its size."""
        self._drop(key)
        size = body.size + OVERHEAD
        for room in self._rooms:
            if size <= room.largest:
                room.add(key, body, size)
                body.grown = partial(self._recount, key, body)
                while room.bytes > room.most:
                    self._drop(next(iter(room.bodies)))
                return

    def _recount(self, key: K, body: Body) -> None:
        if any(room.bodies.get(key, (None,))[0] is body for room in self._rooms):
            self.put(key, body)

    def _drop(self, key: K) -> None:
        for room in self._rooms:
            body = room.remove(key)
            if body is not None:
                body.grown = None
                self._dropped()
