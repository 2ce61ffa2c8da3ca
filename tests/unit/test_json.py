"""Decoding what clients send: strictness, bounds, numbers, and nothing but the module's own error."""

from __future__ import annotations

import json as reference
import math
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kintoun.model import json
from kintoun.model.errors import InvalidParameters
from kintoun.model.json import InvalidJSON

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8"))
)
keys = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5)
)


def holds_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in key or holds_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(holds_nul(item) for item in value)
    return isinstance(value, str) and "\0" in value


def refused(raw: bytes, **options: Any) -> InvalidJSON:
    with pytest.raises(InvalidJSON) as caught:
        json.decode(raw, **options)
    return caught.value


@given(values)
def test_what_is_encoded_is_decoded_again(value: Any) -> None:
    assert json.equal(json.decode(json.encode(value)), value)
    assert json.decode(json.encode_text(value).encode()) == value


@given(values, st.booleans())
def test_the_value_is_that_of_the_standard_library(value: Any, ascii_only: bool) -> None:
    text = reference.dumps(value, ensure_ascii=ascii_only)
    assert json.equal(json.decode(text.encode()), reference.loads(text))


@given(st.binary(max_size=200))
@example(b"[" * 5000)
@example(b'{"a":' * 5000)
@example(b'"\\ud800"')
@example(b'{"a":"\\u0000"}')
@example(b"9" * 5000)
@example(b"-" + b"9" * 400)
def test_no_bytes_raise_anything_but_the_error_of_the_module(raw: bytes) -> None:
    with suppress(InvalidJSON):
        json.decode(raw)


@given(st.text(st.sampled_from('{}[]",:\\u0123456789ad eE+-.truefalsn'), max_size=60))
def test_what_is_accepted_is_what_the_standard_library_accepts(text: str) -> None:
    """But for what the standard library is lax about: NaN, infinity, lone surrogates and huge numbers."""

    def strict(_: str) -> Any:
        raise ValueError("no constants")

    def bounded(digits: str) -> int | float:
        number = int(digits)
        return number if -(2**63) <= number < 2**64 else float(number)

    try:
        expected = reference.loads(text, parse_constant=strict, parse_int=bounded)
        reference.dumps(expected, allow_nan=False)
        str(expected).encode()
    except (ValueError, UnicodeEncodeError):
        with pytest.raises(InvalidJSON):
            json.decode(text.encode())
        return
    if holds_nul(expected):
        assert "NUL" in refused(text.encode()).description
    else:
        assert json.decode(text.encode()) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"{", b"[1,]", b'{"a":1,}', b"NaN", b"[Infinity]", b"[-Infinity]", b"\xef\xbb\xbf{}",
        b"//x\n1", b"/* x */ {}", b"{'a':1}", b"{a:1}", b"01", b"1.", b".5", b"+1", b"0x10", b"True", b"1 2",
        b"{} x", b'"\\ud800"', b'{"\\ud800":1}', b'"\\udc00x"', b'"\xff"', b'{"\xff":1}', b'"\xc0\x80"',
        b'"\xed\xa0\x80"', b'"a\x00b"', b'"a\nb"', b'"\\x41"', b"\x00",
    ],
)  # fmt: skip
def test_what_is_no_strict_json_is_refused(raw: bytes) -> None:
    assert refused(raw).description.startswith("Invalid JSON: ")


def test_a_long_key_over_many_items_costs_no_more_than_its_bytes() -> None:
    below = b'{"' + b"k" * 100_000 + b'":[' + b"0," * 100_000 + b"0]"
    assert json.decode(below + b',"n":12345678901234567890123}')["n"] == 1.2345678901234568e22
    assert refused(below + b',"z":"\\u0000"}').name == "z"
    assert refused(below + b',"z":"\\ud800"}').description.startswith("Invalid JSON: z: ")


def test_the_last_of_duplicate_keys_wins() -> None:
    assert json.decode(b'{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}


@pytest.mark.parametrize("raw", [b"1e400", b"-1e400", b"[1e309]", b"9" * 400, b"[" + b"9" * 5000 + b"]"])
def test_a_number_beyond_double_is_refused(raw: bytes) -> None:
    assert refused(raw).description == "Invalid JSON: Number too big to be stored in double."


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**53 + 1, 1795417026000, 0])
def test_integers_of_64_bits_are_exact(number: int) -> None:
    assert json.decode(str(number).encode()) == number
    assert json.decode(b'{"a":[%d]}' % number) == {"a": [number]}


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 123456789012345678901234567890])
def test_longer_integers_become_doubles(number: int) -> None:
    decoded = json.decode(b'{"a":[{"b":%d}]}' % number)["a"][0]["b"]
    assert isinstance(decoded, float)
    assert decoded == float(number)
    assert isinstance(json.decode(str(number).encode()), float)


