"""Finished answers of lists, kept in the process and never stale.

A list has a number that is not used again and a version that grows with every change, so what was read of a
version stays true of it. The version comes with the storage call that checks the caller's access anyway; when
it is the one that was kept, the rows need not be read and joined again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, NamedTuple, Protocol, TypeVar

from kintoun.storage.rows import Clock

Key = tuple[str, bytes, str]
"""The list's path, the raw query string, and what URLs in the answer begin with."""

OVERHEAD = 500
"""What an entry costs beside its body, in bytes."""


class Kept(NamedTuple):
    """The page of one version of a list, as a caller who may read all of it sees it."""

    number: int
    version: int
    timestamp: int
    watermark: int
    body: bytes
    next_page: str | None

    def fits(self, clock: Clock) -> bool:
        # The timestamp tells versions apart that a primary lost and the replica in its place counted again.
        # The watermark moves when tombstones are purged.
        same = (self.version, self.number, self.timestamp) == (clock.version, clock.list, clock.timestamp)
        return same and self.watermark == clock.watermark


class HasBody(Protocol):
    """A finished answer."""

    @property
    def body(self) -> bytes: ...


P = TypeVar("P", bound=HasBody)


class Pages(Generic[P]):
    """The pages asked for last, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.hits = 0
        """How often a finished page was answered."""
        self.misses = 0
        """How often one had to be made."""
        self._bytes = 0
        self._pages: OrderedDict[Key, P] = OrderedDict()

    def get(self, key: Key) -> P | None:
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: Key, page: P) -> bool:
        """Keep a page, unless it alone would take a quarter of the room; returns whether it is kept."""
        self.misses += 1
        size = len(page.body) + OVERHEAD
        if size > self._most // 4:
            return False
        old = self._pages.pop(key, None)
        if old is not None:
            self._bytes -= len(old.body) + OVERHEAD
        self._pages[key] = page
        self._bytes += size
        while self._bytes > self._most:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= len(oldest.body) + OVERHEAD
        return True


ListCache = Pages[Kept]
