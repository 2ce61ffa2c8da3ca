"""What is kept of what was published stays within its room, whatever was compressed."""

from __future__ import annotations

import os

from kintoun.features.publication.encodings import Body, Encodings
from kintoun.features.publication.shelf import OVERHEAD, Shelf

ROOM = 100_000


class Dropped:
    """Counts what was dropped."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def body(size: int, version: object = 1) -> Body:
    return Body(os.urandom(size), 0, version)


def test_a_body_of_another_version_is_not_there() -> None:
    shelf: Shelf[str] = Shelf(ROOM, 0, Dropped())
    kept = body(10)
    shelf.put("a", kept)
    assert shelf.get("a", 1) is kept
    assert shelf.get("a", 2) is None
    assert shelf.get("b", 1) is None


def test_the_one_that_was_asked_for_longest_ago_goes() -> None:
    dropped = Dropped()
    shelf: Shelf[str] = Shelf(ROOM, 0, dropped)
    for name in "abc":
        shelf.put(name, body(30_000))
    assert shelf.get("a", 1) is not None
    shelf.put("d", body(30_000))
    assert [name for name in "abcd" if shelf.get(name, 1) is not None] == ["a", "c", "d"]
    assert dropped.times == 1
    assert shelf.bytes == 3 * (30_000 + OVERHEAD)
    shelf.put("d", body(20_000, 2))
    assert shelf.bytes == 3 * OVERHEAD + 80_000


def test_what_would_take_half_of_the_room_is_not_kept() -> None:
    shelf: Shelf[str] = Shelf(ROOM, 0, Dropped())
    shelf.put("a", body(10))
    shelf.put("a", body(ROOM // 2))
    assert shelf.get("a", 1) is None
    assert shelf.bytes == 0


def test_it_has_a_room_for_its_like() -> None:
    dropped = Dropped()
    shelf: Shelf[str] = Shelf(ROOM, 2 * ROOM, dropped)
    shelf.put("small", body(10))
    for name in ("a", "b"):
        shelf.put(name, body(ROOM - OVERHEAD))
    assert [name for name in ("small", "a", "b") if shelf.get(name, 1) is not None] == ["small", "a", "b"]
    shelf.put("c", body(ROOM))
    assert [name for name in "abc" if shelf.get(name, 1) is not None] == ["c"]
    shelf.put("d", body(2 * ROOM))
    assert shelf.get("d", 1) is None
    assert shelf.get("c", 1) is not None
    assert shelf.get("small", 1) is not None
    assert shelf.bytes == ROOM + 10 + 2 * OVERHEAD
    assert dropped.times == 2


async def test_what_grows_moves_into_it() -> None:
    shelf: Shelf[str] = Shelf(ROOM, ROOM, Dropped())
    first, second = body(30_000), body(30_000)
    shelf.put("a", first)
    shelf.put("b", second)
    encodings = Encodings()
    for name, made in (("a", first), ("b", second)):
        await encodings.encode(made, "gzip")
        assert shelf.get(name, 1) is made
    # Both are large now, and there is room for one.
    await encodings.encode(second, "br")
    assert shelf.get("b", 1) is second
    assert shelf.get("a", 1) is None
    assert shelf.bytes == OVERHEAD + second.size


async def test_what_is_compressed_counts() -> None:
    shelf: Shelf[str] = Shelf(ROOM, 0, Dropped())
    encodings = Encodings()
    first, second = body(20_000), body(20_000)
    shelf.put("a", first)
    shelf.put("b", second)
    for made in (first, second):
        content, _ = await encodings.encode(made, "gzip")
        assert len(content) > 20_000  # random bytes take more room than before
    assert shelf.bytes == 2 * OVERHEAD + first.size + second.size
    for encoding in ("br", "zstd"):
        await encodings.encode(second, encoding)
    # Its four forms take more than half of the room, so it is the one that goes.
    assert shelf.get("b", 1) is None
    assert shelf.get("a", 1) is first
    assert shelf.bytes == OVERHEAD + first.size
    await encodings.encode(second, "gzip")
    assert shelf.bytes == OVERHEAD + first.size
