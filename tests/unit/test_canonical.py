"""The canonical form of JSON: its vectors, what has none, and agreement with JavaScript."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintoun.model.canonical import NotCanonical, canonical, canonical_text, check, envelope
from tests.signing.vectors import SIGNING

SCRIPT = Path(__file__).parents[1] / "signing" / "canonical.mjs"
BY_UNITS = "v10-codepoint-key-order"
SIGNED = [vector for vector in SIGNING["vectors"] if not vector["id"].startswith("n")]


def enveloped(records: list[dict[str, Any]], timestamp: int, form: Callable[[Any], bytes]) -> bytes:
    alive = sorted((record for record in records if not record.get("deleted")), key=lambda one: one["id"])
    return envelope(map(form, alive), timestamp)


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["id"])
def test_what_is_signed_is_that_of_the_vectors(vector: dict[str, Any]) -> None:
    def form(record: Any) -> bytes:
        return canonical_text(record).encode() if vector["id"] == BY_UNITS else canonical(record)

    assert enveloped(vector["records"], vector["timestamp"], form).decode() == vector["canonical"]


def test_keys_that_clients_would_sort_otherwise_are_refused() -> None:
    [vector] = [vector for vector in SIGNED if vector["id"] == BY_UNITS]
    with pytest.raises(NotCanonical) as refused:
        canonical({"deep": [vector["records"][0]]})
    assert (refused.value.rule, refused.value.path) == ("key order", "deep.0")


@pytest.mark.parametrize(
    ("value", "rule", "path"),
    [
        ({"a": 1, "x": [{"y": 1.0}]}, "float", "x.0.y"),
        (1e22, "float", ""),
        ([float("nan")], "float", "0"),
        ([float("-inf")], "float", "0"),
        ([0, 1e-7], "float", "1"),
        ({"n": 2**53}, "integer", "n"),
        ({"n": -(2**53)}, "integer", "n"),
        ({"big": {"n": 10**40}}, "integer", "big.n"),
        ({"s": "\ud800"}, "surrogate", "s"),
        ({"\udfff": 1}, "surrogate", "\\udfff"),
        ({"s": 'a " . \\', "f": 0.5}, "float", "f"),
    ],
)
def test_what_clients_would_write_otherwise_is_refused(value: Any, rule: str, path: str) -> None:
    for refuse in (canonical, check):
        with pytest.raises(NotCanonical) as refused:
            refuse(value)
        assert (refused.value.rule, refused.value.path) == (rule, path)


@pytest.mark.parametrize(
    "value",
    [
        {
            "s": "1.5 1e9 NaN 12345678901234567890 \\",
            "t": 'x"1.5"',
            "true": True,
            "n": [2**53 - 1, 1 - 2**53],
        },
        {"astral \U0001d11e": "\U0001d11e", "a": 1},
        {"\\ud800": "the text, no half of a pair"},
    ],
)
def test_what_only_looks_like_it_is_not(value: Any) -> None:
    assert json.loads(canonical(value)) == value


def test_the_list_that_is_empty() -> None:
    assert envelope([], 7) == b'{"data":[],"last_modified":"7"}'


text = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["\x7f", "\uffff", "\U0001d11e", "", "__proto__", '"']
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.integers(2**53 - 3, 2**53 + 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=30)


@pytest.fixture(scope="module")
def javascript() -> Iterator[Callable[[Any], bytes]]:
    with subprocess.Popen(["node", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as node:
        assert node.stdin is not None
        assert node.stdout is not None

        def ask(value: Any) -> bytes:
            node.stdin.write(json.dumps(value).encode() + b"\n")
            node.stdin.flush()
            return node.stdout.readline().rstrip(b"\n")

        yield ask
        node.stdin.close()
        assert node.wait(30) == 0


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=values)
def test_javascript_makes_the_same_of_what_is_not_refused(
    javascript: Callable[[Any], bytes], value: Any
) -> None:
    refusals = [refusal(refuse, value) for refuse in (check, canonical)]
    assert refusals[0] == refusals[1]
    assert refusals[0] or canonical(value) == javascript(value)


def refusal(refuse: Callable[[Any], Any], value: Any) -> str | None:
    try:
        refuse(value)
    except NotCanonical as error:
        return str(error)
    return None


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["id"])
def test_javascript_makes_the_same_of_the_vectors(
    javascript: Callable[[Any], bytes], vector: dict[str, Any]
) -> None:
    expected = vector.get("canonical_if_utf16_sorted", vector["canonical"])
    assert enveloped(vector["records"], vector["timestamp"], javascript).decode() == expected
