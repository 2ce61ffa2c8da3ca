"""Page tokens: what they carry, and that no other token is taken for one."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model.errors import InvalidParameters
from kintoun.model.ordering import MISSING
from kintoun.model.query import parse_query
from kintoun.model.tokens import MAX_TEXT, TAG_BYTES, Token

KEY = b"the server's secret"
QUERY = b"the list and the query"
FIELDS = ("n", "id", "last_modified")
TOKEN = Token((1.5, "r1", 1795416981260), 1795416981300)

scalars = st.one_of(
    st.sampled_from([None, False, True, MISSING, "\\u0000", "\\\\u0000"]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50),
)


@given(
    st.lists(st.one_of(scalars, st.lists(st.integers(), max_size=3)), max_size=5).map(tuple),
    st.integers(0, 253402300799999),
    st.one_of(st.none(), st.uuids().map(str)),
)
def test_a_token_brings_back_its_content(values: tuple[Any, ...], etag: int, nonce: str | None) -> None:
    token = Token(values, etag, nonce)
    text = token.encode(QUERY, KEY)
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    fields = ["f"] * len(values)
    assert Token.decode(text, QUERY, KEY, fields=fields) == token


def refused(text: str, query: bytes = QUERY, key: bytes = KEY, fields: tuple[str, ...] = FIELDS) -> bool:
    with pytest.raises(InvalidParameters) as caught:
        Token.decode(text, query, key, fields=fields)
    expected = {"location": "querystring", "name": None, "description": "_token has invalid content"}
    return caught.value.status == 400 and caught.value.details == [expected]


def test_foreign_tokens() -> None:
    text = TOKEN.encode(QUERY, KEY)
    assert refused(text, query=b"another list")
    assert refused(text, key=b"another server")
    assert refused(text, key=b"")
    assert refused(text, fields=("n", "id"))
    assert refused(text, fields=("last_modified", "id", "n"))


@pytest.mark.parametrize(
    "text",
    [
        "abc",
        "a",
        "",
        "é",
        "\ud800",
        "a\0b",
        "%%%",
        "=",
        "null",
        "A" * MAX_TEXT,
        "A" * (MAX_TEXT + 1),
        "eyJhIj==",
    ],
)
def test_what_is_no_token(text: str) -> None:
    assert refused(text)


def made_up(content: Any, tag: bytes | None = None) -> str:
    """A token whose tag fits, as anybody can make one for a server that has no key."""
    from kintoun.model.tokens import _tag

    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode((tag or _tag(raw, QUERY, b"")) + raw).rstrip(b"=").decode()


def test_a_fitting_made_up_token_is_taken_without_a_key() -> None:
    content = [1795416981300, None, [[1.5], ["r1"], [1795416981260]]]
    assert Token.decode(made_up(content), QUERY, fields=FIELDS) == TOKEN
    assert refused(made_up(content), key=KEY)
    assert refused(made_up(content, tag=bytes(TAG_BYTES)), key=b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"{}",
        b"[" * 5000,
        {},
        [],
        None,
        1,
        [1, None],
        [1, None, []],
        [1, None, [[1], ["r1"]]],
        ["1", None, [[1], ["r1"], [1]]],
        [1.5, None, [[1], ["r1"], [1]]],
        [True, None, [[1], ["r1"], [1]]],
        [10**30, None, [[1], ["r1"], [1]]],
        [1, 5, [[1], ["r1"], [1]]],
        [1, None, [1, ["r1"], [1]]],
        [1, None, [[1, 2], ["r1"], [1]]],
        [1, None, [[1], [1], [1]]],
        [1, None, [[1], [], [1]]],
        [1, None, [[1], ["r1"], []]],
        [1, None, [[1], ["r1"], [None]]],
        [1, None, [[1], ["r1"], [True]]],
        [1, None, [[1], ["r1"], [1.5]]],
        [1, None, [[1], ["r1"], [10**30]]],
        [1, None, [["\0"], ["r1"], [1]]],
        [1, None, [[1], ["r\0"], [1]]],
        [1, None, [[1], ["r1"], [1]], 4],
    ],
)
def test_made_up_tokens_with_values_that_cannot_be(content: Any) -> None:
    assert refused(made_up(content), key=b"")


def test_any_change_of_a_token_is_noticed() -> None:
    text = TOKEN.encode(QUERY, KEY)
    dice = random.Random(1)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for _ in range(300):
        where = dice.randrange(len(text) - 1)  # the last character has bits that stand for nothing
        letter = dice.choice([letter for letter in letters if letter != text[where]])
        assert refused(text[:where] + letter + text[where + 1 :])
    for length in range(len(text)):
        assert refused(text[:length])


def test_values_that_no_url_carries() -> None:
    assert len(Token(("x" * 8000, 1), 1).encode(QUERY, KEY)) <= MAX_TEXT
    with pytest.raises(InvalidParameters) as caught:
        Token(("x" * 9000, 1), 1).encode(QUERY, KEY)
    assert caught.value.details[0]["name"] == "_sort"


def test_a_query_makes_tokens_for_itself_only() -> None:
    last = {"id": "r1", "last_modified": 5, "n": {"k": [1]}}

    def ask(list_path: str = "/l", key: bytes = KEY, **params: str) -> Any:
        pairs = list(params.items())
        return parse_query(pairs, now_ms=10**12, list_path=list_path, token_key=key)

    token = ask(_sort="n.k,-zz", min_n="1").token_after(last, 99, list_path="/l", key=KEY, nonce="once")
    for same in ({}, {"_limit": "3"}, {"_fields": "n"}):
        query = ask(_sort="n.k,-zz", min_n="1", _token=token, **same)
        assert query.token == Token(([1], MISSING, 5), 99, "once")
    for other in (
        {"_sort": "n.k,zz", "min_n": "1"},
        {"_sort": "n.k", "min_n": "1"},
        {"_sort": "n.k,-zz", "min_n": "2"},
        {"_sort": "n.k,-zz"},
        {"_sort": "n.k,-zz", "gt_n": "1"},
        {"min_n": "1"},
    ):
        with pytest.raises(InvalidParameters, match="_token has invalid content"):
            ask(**other, _token=token)
    with pytest.raises(InvalidParameters):
        ask(_sort="n.k,-zz", min_n="1", _token=token, list_path="/m")
    with pytest.raises(InvalidParameters):
        ask(_sort="n.k,-zz", min_n="1", _token=token, key=b"other")
    assert ask(_sort="n.k,-zz", min_n="1", _token="").token is None
