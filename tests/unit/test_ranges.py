"""What a `Range` header asks for (RFC 9110, section 14)."""

from __future__ import annotations

import pytest

from kintoun.http.ranges import Range, Unsatisfiable, parse_ranges

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=-500", [(500, 1000)]),
        ("bytes=-5000", [(0, 1000)]),
        ("bytes=950-", [(950, 1000)]),
        ("bytes=0-0,-1", [(0, 1), (999, 1000)]),
        ("bytes= 0-0 , 5-6 ,", [(0, 1), (5, 7)]),
        ("BYTES=0-9", [(0, 10)]),
        ("bytes=990-5000", [(990, 1000)]),
        ("bytes=0-0,5000-", [(0, 1)]),
        ("bytes=500-600,0-10", [(500, 601), (0, 11)]),
    ],
)
def test_ranges(header: str, expected: list[tuple[int, int]]) -> None:
    assert parse_ranges(header, SIZE) == [Range(*each) for each in expected]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-1",
        "bytes=1--2",
        "bytes=٣-٤",
        "items=0-5",
        "bytes=0-99999999999999999999",
        "bytes=0-10,5-20",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 100, 2)),
    ],
)
def test_what_is_no_range_is_answered_with_all(header: str) -> None:
    assert parse_ranges(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=1000-1001,2000-"])
def test_nothing_to_be_had(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges(header, SIZE)


def test_an_empty_file_has_no_ranges() -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges("bytes=0-", 0)


def test_content_range() -> None:
    assert Range(0, 500).content_range(SIZE) == "bytes 0-499/1000"
