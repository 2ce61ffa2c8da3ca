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


class Shelf(Generic[K]):
    """Bodies by what was asked. One that is of another state of the data than is asked for is not there."""

    def __init__(self, most: int, dropped: Callable[[], None]) -> None:
        """Keep `most` bytes; `dropped` is called when a body goes."""
        self._most = most
        self._dropped = dropped
        self._bodies: OrderedDict[K, tuple[Body, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: K, version: object) -> Body | None:
        found = self._bodies.get(key)
        if found is None or found[0].version != version:
            return None
        self._bodies.move_to_end(key)
        return found[0]

    def put(self, key: K, body: Body) -> None:
        """Keep a body, but not one that alone would take half of the room."""
        self._drop(key)
        size = body.size + OVERHEAD
        if size > self._most // 2:
            return
        self._bodies[key] = body, size
        body.grown = partial(self._recount, key, body)
        self.bytes += size
        while self.bytes > self._most:
            self._drop(next(iter(self._bodies)))

    def _recount(self, key: K, body: Body) -> None:
        found = self._bodies.get(key)
        if found is not None and found[0] is body:
            self.put(key, body)

    def _drop(self, key: K) -> None:
        found = self._bodies.pop(key, None)
        if found is not None:
            found[0].grown = None
            self.bytes -= found[1]
            self._dropped()
