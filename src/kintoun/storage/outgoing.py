"""What a unit of work sends to the database: its state as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeVar

from kintoun.model.paths import ListPath, Path
from kintoun.storage.engine import Writes
from kintoun.storage.rows import Clock, Stored


@lru_cache(maxsize=4096)
def digest(grants: str) -> bytes:
    """The digest under which the entries of an ACL stand."""
    return blake2b(grants.encode(), digest_size=16).digest()


def rows_of(
    changed: Iterable[ListPath | Path],
    clocks: Mapping[ListPath, Clock | None],
    objects: Mapping[Path, Stored | None],
    stored: MutableMapping[Path, Stored | None],
) -> Writes:
    """The clocks and the objects that changed. Those of lists that are cut off are left to be reclaimed.

    `stored` are the rows as the database has them, and will have them when these are sent.
    """
    writes = Writes()
    for key in changed:
        if isinstance(key, ListPath):
            clock = clocks[key]
            if clock is not None:
                writes.clocks.append(clock)
            continue
        clock, row = clocks[key.list], objects[key]
        if clock is None or clock.list is None:
            continue
        if row is None:
            writes.erased.append((clock.list, key.id))
            stored.pop(key, None)
            continue
        before = stored.get(key)
        if before is None:
            rows = writes.new if key in stored else writes.objects
        else:
            rows = writes.rewritten if before.grants == row.grants else writes.objects
        rows.append(
            (clock.list, row.id, row.timestamp, int(row.deleted), row.body, row.grants, digest(row.grants))
        )
        stored[key] = row
    return writes


K = TypeVar("K")
V = TypeVar("V")


def before_and_after(
    journal: Iterable[tuple[object, Any, Any]], state: Mapping[K, V | None]
) -> Iterator[tuple[K, V | None, V]]:
    """What a journal tells of a state: each key, its value at first, None for a new one, and that of now."""
    first: dict[K, V | None] = {}
    for changed, key, old in journal:
        if changed is state:
            first.setdefault(key, old)
    for key, before in first.items():
        after = state.get(key)
        if after is not None:
            yield key, before, after


def counted(clock: Clock, rows: Sequence[Stored], before: Iterable[Stored | None]) -> Clock:
    """The clock of a list after rows, one or more, were written where `before` stood.

    They are in the order of their timestamps, and each is a change of its own.
    """
    live, dead, size = clock.live, clock.dead, clock.bytes
    for row in rows:
        if row.deleted:
            dead += 1
        else:
            live += 1
            size += size_of(row.body)
    for replaced in before:
        if replaced is None:
            continue
        if replaced.deleted:
            dead -= 1
        else:
            live -= 1
            size -= size_of(replaced.body)
    version = clock.version + len(rows)
    return clock._replace(timestamp=rows[-1].timestamp, version=version, live=live, dead=dead, bytes=size)


def size_of(body: str) -> int:
    """The bytes of a body as it is sent."""
    return len(body) if body.isascii() else len(body.encode())
