"""The canonical records of one list as bytes that can be changed here and there without touching the rest."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

_ID = itemgetter(0)


class CanonicalList:
    """Records in the order of their ids, each in its canonical form (signing section 2.1)."""

    __slots__ = ("_fragments", "_ids", "_sizes")

    def __init__(self, ids: Sequence[str], sizes: array[int], fragments: bytes) -> None:
        """`fragments` has a comma behind each; `sizes` count it."""
        self._ids = ids
        self._sizes = sizes
        self._fragments = fragments

    @classmethod
    def of(cls, records: Iterable[tuple[str, bytes]]) -> CanonicalList:
        """The list of these ids and fragments, in any order."""
        rows = sorted(records, key=_ID)
        fragments = [fragment for _, fragment in rows]
        joined = b",".join(fragments) + b"," if fragments else b""
        return cls([row[0] for row in rows], array("I", (len(each) + 1 for each in fragments)), joined)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def memory(self) -> int:
        """About how much memory it takes, in bytes."""
        return len(self._fragments) + 100 * len(self._ids)

    def changed(self, changes: Mapping[str, bytes | None]) -> CanonicalList:
        """The list with other fragments for some ids; None removes one."""
        ids: list[str] = []
        sizes = array("I")
        parts: list[memoryview | bytes] = []
        old = memoryview(self._fragments)
        index = offset = 0
        for name in sorted(changes):
            at = bisect_left(self._ids, name, index)
            end = offset + sum(self._sizes[index:at])
            ids += self._ids[index:at]
            sizes += self._sizes[index:at]
            parts.append(old[offset:end])
            index, offset = at, end
            if at < len(self._ids) and self._ids[at] == name:
                index, offset = at + 1, end + self._sizes[at]
            fragment = changes[name]
            if fragment is not None:
                ids.append(name)
                sizes.append(len(fragment) + 1)
                parts += (fragment, b",")
        ids += self._ids[index:]
        sizes += self._sizes[index:]
        parts.append(old[offset:])
        return CanonicalList(ids, sizes, b"".join(parts))

    def gap(self) -> str | None:
        """The id of a record of which there is no fragment but an empty one."""
        return self._ids[self._sizes.index(1)] if 1 in self._sizes else None

    def envelope(self, timestamp: int) -> bytes:
        """What is signed: the canonical form of the records and their list's timestamp (milliseconds)."""
        records = memoryview(self._fragments)[:-1]
        return b"".join((b'{"data":[', records, b'],"last_modified":"%d"}' % timestamp))


class Remembered:
    """What lists held when they were published last, by their numbers, as far as there is room.

    They are told apart by the digests of what was signed, so what was never committed is never taken for it.
    """

    def __init__(self, room: int) -> None:
        """`room` is in bytes."""
        self._room = room
        self._used = 0
        self._lists: OrderedDict[int, tuple[str, CanonicalList]] = OrderedDict()

    def get(self, number: int, digest: str) -> CanonicalList | None:
        """The records of a list, if this is their digest."""
        found = self._lists.get(number)
        if found is None or found[0] != digest:
            return None
        self._lists.move_to_end(number)
        return found[1]

    def put(self, number: int, digest: str, records: CanonicalList) -> None:
        """Remember the records of a list in place of older ones."""
        if number in self._lists:
            self._used -= self._lists.pop(number)[1].memory
        if records.memory > self._room:
            return
        self._lists[number] = digest, records
        self._used += records.memory
        while self._used > self._room:
            _, (_, dropped) = self._lists.popitem(last=False)
            self._used -= dropped.memory
