"""Reading filters: every rule of protocol sections 4.3 and 4.4, and every error with its words."""

from __future__ import annotations

from typing import Any

import pytest

from kintoun.model.errors import InvalidParameters
from kintoun.model.query import (
    EVERYTHING,
    Filter,
    Op,
    check_syntax,
    parse_query,
    split_query,
)
from tests.unit.queries import NOW, broken, only_filter, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("1.5", 1.5),
        ("1e0", 1.0),
        (" 1", 1),
        (" 1 ", 1),
        ("9007199254740993", 2**53 + 1),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775809", -(2.0**63)),
        ("true", True),
        ("false", False),
        ("null", None),
        ('"1"', "1"),
        ('"a b"', "a b"),
        ('""', ""),
        ("", ""),
        ("abc", "abc"),
        ("01", "01"),
        ("True", "True"),
        ("'1'", "'1'"),
        ("1_0", "1_0"),
        ("0x10", "0x10"),
        ("1.", "1."),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1e400", "1e400"),
        ("1" * 400, "1" * 400),
        ("nul", "nul"),
        ("[1", "[1"),
        ("{bad}", "{bad}"),
        ("{'a':1}", "{'a':1}"),
        ('"a', '"a'),
        ('"a"b', '"a"b'),
        ('"\\ud800"', '"\\ud800"'),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("[]", []),
        ("[1,[2]]", [1, [2]]),
        ("{}", {}),
        ('{"k":1}', {"k": 1}),
        ('{"a":1,"a":2}', {"a": 2}),
        (" [1]", [1]),
        ("1,2", "1,2"),
        ("é", "é"),
        ("-", "-"),
    ],
)
def test_values_are_json_or_else_text(text: str, value: Any) -> None:
    (filter_,) = parse_query([("f", text)], now_ms=NOW).filters
    assert filter_ == Filter("f", Op.EQ, value)
    assert type(filter_.value) is type(value)


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", '"\\u0000"', '["\\u0000"]', '{"\\u0000":1}', '[{"a":"x\\u0000"}]']
)
@pytest.mark.parametrize("name", ["f", "in_f", "not_f", "contains_f", "id", "like_f"])
def test_nul_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        parse_query([(name, text)], now_ms=NOW)
    assert caught.value.details[0] == {
        "location": "querystring",
        "name": name,
        "description": "Invalid character 0x00",
    }


def test_nul_elsewhere() -> None:
    assert broken("f%00=1") == [("f\0", "Invalid character 0x00")]
    assert broken("f=%00&f=1") == [("f", "Invalid character 0x00")]
    assert parse("_foo=%00") == EVERYTHING
    assert broken("_token=a%00b") == [(None, "_token has invalid content")]
    assert only_filter('f="\\\\u0000"').value == "\\u0000"


# Names and operators


