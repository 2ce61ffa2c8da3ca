"""Which timestamp or generated id of one server stands for which of the other.

Two servers never give the same `last_modified` or the same random id. What must agree is their pattern:
within one list the timestamps of both servers have to pair up one to one, in the same order.
"""

from __future__ import annotations

import re
import time
from itertools import repeat
from typing import Any

DAY = 86_400_000
_GENERATED = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|[A-Za-z0-9][A-Za-z0-9_-]{7}"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MILLISECONDS = re.compile(r"(?<!\d)\d{13}(?!\d)")


def list_of(path: str) -> str:
    """The list that owns the timestamps of a path: `/buckets/b` and `/buckets` both give `/buckets`."""
    segments = [segment for segment in path.split("?")[0].removeprefix("/v1").split("/") if segment]
    if segments[2:3] == ["snapshot"] and "@" in segments[-1]:  # it tells the records of a collection
        segments = [*segments[:2], "collections", segments[-1].partition("@")[0], "records"]
    if len(segments) % 2 == 0:
        segments = segments[:-1]
    return "/" + "/".join(segments)


def is_list(path: str) -> bool:
    """Whether a path names a list rather than an object."""
    return list_of(path) == path.split("?")[0].removeprefix("/v1")


class Correspondence:
    """What is known of the pairs of one scenario; Kinto's value first, ours second."""

    def __init__(self) -> None:
        self._began = int(time.time() * 1000)
        self._pairs: dict[str, list[tuple[int, int]]] = {}
        self._floors: dict[str, int] = {}
        self._exchanged: dict[tuple[str, int], int] = {}
        self._ids: list[tuple[str, str]] = []
        self.purged: set[str] = set()
        """Lists whose parent was deleted."""
        self.deleted: set[str] = set()
        """Paths of objects that were deleted, whether or not they came back."""

    def clocklike(self, value: Any) -> bool:
        """Whether a value can be a timestamp that a server took from its clock."""
        return type(value) is int and self._began - DAY < value < self._began + DAY // 2

    def same_time(self, scope: str, kinto: int, ours: int) -> bool:
        """Whether two timestamps of a list correspond; the first sight of both makes them a pair."""
        if not (self.clocklike(kinto) and self.clocklike(ours)):
            return kinto == ours
        pairs = self._pairs.setdefault(scope, [])
        for k, o in pairs:
            if (k < kinto, k == kinto) != (o < ours, o == ours):
                return False
        if (kinto, ours) not in pairs:
            if ours < self._floors.get(scope, 0):
                return False
            pairs.append((kinto, ours))
        return True

    def exchange(self, scope: str, kinto: list[int], ours: list[int]) -> None:
        """Take our timestamps of one list DELETE as if they had been given in the order of Kinto's.

        In which order the objects get theirs means nothing, and Kinto's follows its database's query plan.
        """
        if len(kinto) == len(ours) and all(map(self.may_be_new, repeat(scope), kinto, ours)):
            ranks = {timestamp: rank for rank, timestamp in enumerate(sorted(kinto))}
            given = sorted(ours)
            for k, o in zip(kinto, ours, strict=True):
                self._exchanged[scope, o] = given[ranks[k]]

    def exchanged(self, scope: str, ours: int) -> int:
        """The timestamp of one of our objects, or the one that stands for it since its list was deleted."""
        return self._exchanged.get((scope, ours), ours)

    def may_be_new(self, scope: str, kinto: int, ours: int) -> bool:
        """Whether neither of two timestamps of a list has been paired yet."""
        known = self._pairs.get(scope, [])
        fresh = all(kinto != k and ours != o for k, o in known)
        return fresh and self.clocklike(kinto) and self.clocklike(ours)

    def goes_on(self, scope: str, ours: int) -> bool:
        """Whether our timestamp of a list whose parent was deleted is at least every one seen before."""
        return scope in self.purged and ours >= self._floors.get(scope, 0)

    def name(self, scope: str, value: int, side: int) -> str:
        """A readable name of a timestamp: its rank among those seen in its list."""
        ranks = sorted({pair[side] for pair in self._pairs.get(scope, [])})
        return f"t{ranks.index(value)}" if value in ranks else f"{value} (new)"

    def purge(self, path: str) -> None:
        """Forget the pairs of every list below a deleted object, but not how far our clocks had come."""
        prefix = path.rstrip("/") + "/"
        self.deleted.add(path)
        for scope in [scope for scope in self._pairs if scope.startswith(prefix)]:
            pairs = self._pairs.pop(scope)
            self._floors[scope] = max([self._floors.get(scope, 0), *(ours for _, ours in pairs)])
            self.purged.add(scope)

    def learn_id(self, kinto: str, ours: str) -> bool:
        """Pair two generated ids of the same form."""
        if kinto == ours or len(kinto) != len(ours):
            return kinto == ours
        if not (_GENERATED.fullmatch(kinto) and _GENERATED.fullmatch(ours)):
            return False
        if not any(kinto in pair or ours in pair for pair in self._ids):
            self._ids.append((kinto, ours))
        return (kinto, ours) in self._ids

    def id_name(self, value: str, side: int) -> str:
        """The name that a generated id has on both sides; any other id is its own."""
        return next((f"<id {index}>" for index, pair in enumerate(self._ids) if pair[side] == value), value)

    def same_text(self, kinto: str, ours: str) -> bool:
        """Whether two texts are equal once the generated ids and the times of both are named alike."""
        for k, o in zip(_UUID.findall(kinto), _UUID.findall(ours), strict=False):
            self.learn_id(k, o)
        for index, (k, o) in enumerate(self._ids):
            kinto = kinto.replace(k, f"<id {index}>")
            ours = ours.replace(o, f"<id {index}>")
        return kinto == ours or self._timeless(kinto) == self._timeless(ours)

    def _timeless(self, text: str) -> str:
        return _MILLISECONDS.sub(lambda match: "<time>" if self.clocklike(int(match[0])) else match[0], text)
