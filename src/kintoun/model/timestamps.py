"""Timestamps: integer milliseconds since the epoch, strictly increasing within a list."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache

LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999, beyond which no HTTP date can be written."""

EARLIEST = -62_135_596_800_000
"""The first millisecond of the year 1, before which none can be written either."""


def now() -> int:
    """The wall clock, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def following(current: int, wall: int) -> int:
    """The timestamp after `current`: the wall clock's, unless that would not be an increase.

    It is called with the list's clock locked until the commit, so that timestamps increase in the order in
    which writes become visible (protocol section 3.3).
    """
    return wall if wall > current else current + 1


def etag(timestamp: int) -> str:
    """The timestamp as an entity tag."""
    return f'"{timestamp}"'


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def http_date(timestamp: int) -> str:
    """The timestamp as an HTTP date, its milliseconds cut off."""
    return _http_date(timestamp // 1000)


def client_timestamp(value: object) -> int | None:
    """The timestamp that a client chose for an object, None when it is to be ignored (protocol section 3.3).

    Raises ValueError for integers that no date can stand for.
    """
    if type(value) is not int:
        return None
    if value > LATEST or value < EARLIEST:
        raise ValueError(f"{value} is not a timestamp in milliseconds")
    return value