@pytest.mark.parametrize(
    ("query", "filter_"),
    [
        ("f=1", Filter("f", Op.EQ, 1)),
        ("eq_f=1", Filter("f", Op.EQ, 1)),
        ("not_f=1", Filter("f", Op.NOT, 1)),
        ("lt_f=1", Filter("f", Op.LT, 1)),
        ("max_f=1", Filter("f", Op.MAX, 1)),
        ("gt_f=1", Filter("f", Op.GT, 1)),
        ("min_f=1", Filter("f", Op.MIN, 1)),
        ("in_f=1,abc,null", Filter("f", Op.IN, (1, "abc", None))),
        ("in_f= 1, abc", Filter("f", Op.IN, (1, " abc"))),
        ("in_f=[1,2]", Filter("f", Op.IN, ("[1", "2]"))),
        ("in_f=[1]", Filter("f", Op.IN, ([1],))),
        ("in_f=1,,2,", Filter("f", Op.IN, (1, 2))),
        ("in_f=", Filter("f", Op.IN, ())),
        ("exclude_f=", Filter("f", Op.EXCLUDE, ())),
        ('exclude_f="a,b"', Filter("f", Op.EXCLUDE, ('"a', 'b"'))),
        ("like_f=a*", Filter("f", Op.LIKE, "a*")),
        ('like_f="1"', Filter("f", Op.LIKE, "1")),
        ("like_f=", Filter("f", Op.LIKE, "")),
        ("has_f=true", Filter("f", Op.HAS, True)),
        ("has_f=abc", Filter("f", Op.HAS, True)),
        ("has_f=[0]", Filter("f", Op.HAS, True)),
        ("has_f=", Filter("f", Op.HAS, False)),
        ("has_f=0", Filter("f", Op.HAS, False)),
        ("has_f=null", Filter("f", Op.HAS, False)),
        ("has_f={}", Filter("f", Op.HAS, False)),
        ("contains_f=1", Filter("f", Op.CONTAINS, (1,))),
        ("contains_f=[1,2]", Filter("f", Op.CONTAINS, (1, 2))),
        ("contains_f=[[1]]", Filter("f", Op.CONTAINS, ([1],))),
        ("contains_f=[]", Filter("f", Op.CONTAINS, ())),
        ("contains_any_f=x", Filter("f", Op.CONTAINS_ANY, ("x",))),
        ("contains_any_=1", Filter("any_", Op.CONTAINS, (1,))),
        ("contains_any=1", Filter("any", Op.CONTAINS, (1,))),
        ("min_min_f=1", Filter("min_f", Op.MIN, 1)),
        ("eq_min_age=1", Filter("min_age", Op.EQ, 1)),
        ("min_=1", Filter("min_", Op.EQ, 1)),
        ("min_f-x=1", Filter("min_f-x", Op.EQ, 1)),
        ("min_é=1", Filter("é", Op.MIN, 1)),
        ("minimum=1", Filter("minimum", Op.EQ, 1)),
        ("MIN_f=1", Filter("MIN_f", Op.EQ, 1)),
        ("f[]=1", Filter("f[]", Op.EQ, 1)),
        ("a.b.c=1", Filter("a.b.c", Op.EQ, 1)),
        ("gt_a.b=1", Filter("a.b", Op.GT, 1)),
        ("=1", Filter("", Op.EQ, 1)),
        ("f", Filter("f", Op.EQ, "")),
        ("f=1&f=2", Filter("f", Op.EQ, ["1", "2"])),
        ("gt_f=1&gt_f=2&gt_f=1", Filter("f", Op.GT, ["1", "2", "1"])),
        ("in_f=1&in_f=a,b", Filter("f", Op.IN, ("1", "a,b"))),
        ("has_f=0&has_f=0", Filter("f", Op.HAS, True)),
        ("contains_f=1&contains_f=2", Filter("f", Op.CONTAINS, ("1", "2"))),
        ("deleted=true", Filter("deleted", Op.EQ, True)),
        ("id=abc", Filter("id", Op.EQ, "abc")),
        ('id="1"', Filter("id", Op.EQ, "1")),
        ("id=true", Filter("id", Op.EQ, "true")),
        ("id=null", Filter("id", Op.EQ, None)),
        ("eq_id=1", Filter("id", Op.EQ, "1")),
        ("gt_id=1.5", Filter("id", Op.GT, "1.5")),
        ("has_id=1", Filter("id", Op.HAS, True)),
        ("like_id=a", Filter("id", Op.LIKE, "a")),
        ("in_id=a,b", Filter("id", Op.IN, ("a", "b"))),
        ("in_id=1&in_id=b", Filter("id", Op.IN, ("1", "b"))),
        ("id.x=1", Filter("id.x", Op.EQ, 1)),
        ("last_modified.x=1", Filter("last_modified.x", Op.EQ, 1)),
    ],
)
def test_filters(query: str, filter_: Filter) -> None:
    found = only_filter(query)
    assert found == filter_
    assert type(found.value) is type(filter_.value)
    assert parse(query).filters == (filter_,), "remembered"


