"""The finished pages of lists: which of them are still true."""

from __future__ import annotations

import pytest

from kintoun.model.kinds import BUCKET
from kintoun.model.paths import ListPath
from kintoun.resources.cache import OVERHEAD, Kept, ListCache
from kintoun.storage.rows import Clock

CLOCK = Clock(ListPath(BUCKET, ()), 7, 1000, 12, 3, 0, 100, 0)
PAGE = Kept(7, 12, 1000, 0, b"{}", None)


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"version": 13}, False),
        ({"list": 8}, False),
        ({"list": None}, False),
        # A standby that was promoted without the last changes counts its own by the same numbers.
        ({"timestamp": 1001}, False),
    ],
)
def test_a_page_is_of_one_version_of_one_list(changed: dict[str, int | None], fits: bool) -> None:
    assert PAGE.fits(CLOCK._replace(**changed)) is fits


def test_what_is_kept_is_bounded() -> None:
    room = 10 * (OVERHEAD + 100)
    cache = ListCache(room)
    for n in range(50):
        cache.put((f"/{n}", b"", ""), PAGE._replace(body=b"x" * 100))
    kept = [n for n in range(50) if cache.get((f"/{n}", b"", "")) is not None]
    assert kept == list(range(40, 50))
    cache.put(("/large", b"", ""), PAGE._replace(body=b"x" * room))
    assert cache.get(("/large", b"", "")) is None
