"""What is read of a request, and what is refused before anything is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.http.limits import Base, Limits, announced_length
from kintoun.model.errors import ProtocolError

LIMITS = Limits(body=1000, url=1000, header=20, seconds=1)

fields = st.lists(st.tuples(st.sampled_from("abcd"), st.text("xy,", max_size=20)), max_size=6)


@given(fields)
def test_headers_that_are_given_more_than_once_are_joined(given_fields: list[tuple[str, str]]) -> None:
    joined: dict[str, list[str]] = {}
    for name, value in given_fields:
        joined.setdefault(name, []).append(value)
    assert LIMITS.read_headers(given_fields) == {name: ", ".join(each) for name, each in joined.items()}


@given(fields, fields, st.integers(21, 40))
def test_one_that_is_too_long_is_refused(
    before: list[tuple[str, str]], after: list[tuple[str, str]], size: int
) -> None:
    with pytest.raises(ProtocolError) as refused:
        LIMITS.read_headers([*before, ("long", "x" * size), *after])
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("length", "bytes_"),
    [("0", 0), ("12", 12), ("", None), ("-1", None), ("1, 1", None), ("²", None), ("٣", None), ("1_0", None)],
)
def test_the_length_of_a_body_is_a_number_of_bytes(length: str, bytes_: int | None) -> None:
    assert announced_length(length) == bytes_
    assert LIMITS.expects_body("PUT", {"content-length": length}) is (bytes_ != 0)


@pytest.mark.parametrize("length", ["1001", "1" * 5000])
def test_a_body_that_says_that_it_is_too_large_is_refused(length: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        LIMITS.expects_body("PUT", {"content-length": length})
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("scheme", "host", "base"),
    [
        ("http", "server.example:80", "http://server.example"),
        ("https", "server.example:80", "https://server.example:80"),
        ("https", "server.example:443", "https://server.example"),
        ("http", "", "http://localhost"),
    ],
)
def test_urls_begin_with_what_the_request_was_sent_to(scheme: str, host: str, base: str) -> None:
    for _ in range(2):
        assert Base(None, None).of(scheme, {"host": host}) == base
        assert Base("https", "cdn.example").of(scheme, {"host": host}) == "https://cdn.example"


@pytest.mark.parametrize("host", ["größe", "a\tb", "a\x00"])
def test_a_host_that_is_none_is_refused_again_and_again(host: str) -> None:
    base = Base(None, None)
    for _ in range(2):
        with pytest.raises(ProtocolError):
            base.of("http", {"host": host})