@pytest.mark.parametrize("name", ["_foo", "_", "__since", "_sinc", "_since_", "_limits"])
def test_unknown_parameters_that_begin_with_an_underscore_are_ignored(name: str) -> None:
    assert parse(f"{name}=abc") == EVERYTHING


@pytest.mark.parametrize(
    ("query", "name", "description"),
    [
        ("like_f=1", "like_f", "Invalid value for like_f"),
        ("like_f=true", "like_f", "Invalid value for like_f"),
        ("like_f=null", "like_f", "Invalid value for like_f"),
        ("like_f=[1]", "like_f", "Invalid value for like_f"),
        ("like_f=a&like_f=b", "like_f", "Invalid value for like_f"),
        ("like_id=1", "like_id", "Invalid value for like_id"),
        ("id=1", "id", "1 is not a string: {'id': ''}"),
        ("id=1.5", "id", "1.5 is not a string: {'id': ''}"),
        ("id=[1]", "id", "[1] is not a string: {'id': ''}"),
        ("id=a&id=b", "id", "['a', 'b'] is not a string: {'id': ''}"),
        ("in_id=1,2", "in_id", "Invalid value for in_id"),
        ("in_id=a,null", "in_id", "Invalid value for in_id"),
        ("exclude_id=1", "exclude_id", "Invalid value for exclude_id"),
        ("contains_id=a", "contains_id", "Field 'id' is not an array"),
        ("contains_any_id=a", "contains_any_id", "Field 'id' is not an array"),
        ("_token=123", "_token", "123 is not a string: {'_token': ''}"),
        ("_token=[1]", "_token", "[1] is not a string: {'_token': ''}"),
        ("_token=a&_token=b", "_token", "['a', 'b'] is not a string: {'_token': ''}"),
        ("_token=abc", None, "_token has invalid content"),
        ("_token=true", None, "_token has invalid content"),
        ("_token=" + "A" * 100_000, None, "_token has invalid content"),
        ("like_f=1&like_g=1", "like_f", "Invalid value for like_f"),
        ("gt_last_modified=abc&in_id=1", "gt_last_modified", "Invalid value for gt_last_modified"),
    ],
)
def test_filters_that_cannot_be(query: str, name: str | None, description: str) -> None:
    assert broken(query) == [(name, description)]


# Fixed schemas


def test_fields_of_a_fixed_schema() -> None:
    known = frozenset({"uri", "target"})
    for query in (
        "uri=1",
        "min_uri=1",
        "target.data.id=1",
        "id=x",
        "deleted=true",
        "schema=1",
        "_since=1",
        "_sort=target.x",
    ):
        assert parse(query, known_fields=known)
    assert broken("foo=1", known_fields=known) == [("foo", "Unknown filter field 'foo'")]
    assert broken("min_foo=1", known_fields=known) == [("min_foo", "Unknown filter field 'min_foo'")]
    assert broken("min_foo=1&_sort=zz", known_fields=known) == [("min_foo", "Unknown filter field 'min_foo'")]
    assert broken("_sort=-foo,bar", known_fields=known) == [(None, "Unknown sort field 'foo'")]
    assert broken("_fields=foo,uri", known_fields=known) == [
        ("Invalid _fields parameter", "Fields foo do not exist")
    ]
    assert parse("foo=1") != EVERYTHING, "known elsewhere"


# Errors together


def test_syntax_is_looked_at_first_and_all_of_it() -> None:
    wrong = [
        ("_limit", '"abc" is not a number'),
        ("_since", '"abc" is not a number'),
        ("id", "1 is not a string: {'id': ''}"),
    ]
    assert broken("_since=abc&_limit=abc&id=1&like_f=1") == wrong
    with pytest.raises(InvalidParameters) as caught:
        check_syntax(split_query(b"like_f=1&_since=abc"), now_ms=NOW)
    assert caught.value.message == '_since in querystring: "abc" is not a number'
    check_syntax(split_query(b"like_f=1&_sort=zz&_token=abc&gt_last_modified=abc"), now_ms=NOW)
