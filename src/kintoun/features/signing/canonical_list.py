"""The canonical records of one list as bytes that can be changed here and there without touching the rest."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from kintoun.signatures.message import Message, States

MOST = 1000
"""Records of a block from which on it is divided."""

SAMPLED = 16
"""One name of so many is looked at to divide a list."""


class Block(NamedTuple):
    """Records that follow each other: `fragments` has a comma behind each, `sizes` count it."""

    ids: Sequence[str]
    sizes: array[int]
    fragments: bytes

    @classmethod
    def of(cls, ids: Sequence[str], fragments: Sequence[str]) -> Block:
        """The block of these records, in the order of their ids."""
        sizes = array("I", [len(fragment) + 1 for fragment in fragments])
        return cls(ids, sizes, f"{','.join(fragments)},".encode())

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

    They stand in blocks, which lists have in common that differ but here and there; and so far as two begin
    with the same blocks, these are hashed once for both.
    """

    __slots__ = ("_blocks", "_states")

    def __init__(self, blocks: Sequence[Block] = (), states: States | None = None) -> None:
        """None of the `blocks` is empty. `states` are those of hashes before some of the first."""
        self._blocks = blocks
        self._states: States = {} if states is None else states

    @classmethod
    def of(cls, records: Mapping[str, str]) -> CanonicalList:
        """The list of fragments, by their ids, in any order. All of what is canonical is ASCII."""
        portions = _in_order(list(records))
        return cls([Block.of(ids, [records[name] for name in ids]) for ids in portions])

    def __len__(self) -> int:
        return sum(len(block.ids) for block in self._blocks)

    @property
    def memory(self) -> int:
        """About how much memory it takes, in bytes."""
        return sum(len(block.fragments) + 100 * len(block.ids) + 1000 for block in self._blocks)

    def changed(self, changes: Mapping[str, str | None]) -> CanonicalList:
        """The list with other fragments for some ids; None removes one."""
        if not changes:
            return self
        if not self._blocks:
            return CanonicalList.of({name: each for name, each in changes.items() if each is not None})
        names = [*chain.from_iterable(_in_order(list(changes)))]
        blocks: list[Block] = []
        start = same = 0
        for n, block in enumerate(self._blocks, 1):
            end = len(names)
            if n < len(self._blocks):
                end = bisect_left(names, self._blocks[n].ids[0], start)
            if start == end:
                blocks.append(block)
            else:
                blocks += block.changed(names[start:end], changes).divided()
            same += end == 0
            start = end
        return CanonicalList(blocks, self._beginning(min(same, len(blocks) - 1)))

    def _beginning(self, blocks: int) -> States:
        """The states of hashes up to the end of so many blocks, which others follow."""
        before = max(blocks, 0) + 1  # something stands before the first
        return {name: states[: before + 1] for name, states in self._states.copy().items()}

    def gap(self) -> str | None:
        """The id of a record of which there is no fragment but an empty one."""
        gaps = (block.ids[block.sizes.index(1)] for block in self._blocks if 1 in block.sizes)
        return next(gaps, None)

    def message(self, timestamp: int) -> Message:
        """What is signed: the canonical form of the records and their list's timestamp (milliseconds)."""
        pieces: list[bytes | memoryview] = [block.fragments for block in self._blocks]
        if pieces:
            pieces[-1] = memoryview(pieces[-1])[:-1]
        return Message(b'{"data":[', *pieces, b'],"last_modified":"%d"}' % timestamp, states=self._states)


def _in_order(names: Sequence[str]) -> Iterator[list[str]]:
    """Names in their order, some hundreds at a time: no thread runs while another sorts them all at once."""
    step = max(MOST // 2 // SAMPLED, 1)
    bounds = sorted(names[::SAMPLED])[step::step]
    portions: list[list[str]] = [[] for _ in range(len(bounds) + 1)]
    for name in names:
        portions[bisect_right(bounds, name)].append(name)
    return map(sorted, filter(None, portions))
