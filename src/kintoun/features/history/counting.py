"""The clock of a history counts the rows of its own table."""

from __future__ import annotations

from kintoun.storage.rows import Clock


def entered(clock: Clock, entries: int, timestamp: int) -> Clock:
    """The clock after more entries, of which the last has this timestamp."""
    return clock._replace(timestamp=timestamp, version=clock.version + entries, live=clock.live + entries)


def buried(clock: Clock, wall: int) -> Clock:
    """The clock after an entry became a tombstone, whose timestamp is its own."""
    timestamp = max(clock.timestamp + 1, wall)
    return clock._replace(
        timestamp=timestamp, version=clock.version + 1, live=clock.live - 1, dead=clock.dead + 1
    )


def forgotten(clock: Clock, live: int, dead: int) -> Clock:
    """The clock after entries and tombstones went without a trace."""
    return clock._replace(version=clock.version + 1, live=clock.live - live, dead=clock.dead - dead)
