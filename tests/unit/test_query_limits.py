"""Query strings as bytes, and as hostile as they come: always a query or a 400."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model.errors import InvalidParameters, ProtocolError
from kintoun.model.query import (
    Query,
    QueryLimits,
    check_syntax,
    parse_query,
    split_query,
)
from tests.unit.queries import NOW, broken, parse


@pytest.mark.parametrize(
    ("raw", "params"),
    [
        (b"", []),
        (b"a=1", [("a", "1")]),
        (b"a=1&b=2;c=3", [("a", "1"), ("b", "2"), ("c", "3")]),
        (b"&a=1&&;b=2;", [("a", "1"), ("b", "2")]),
        (b"a", [("a", "")]),
        (b"a=", [("a", "")]),
        (b"=1", [("", "1")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a+b=c+d%2Be", [("a b", "c d+e")]),
        (b"%C3%A9=%F0%9F%98%80", [("é", "\U0001f600")]),
        (b"a=%00", [("a", "\0")]),
        (b"a=%zz%4", [("a", "%zz%4")]),
        (b"a=%26%3B%3D", [("a", "&;=")]),
        ("é=✓".encode(), [("é", "✓")]),
        (b"a=" + b"x" * 1000, [("a", "x" * 1000)]),
    ],
)
def test_splitting(raw: bytes, params: list[tuple[str, str]]) -> None:
    assert split_query(raw) == params
    assert split_query(raw) is not split_query(raw), "callers may change what they get"


@pytest.mark.parametrize(
    "raw", [b"f=%ff", b"%ff=1", b"a=1&b=%C3", b"a=\xff", b"a=%ED%A0%80", b"f=%ff" + b"x" * 1000]
)
def test_splitting_what_is_no_utf_8(raw: bytes) -> None:
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            split_query(raw)
        error = caught.value
        assert (error.status, error.errno, error.error, error.details) == (400, 107, "Bad Request", None)
        assert error.message is not None
        assert error.message.startswith(
            "A request with an incorrect encoding in the querystring wasreceived. "
            "Please make sure your requests are encoded in UTF-8: "
        )


@given(st.binary(max_size=60))
def test_splitting_anything(raw: bytes) -> None:
    parts = [part for piece in raw.split(b"&") for part in piece.split(b";")]
    try:
        heads = [part.partition(b"=")[0].replace(b"+", b" ") for part in parts if part]
        names = [unquote_to_bytes(head).decode() for head in heads]
        for part in parts:
            unquote_to_bytes(part.partition(b"=")[2]).decode()
    except UnicodeDecodeError:
        with pytest.raises(ProtocolError):
            split_query(raw)
        return
    assert [name for name, _ in split_query(raw)] == names
    assert all(isinstance(part, str) for param in split_query(raw) for part in param)


def outcome(params: list[tuple[str, str]]) -> Query | list[dict[str, Any]]:
    """The query, or the details of a 400; anything else that is raised fails the test."""
    try:
        return parse_query(params, now_ms=NOW)
    except InvalidParameters as error:
        return error.details if error.status == 400 else []


def test_limits_name_the_parameter() -> None:
    limits = QueryLimits(
        filters=2, sort_fields=2, selected_fields=2, items=3, value_length=10, field_length=8, depth=3
    )
    for fits in (
        "a=1&b=2",
        "_sort=a,b",
        "_fields=a,b",
        "in_a=1,2,3",
        "contains_a=[1,2,3]",
        "a=1234567890",
        "abcdefgh=1",
        "a.b.c.d=1",
        "a=[[[1]]]",
        "in_a=1&in_a=2&in_a=3",
        "_sort=a.b.c.d",
        "_foo=12345678901&a=1&b=2",
    ):
        parse(fits, limits=limits)
    for exceeds, name in {
        "a=1&b=2&c=3": "c",
        "_sort=a,b,c": "_sort",
        "_fields=a,b,c": "_fields",
        "in_a=1,2,3,4": "in_a",
        "contains_a=[1,2,3,4]": "contains_a",
        "a=12345678901": "a",
        "in_a=1,12345678901": "in_a",
        "abcdefghi=1": "abcdefghi",
        "a.b.c.d.e=1": "a.b.c.d.e",
        "a=[[[[1]]]]": "a",
        "exclude_a=1&exclude_a=2&exclude_a=3&exclude_a=4": "exclude_a",
        "_sort=abcdefghi": "_sort",
        "_since=1&_before=2&_to=3": "_to",
        "a=1&a=12345678901": "a",
    }.items():
        ((found, _),) = broken(exceeds, limits=limits)
        assert found == name, exceeds


def test_huge_inputs_are_answered_at_once() -> None:
    for value in (
        "[" * 100_000,
        "1" * 100_000,
        '"' + "a" * 100_000,
        "a," * 100_000,
        "{" * 4000,
        "[" * 2000 + "]" * 2000,
    ):
        for name in (
            "f",
            "in_f",
            "contains_f",
            "_since",
            "_limit",
            "_sort",
            "_fields",
            "id",
            "last_modified",
        ):
            assert isinstance(outcome([(name, value)]), (Query, list))
    assert broken("&".join(f"f{n}=1" for n in range(1000)))[0][0] == "f100"


texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.one_of(
    texts,
    st.builds(
        "{}{}".format,
        st.sampled_from(
            ["", "lt_", "min_", "in_", "exclude_", "like_", "has_", "contains_", "contains_any_", "not_"]
        ),
        st.sampled_from(["f", "a.b", "id", "last_modified", "deleted", "é", "f[]"]),
    ),
    st.sampled_from(
        ["_since", "_to", "_before", "_limit", "_sort", "_fields", "_token", "id", "last_modified"]
    ),
)
jsonish = st.one_of(texts, st.text('[]{}",:0123456789-+.eE tfn\\u0', max_size=12), st.integers().map(str))


@given(st.lists(st.tuples(names, jsonish), max_size=5))
def test_whatever_is_asked_the_answer_is_a_query_or_a_400(params: list[tuple[str, str]]) -> None:
    found = outcome(params)
    assert found == outcome(params)
    if isinstance(found, Query):
        assert any(sort.field == "last_modified" for sort in found.sort)
        check_syntax(params, now_ms=NOW)
