"""The canonical records of one list as bytes that can be changed here and there without touching the rest."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from kintoun.signatures.message import Message

_ID = itemgetter(0)

MOST = 1000
"""Records of a block from which on it is divided."""


class Block(NamedTuple):
    """Records that follow each other: `fragments` has a comma behind each, `sizes` count it."""

    ids: Sequence[str]
    sizes: array[int]
    fragments: bytes

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str]]) -> Block:
        """The block of these ids and fragments, in their order."""
        fragments = [fragment for _, fragment in rows]
        sizes = array("I", [len(fragment) + 1 for fragment in fragments])
        return cls([name for name, _ in rows], sizes, f"{','.join(fragments)},".encode())

    def changed(self, names: Sequence[str], changes: Mapping[str, str | None]) -> Block:
        """The block with other fragments for some ids, given in their order; None removes one."""
        ids: list[str] = []
        sizes = array("I")
        parts: list[memoryview | bytes] = []
        old = memoryview(self.fragments)
        index = offset = 0
        for name in names:
            at = bisect_left(self.ids, name, index)
            end = offset + sum(self.sizes[index:at])
            ids += self.ids[index:at]
            sizes += self.sizes[index:at]
            parts.append(old[offset:end])
            index, offset = at, end
            if at < len(self.ids) and self.ids[at] == name:
                index, offset = at + 1, end + self.sizes[at]
            fragment = changes[name]
            if fragment is not None:
                ids.append(name)
                sizes.append(len(fragment) + 1)
                parts.append(f"{fragment},".encode())
        ids += self.ids[index:]
        sizes += self.sizes[index:]
        parts.append(old[offset:])
        return Block(ids, sizes, b"".join(parts))

    def divided(self) -> Iterator[Block]:
        """The block in several when it has become too large, and none when it is empty."""
        step = len(self.ids) if len(self.ids) <= MOST else MOST // 2
        offset = 0
        for start in range(0, len(self.ids), step or 1):
            sizes = self.sizes[start : start + step]
            end = offset + sum(sizes)
            yield Block(self.ids[start : start + step], sizes, self.fragments[offset:end])
            offset = end


class CanonicalList:
    """Records in the order of their ids, each in its canonical form (signing section 2.1).

    They stand in blocks, which lists have in common that differ but here and there.
    """

    __slots__ = ("_blocks",)

    def __init__(self, blocks: Sequence[Block]) -> None:
        """None of the `blocks` is empty."""
        self._blocks = blocks

    @classmethod
    def of(cls, records: Iterable[tuple[str, str]]) -> CanonicalList:
        """The list of these ids and fragments, in any order. All of what is canonical is ASCII."""
        rows = sorted(records, key=_ID)
        step = MOST // 2
        return cls([Block.of(rows[start : start + step]) for start in range(0, len(rows), step)])

    def __len__(self) -> int:
        return sum(len(block.ids) for block in self._blocks)

    @property
    def memory(self) -> int:
        """About how much memory it takes, in bytes."""
        return sum(len(block.fragments) + 100 * len(block.ids) for block in self._blocks)

    def changed(self, changes: Mapping[str, str | None]) -> CanonicalList:
        """The list with other fragments for some ids; None removes one."""
        if not self._blocks:
            return CanonicalList.of((name, each) for name, each in changes.items() if each is not None)
        names = sorted(changes)
        blocks: list[Block] = []
        start = 0
        for n, block in enumerate(self._blocks, 1):
            end = len(names)
            if n < len(self._blocks):
                end = bisect_left(names, self._blocks[n].ids[0], start)
            if start == end:
                blocks.append(block)
            else:
                blocks += block.changed(names[start:end], changes).divided()
            start = end
        return CanonicalList(blocks)

    def gap(self) -> str | None:
        """The id of a record of which there is no fragment but an empty one."""
        gaps = (block.ids[block.sizes.index(1)] for block in self._blocks if 1 in block.sizes)
        return next(gaps, None)

    def message(self, timestamp: int) -> Message:
        """What is signed: the canonical form of the records and their list's timestamp (milliseconds)."""
        pieces: list[bytes | memoryview] = [block.fragments for block in self._blocks]
        if pieces:
            pieces[-1] = memoryview(pieces[-1])[:-1]
        return Message(b'{"data":[', *pieces, b'],"last_modified":"%d"}' % timestamp)


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
