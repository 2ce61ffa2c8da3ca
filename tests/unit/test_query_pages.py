"""Reading times, page sizes and orders: protocol sections 4.4 to 4.6, and every error with its words."""

from __future__ import annotations

import pytest

from kintoun.model.errors import InvalidParameters
from kintoun.model.query import (
    EVERYTHING,
    NEWEST_FIRST,
    Filter,
    Op,
    Sort,
    parse_query,
)
from tests.unit.queries import DAY, NOW, broken, parse


@pytest.mark.parametrize(
    "name", ["_since", "_before", "_to", "last_modified", "eq_last_modified", "min_last_modified"]
)
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ('"0"', 0),
        ("-0", 0),
        ("123", 123),
        ('"123"', 123),
        (" 12", 12),
        ('" 12 "', 12),
        ("+1", 1),
        ("1e3", 1000),
        ("1.5", 1),
        ("1018.9", 1018),
        (str(NOW), NOW),
        (str(NOW + DAY - 1), NOW + DAY - 1),
    ],
)
def test_times(name: str, text: str, number: int) -> None:
    query = parse_query([(name, text)], now_ms=NOW)
    op = {"_since": Op.GT, "_before": Op.LT, "_to": Op.LT, "min_last_modified": Op.MIN}.get(name, Op.EQ)
    assert query.filters == (Filter("last_modified", op, number),)
    assert query.include_deleted
    assert query.deprecated_to is (name == "_to")


NOT_TIMES = {
    "abc": '"abc" is not a number',
    '"abc"': '"abc" is not a number',
    "true": '"true" is not a number',
    "-1": "-1 is less than minimum value 0",
    "[1]": '"[1]" is not a number',
    "{}": "Invalid value for {}",
    '"1.5"': '"1.5" is not a number',
    '"1e3"': '"1e3" is not a number',
    "NaN": '"NaN" is not a number',
    "1e400": '"1e400" is not a number',
    "": "Invalid value for {}",
    " ": '" " is not a number',
    str(NOW + DAY): "Invalid value for {}",
    str(2**63): "Invalid value for {}",
    '"9"9': '""9"9" is not a number',
    "99999999999999999999": "99999999999999999999 is greater than maximum value 9223372036854775808",
}


@pytest.mark.parametrize(("text", "description"), NOT_TIMES.items())
def test_what_is_no_time(text: str, description: str) -> None:
    if text == "99999999999999999999":  # beyond 64 bits it is a double
        description = description.replace(text, "100000000000000000000")
    for name in ("_since", "_before", "_to", "last_modified"):
        with pytest.raises(InvalidParameters) as caught:
            parse_query([(name, text)], now_ms=NOW)
        assert caught.value.details[0]["description"] == description.replace("{}", f"{name}")
    for name in ("gt_last_modified", "not_last_modified", "eq_last_modified"):
        with pytest.raises(InvalidParameters, match=f"Invalid value for {name}"):
            parse_query([(name, text)], now_ms=NOW)


@pytest.mark.parametrize("op", ["in", "exclude", "like", "has", "contains", "contains_any"])
@pytest.mark.parametrize("text", ["5", '"5"', "", "abc", "true"])
def test_operators_that_no_time_has(op: str, text: str) -> None:
    name = f"{op}_last_modified"
    with pytest.raises(InvalidParameters, match=f"Invalid value for {name}"):
        parse_query([(name, text)], now_ms=NOW)


def test_times_given_twice() -> None:
    assert broken("_since=1&_since=2") == [("_since", "\"['1', '2']\" is not a number")]
    assert broken("gt_last_modified=1&gt_last_modified=2") == [
        ("gt_last_modified", "Invalid value for gt_last_modified")
    ]


def test_since_null_is_no_bound() -> None:
    assert parse("_since=null") == EVERYTHING
    assert not parse("_since=null&a=1").include_deleted
    assert broken("last_modified=null") == [("last_modified", "Invalid value for last_modified")]


def test_only_times_bring_tombstones() -> None:
    assert parse("not_last_modified=5").include_deleted
    assert not parse("deleted=true&id=x&_sort=last_modified").include_deleted
    assert [f.op for f in parse("_since=1&f=2&_before=3&_to=4").filters] == [Op.GT, Op.EQ, Op.LT, Op.LT]


def test_times_near_the_present_are_looked_at_each_time() -> None:
    assert parse(f"_since={NOW + DAY - 1}").include_deleted
    with pytest.raises(InvalidParameters):
        parse_query([("_since", str(NOW + DAY + 5))], now_ms=NOW)
    assert parse_query([("_since", str(NOW + DAY + 5))], now_ms=NOW + 10).include_deleted


# Limits of pages


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("5", 5),
        ('"2"', 2),
        ("1.5", 1),
        ("2e0", 2),
        ("0", None),
        ("", None),
        ("null", None),
        ("0.5", None),
        ("-0.5", None),
        (str(2**63), 2**63),
    ],
)
def test_limit(text: str, limit: int | None) -> None:
    assert parse_query([("_limit", text)], now_ms=NOW).limit == limit


@pytest.mark.parametrize(
    ("query", "description"),
    [
        ("_limit=abc", '"abc" is not a number'),
        ("_limit=true", '"true" is not a number'),
        ("_limit=-1", "-1 is less than minimum value 0"),
        ("_limit=1&_limit=2", "\"['1', '2']\" is not a number"),
        ('_limit="2.5"', '"2.5" is not a number'),
        (
            "_limit=99999999999999999999999",
            "99999999999999991611392 is greater than maximum value 9223372036854775808",
        ),
    ],
)
def test_what_is_no_limit(query: str, description: str) -> None:
    assert broken(query) == [("_limit", description)]


# Order


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", ()),
        ("f", (Sort("f", False),)),
        ("-f", (Sort("f", True),)),
        ("%2Bf,-id", (Sort("f", False), Sort("id", True))),
        ("+f", (Sort("f", False),)),
        (" f , -g", (Sort("f", False), Sort("g", True))),
        (",f,", (Sort("f", False),)),
        ("a.b", (Sort("a.b", False),)),
        ("é", (Sort("é", False),)),
        ("--f", ()),
        ("f-g", ()),
        ("f g", ()),
        ('"f"', ()),
        ("[f]", ()),
        ("f&_sort=-f", (Sort("f", False), Sort("f", True))),
        ("- f", ()),
    ],
)
def test_sort(text: str, order: tuple[Sort, ...]) -> None:
    assert parse(f"_sort={text}").sort == (*order, NEWEST_FIRST)


def test_sort_by_time_needs_no_tie_breaker() -> None:
    assert parse("_sort=last_modified").sort == (Sort("last_modified", False),)
    assert parse("_sort=f,last_modified,g").sort == (
        Sort("f", False),
        Sort("last_modified", False),
        Sort("g", False),
    )
    assert parse("_sort=-last_modified").sort == (NEWEST_FIRST,)
    assert EVERYTHING.sort == (NEWEST_FIRST,)
