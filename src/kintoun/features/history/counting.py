"""The clock of a history counts the rows of its own table."""

from __future__ import annotations

from kintoun.model.tuples import made
from kintoun.storage.rows import Clock


def entered(clock: Clock, wall: int, at_least: int) -> Clock:
    """The clock after one more entry, whose timestamp is its own: no earlier than `at_least`.

    `wall` is the time of day (milliseconds).
    """
    path, number, timestamp, version, live, dead, size, watermark = clock
    following = max(timestamp + 1, wall, at_least)
    return made(Clock, (path, number, following, version + 1, live + 1, dead, size, watermark))


def buried(clock: Clock, wall: int) -> Clock:
    """The clock after an entry became a tombstone, whose timestamp is its own."""
    timestamp = max(clock.timestamp + 1, wall)
    return clock._replace(
        timestamp=timestamp, version=clock.version + 1, live=clock.live - 1, dead=clock.dead + 1
    )


def forgotten(clock: Clock, live: int, dead: int) -> Clock:
    """The clock after entries and tombstones went without a trace."""
    return clock._replace(version=clock.version + 1, live=clock.live - live, dead=clock.dead - dead)