def test_the_notation_of_numbers_is_kept() -> None:
    decoded = json.decode(b"[1.0,1e2,-0.0,1]")
    assert [type(number) for number in decoded] == [float, float, float, int]
    assert math.copysign(1, decoded[2]) == -1


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'"\\u0000"', ""),
        (b'{"data":{"a":"x\\u0000"}}', "data.a"),
        (b'{"data":{"l":[1,{"b":"\\u0000"}]}}', "data.l.1.b"),
        (b'{"data":{"a\\u0000b":1}}', "data.a\\u0000b"),
        (b'["\\u0000"]', "0"),
    ],
)
def test_the_nul_character_is_refused_by_the_name_of_its_field(raw: bytes, name: str) -> None:
    error = refused(raw)
    assert error.name == name
    assert "\0" not in error.name
    assert "NUL" in error.description


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert json.decode(b'{"a":"\\\\u0000"}') == {"a": "\\u0000"}


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_the_depth_is_bounded_exactly(opening: bytes) -> None:
    levels = opening.count(b"[") + opening.count(b"{")
    closing = opening[::-1].translate(bytes.maketrans(b"[{", b"]}"), b'"a:')
    times = 400 // levels
    json.decode(opening * times + b"1" + closing * times)
    too_deep = opening * (times + 1) + b"1" + closing * (times + 1)
    assert "deeper than 400" in refused(too_deep).description
    assert "deeper than 3" in refused(b"[[[[1]]]]", max_depth=3).description
    assert json.decode(b"[[[1]]]", max_depth=3) == [[[1]]]


@given(
    st.recursive(st.text('[]{}"\\x', max_size=6), lambda inner: st.lists(inner, max_size=4), max_leaves=30)
)
def test_brackets_within_strings_are_not_levels(value: Any) -> None:
    text = json.encode(value)
    levels = json.depth(value)
    assert json.decode(text, max_depth=levels) == value
    if levels:
        assert "deeper" in refused(text, max_depth=levels - 1).description


@pytest.mark.parametrize(
    "raw",
    [b"[" * 2_000_000, b'{"a":' * 400_000, b"[[]," * 500_000, b'"\\"' * 700_000, b"[" + b"9" * 2_000_000],
)
def test_hostile_documents_take_little_time(raw: bytes) -> None:
    started = time.process_time()
    refused(raw)
    assert time.process_time() - started < 5


def test_a_wide_document_is_as_deep_as_it_is() -> None:
    record = {"a": [1, {"b": "]]]"}], "c": '\\"'}
    document = {"data": [record] * 1000}
    assert json.decode(json.encode(document), max_depth=5) == document
    assert "deeper" in refused(json.encode(document), max_depth=4).description


def test_a_body_is_an_object_or_an_array_and_nothing_is_an_empty_object() -> None:
    assert json.decode_body(b"", writes=True) == {}
    assert json.decode_body(b"[1]", writes=True) == [1]
    assert json.decode_body(b' {"a":1} ', writes=False) == {"a": 1}


@pytest.mark.parametrize("raw", [b"1", b'"a"', b"null", b"true"])
def test_a_scalar_is_no_body(raw: bytes) -> None:
    with pytest.raises(InvalidParameters) as caught:
        json.decode_body(raw, writes=True)
    assert caught.value.message == "Should be a JSON object or an array"
    assert caught.value.details == [
        {"location": "body", "name": "", "description": "Should be a JSON object or an array"},
        {"location": "body", "name": "", "description": "Required"},
    ]


def test_a_write_with_an_invalid_body_misses_its_body_as_well() -> None:
    with pytest.raises(InvalidParameters) as caught:
        json.decode_body(b"{", writes=True)
    assert [detail["description"] for detail in caught.value.details][1:] == ["Required"]
    with pytest.raises(InvalidParameters) as caught:
        json.decode_body(b"{", writes=False)
    assert len(caught.value.details) == 1
    assert caught.value.status == 400
    assert caught.value.errno == 107


def test_a_nul_in_a_body_is_told_by_its_field_alone() -> None:
    with pytest.raises(InvalidParameters) as caught:
        json.decode_body(b'{"data":{"title":"\\u0000"}}', writes=True)
    assert [detail["name"] for detail in caught.value.details] == ["data.title"]
    assert caught.value.message is not None
    assert caught.value.message.startswith("data.title in body: ")


def test_text_is_encoded_without_spaces_in_utf_8() -> None:
    assert json.encode({"é": [1, 1.0, None]}) == '{"é":[1,1.0,null]}'.encode()
    assert json.encode_text({"a": "😀"}) == '{"a":"😀"}'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), ([1], [True], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": {"b": [False]}}, {"a": {"b": [0]}}, False), ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (None, False, False), ([], {}, False), ("1", 1, False), ([1, 2], [1], False), ({}, {}, True),
    ],
)  # fmt: skip
def test_equality_is_that_of_json(one: Any, other: Any, same: bool) -> None:
    assert json.equal(one, other) is same
    assert json.equal(other, one) is same


@given(values)
def test_a_clone_is_equal_and_shares_nothing(value: Any) -> None:
    copy = json.clone(value)
    assert json.equal(copy, value)
    if isinstance(copy, list):
        copy.append(1)
        assert len(copy) == len(value) + 1
    elif isinstance(copy, dict):
        copy["another key"] = 1
        assert len(copy) == len(value) + 1


def test_depth_counts_arrays_and_objects() -> None:
    assert [json.depth(value) for value in (1, [], {}, [[1]], {"a": [{}]}, [1, [2], 3])] == [0, 1, 1, 2, 3, 2]
