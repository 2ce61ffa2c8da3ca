"""Which lists have moved, told by each worker of a server to all others before its client has the answer.

A list has a place in a piece of memory that the workers share. Who has committed a change writes a new number
at the places of the lists that moved; who finds other numbers than those that it read before it looked at the
database looks again. So what a worker keeps is never older than the last write that any worker of its server
has answered, and asking costs no system call, let alone a statement. Two lists may have one place: then one
is looked at for the other's sake.
"""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from zlib import crc32

PLACES = 8192
SIZE = PLACES * 8
"""64 KiB."""

Seen = tuple[int, ...]
"""The numbers at some places, at one time."""


class Marks:
    """The places of all lists. `file` is shared by all processes that name it; None: this process's own."""

    def __init__(self, file: Path | None = None) -> None:
        if file is None:
            memory = mmap.mmap(-1, SIZE)
        else:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, SIZE)
                memory = mmap.mmap(descriptor, SIZE)
            finally:
                os.close(descriptor)
        self._numbers: memoryview[int] = memoryview(memory).cast("Q")
        self._losses = 0

    @staticmethod
    def place(name: str) -> int:
        """Where a list stands, by its path or whatever else its readers and writers call it."""
        return crc32(name.encode()) % PLACES

    def at(self, places: Iterable[int]) -> Seen:
        """The numbers at some places, to be read before the database is."""
        numbers = self._numbers
        return (self._losses, *[numbers[place] for place in places])

    def watch(self, places: Sequence[int], seen: Seen) -> Callable[[], bool]:
        """What tells, again and again, whether nothing has moved there since the numbers were seen."""
        pick, numbers = itemgetter(*places), self._numbers
        losses, *were = seen
        wanted = tuple(were) if len(were) > 1 else were[0]
        return lambda: pick(numbers) == wanted and self._losses == losses

    def move(self, places: Iterable[int]) -> None:
        """Tell that lists at these places have moved."""
        number = secrets.randbits(64)  # nobody else writes the same, so nobody takes one for the other
        for place in places:
            self._numbers[place] = number

    def lose(self) -> None:
        """Tell this process that anything may have moved."""
        self._losses += 1
