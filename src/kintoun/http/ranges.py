"""Parts of a file that a client asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

MOST_RANGES = 16
"""Ranges that one request is answered; who asks for more is sent all of the file."""

_RANGE = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class Range(NamedTuple):
    """The bytes from `start` up to `stop`."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """The `Content-Range` of this part of a file of that size."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class Unsatisfiable(Exception):
    """Nothing that was asked for is in the file."""


def parse_ranges(header: str, size: int) -> list[Range] | None:
    """The ranges that a `Range` header asks for of a file with `size` bytes, in its order.

    None when all of the file is the answer: for what is no range of bytes, for too many of them, and for
    those that overlap, which would send more than there is. Raises Unsatisfiable.
    """
    unit, equals, wanted = header.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    parts = [part.strip() for part in wanted.split(",") if part.strip()]
    found: list[Range] = []
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match is None or match.groups() == ("", ""):
            return None
        each = _of(match[1], match[2], size)
        if each is None:
            return None
        if each.start < each.stop:
            found.append(each)
    if not parts:
        return None
    if not found:
        raise Unsatisfiable
    return None if len(found) > MOST_RANGES or _overlap(found) else found


def _of(first: str, last: str, size: int) -> Range | None:
    """The range that a pair of numbers names, an empty one where there is nothing; None for no range."""
    if not first:
        return Range(max(size - int(last), 0), size)
    start = int(first)
    if not last:
        return Range(start, max(size, start))
    if int(last) < start:
        return None
    return Range(start, max(min(int(last) + 1, size), start))


def _overlap(ranges: list[Range]) -> bool:
    ordered = sorted(ranges)
    return any(one.stop > other.start for one, other in pairwise(ordered))
