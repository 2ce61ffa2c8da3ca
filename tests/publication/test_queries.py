"""The query strings of changesets: every rule is named where it is broken."""

from __future__ import annotations

import pytest

from kintoun.features.publication.query import Asked, parse_changeset_query
from kintoun.model.errors import InvalidParameters

WRONG = [
    ("", "_expected", "Required"),
    ("_expected=", "_expected", "Required"),
    ("_since=0", "_expected", "Required"),
    ("_expected=0&_since=abc", "_since", "integer between double quotes"),
    ("_expected=0&_since=%2242", "_since", "integer between double quotes"),
    ("_expected=0&_since=42%22", "_since", "integer between double quotes"),
    ("_expected=0&_since=%22%22", "_since", "integer between double quotes"),
    ("_expected=0&_since=1.5", "_since", "integer between double quotes"),
    ("_expected=0&_since=null", "_since", "integer between double quotes"),
    ("_expected=0&_since=%D9%A1", "_since", "integer between double quotes"),
    ("_expected=0&_since=*)(!(objectClass=*)", "_since", "integer between double quotes"),
    ("_expected=0&_since=-1", "_since", "less than minimum value 0"),
    ("_expected=0&_since=4102444800001", "_since", "greater than maximum value 4102444800000"),
    ("_expected=0&_since=" + "9" * 30, "_since", "greater than maximum value 4102444800000"),
    ("_expected=0&_since=" + "9" * 4000, "_since", "integer between double quotes"),
    ("_expected=0&_since=1&_since=2", "_since", "more than once"),
    ("_expected=0&_limit=x", "_limit", "is not a number"),
    ("_expected=0&_limit=-1", "_limit", "less than minimum value 0"),
    ("_expected=0&_limit=9223372036854775809", "_limit", "greater than maximum value"),
    ("_expected=0&_expected=1", "_expected", "more than once"),
]


@pytest.mark.parametrize(("query", "name", "rule"), WRONG)
def test_a_wrong_parameter_is_named(query: str, name: str, rule: str) -> None:
    with pytest.raises(InvalidParameters) as raised:
        parse_changeset_query(query.encode())
    (detail,) = raised.value.broken
    assert (detail.location, detail.name) == ("querystring", name)
    assert rule in detail.description


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("_expected=0", Asked("0", None, None, None, None)),
        ("_expected=a+b&_since=%220%22&_limit=0", Asked("a b", 0, 0, None, None)),
        (
            "_expected=1&_since=4102444800000&_limit=9223372036854775808",
            Asked("1", 4102444800000, 2**63, None, None),
        ),
        ("_expected=1&_since=&_limit=&bucket=&collection=", Asked("1", None, None, None, None)),
        ("bucket=b&collection=c&other=1&other=2&_expected=1", Asked("1", None, None, "b", "c")),
    ],
)
def test_what_is_right_is_taken(query: str, asked: Asked) -> None:
    assert parse_changeset_query(query.encode()) == asked


@pytest.mark.parametrize(
    ("expected", "since", "behind"),
    [
        ("1", 2, True),
        ("2", 2, False),
        ("0", 2, False),
        ("1", None, False),
        ("abc", 2, False),
        ("٣", 9, False),
        ("1" * 400, 9, False),
    ],
)
def test_who_has_more_than_it_expects_is_noticed(expected: str, since: int | None, behind: bool) -> None:
    assert Asked(expected, since, None, None, None).behind is behind


@pytest.mark.parametrize(
    ("expected", "life"),
    [("0", "minimum"), ("9999123", "minimum"), ("1795372684198", "maximum"), ("abc", "maximum")],
)
def test_who_names_a_version_may_keep_it_for_long(expected: str, life: str) -> None:
    assert Asked(expected, None, None, None, None).life == life
