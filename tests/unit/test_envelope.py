"""The envelope of objects and the attributes that rules look at: what is accepted, corrected and refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model.attributes import check_attributes, correct
from kintoun.model.envelope import Envelope, parse_envelope, parse_patch_envelope
from kintoun.model.errors import InvalidParameters

ALLOWED = {
    "bucket": ("read", "write", "collection:create", "group:create"),
    "collection": ("read", "write", "record:create"),
    "group": ("read", "write"),
    "record": ("read", "write"),
    "account": ("read", "write"),
}
NO_MAPPING = '"{}" is not a mapping type: Does not implement dict-like functionality.'
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def put(body: Any, kind: str = "record") -> Envelope:
    return parse_envelope(body, kind=kind, permissions_allowed=ALLOWED[kind], data_required=kind == "account")


def patch(body: Any, kind: str = "record") -> Envelope:
    return parse_patch_envelope(body, permissions_allowed=ALLOWED[kind])


def broken(error: InvalidParameters) -> list[tuple[str | None, str]]:
    assert error.status == 400
    assert error.errno == 107
    assert {detail.location for detail in error.broken} == {"body"}
    return [(detail.name, detail.description) for detail in error.broken]


# What the reference answers, both to PUT and to PATCH: name and description of every detail.
BROKEN: list[tuple[Any, list[tuple[str, str]]]] = [
    ([], [("", NO_MAPPING.format("[]"))]),
    ([1], [("", NO_MAPPING.format("[1]"))]),
    ({"foo": 1}, [("", "Unrecognized keys in mapping: \"{'foo': 1}\"")]),
    (
        {"foo": 1, "data": None, "bar": {"a": "é"}},
        [("", "Unrecognized keys in mapping: \"{'foo': 1, 'bar': {'a': 'é'}}\"")],
    ),
    ({"data": None}, [("data", NO_MAPPING.format("None"))]),
    ({"data": []}, [("data", NO_MAPPING.format("[]"))]),
    ({"data": "x"}, [("data", NO_MAPPING.format("x"))]),
    ({"data": 1}, [("data", NO_MAPPING.format("1"))]),
    ({"permissions": None}, [("permissions", NO_MAPPING.format("None"))]),
    ({"permissions": []}, [("permissions", NO_MAPPING.format("[]"))]),
    (
        {"data": None, "permissions": None},
        [("data", NO_MAPPING.format("None")), ("permissions", NO_MAPPING.format("None"))],
    ),
    ({"permissions": {"foo": ["a"]}}, [("permissions", '"foo" is not one of read, write')]),
    ({"permissions": {"bar": [], "foo": []}}, [("permissions", '"bar" is not one of read, write')]),
    ({"permissions": {"foo": None, "bar": 1}}, [("permissions", '"bar" is not one of read, write')]),
    ({"permissions": {"": []}}, [("permissions", '"" is not one of read, write')]),
    ({"permissions": {"foo": [], "read": "x"}}, [("permissions", '"foo" is not one of read, write')]),
    ({"permissions": {"read": "x"}}, [("permissions.read", '"x" is not iterable')]),
    ({"permissions": {"read": True}}, [("permissions.read", '"True" is not iterable')]),
    ({"permissions": {"read": {"a": "b"}}}, [("permissions.read", "\"{'a': 'b'}\" is not iterable")]),
    ({"permissions": {"read": [""]}}, [("permissions.read.0", "Required")]),
    ({"permissions": {"read": [None]}}, [("permissions.read.0", "Required")]),
    ({"permissions": {"read": [{}]}}, [("permissions.read.0", "Required")]),
    ({"permissions": {"read": ["a", 1]}}, [("permissions.read.1", "1 is not a string: {'': ''}")]),
    ({"permissions": {"read": [True]}}, [("permissions.read.0", "True is not a string: {'': ''}")]),
    (
        {"permissions": {"read": "x", "write": [""]}},
        [("permissions.read", '"x" is not iterable'), ("permissions.write.0", "Required")],
    ),
]


@pytest.mark.parametrize(("body", "expected"), BROKEN)
@pytest.mark.parametrize("parse", [put, patch])
def test_everything_wrong_with_an_envelope_is_named(parse: Any, body: Any, expected: Any) -> None:
    with pytest.raises(InvalidParameters) as caught:
        parse(body)
    assert broken(caught.value) == expected


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("bucket", "read, write, collection:create, group:create"),
        ("collection", "read, write, record:create"),
        ("group", "read, write"),
    ],
)
def test_a_kind_has_its_own_permissions(kind: str, names: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        put({"permissions": {"foo": []}}, kind)
    assert broken(caught.value) == [("permissions", f'"foo" is not one of {names}')]


def test_absent_and_empty_are_not_the_same() -> None:
    assert put({}) == Envelope(None, None)
    assert put({"data": {}}) == Envelope({}, None)
    assert put({"permissions": {}}) == Envelope(None, {})
    assert put({"permissions": {"read": []}}) == Envelope(None, {"read": []})


def test_a_null_permission_is_not_given_but_remembered_for_a_merge() -> None:
    body = {"permissions": {"read": None, "write": ["a"], "foo": None}}
    assert patch(body) == Envelope(None, {"write": ["a"]}, ("read",))
    assert put({"permissions": {"read": None}}).permissions == {}


def test_principals_are_a_set_in_the_order_given() -> None:
    assert put({"permissions": {"read": ["b", "a", "b"]}}).permissions == {"read": ["b", "a"]}


def test_a_patch_may_mention_either_member() -> None:
    assert patch({}) == Envelope(None, None)
    assert patch({"data": {}}) == Envelope({}, None)


def test_the_attributes_of_a_request_are_checked_with_its_permissions() -> None:
    with pytest.raises(InvalidParameters) as caught:
        put({"data": {"members": 1}, "permissions": {"foo": []}}, "group")
    assert broken(caught.value) == [
        ("data.members", '"1" is not iterable'),
        ("permissions", '"foo" is not one of read, write'),
    ]


def test_an_account_needs_data() -> None:
    with pytest.raises(InvalidParameters) as caught:
        put({}, "account")
    assert broken(caught.value) == [("data", "Required")]
    with pytest.raises(InvalidParameters) as caught:
        put({"data": None}, "account")
    assert broken(caught.value) == [("data", NO_MAPPING.format("None"))]


ATTRIBUTES: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("group", {"members": None}, [("members", '"None" is not iterable')]),
    ("group", {"members": "x"}, [("members", '"x" is not iterable')]),
    ("group", {"members": {"a": 1}}, [("members", "\"{'a': 1}\" is not iterable")]),
    ("group", {"members": [[]]}, [("members.0", "Required")]),
    ("group", {"members": ["system.Everyone"]}, [("members.0", "'system.Everyone' is not a valid user ID.")]),
    (
        "group",
        {"members": ["ok", "", 2, "/buckets/a"]},
        [
            ("members.1", "Required"),
            ("members.2", "2 is not a string: {'': ''}"),
            ("members.3", "'/buckets/a' is not a valid user ID."),
        ],
    ),
    ("collection", {"schema": None}, [("schema", NO_MAPPING.format("None"))]),
    ("collection", {"schema": True}, [("schema", NO_MAPPING.format("True"))]),
    (
        "collection",
        {"schema": {"type": "bogus"}},
        [("schema", "type'bogus' is not valid under any of the given schemas")],
    ),
    ("collection", {"cache_expires": "abc"}, [("cache_expires", '"abc" is not a number')]),
    ("collection", {"cache_expires": "1.5"}, [("cache_expires", '"1.5" is not a number')]),
    ("collection", {"cache_expires": [1]}, [("cache_expires", '"[1]" is not a number')]),
    ("collection", {"cache_expires": 1e30}, [("cache_expires", '"1e+30" is not a number')]),
    ("collection", {"cache_expires": "9" * 5000}, [("cache_expires", f'"{"9" * 1000}…" is not a number')]),
    (
        "collection",
        {"schema": 1, "cache_expires": "x"},
        [("schema", NO_MAPPING.format("1")), ("cache_expires", '"x" is not a number')],
    ),
    (
        "bucket",
        {"record:schema": 1, "group:schema": None, "collection:schema": []},
        [
            ("collection:schema", NO_MAPPING.format("[]")),
            ("group:schema", NO_MAPPING.format("None")),
            ("record:schema", NO_MAPPING.format("1")),
        ],
    ),
    ("account", {}, [("password", "Required")]),
    ("account", {"password": ""}, [("password", "Required")]),
    ("account", {"password": []}, [("password", "Required")]),
    ("account", {"password": 1}, [("password", "1 is not a string: {'password': ''}")]),
    ("account", {"password": True}, [("password", "True is not a string: {'password': ''}")]),
    ("account", {"password": "é" * 2049}, [("password", "Longer than 4096 bytes")]),
]


@pytest.mark.parametrize(("kind", "data", "expected"), ATTRIBUTES)
def test_wrong_attributes_are_named(kind: str, data: dict[str, Any], expected: Any) -> None:
    _, wrong = correct(kind, data, "data.")
    assert [(detail.name, detail.description) for detail in wrong] == [
        (f"data.{name}", description) for name, description in expected
    ]
    with pytest.raises(InvalidParameters) as caught:
        put({"data": data}, kind)
    assert sorted(broken(caught.value)) == sorted((f"data.{name}", text) for name, text in expected)


@pytest.mark.parametrize(("kind", "data", "expected"), ATTRIBUTES)
def test_of_a_patched_object_the_first_wrong_attribute_is_named(
    kind: str, data: dict[str, Any], expected: Any
) -> None:
    with pytest.raises(InvalidParameters) as caught:
        check_attributes(kind, data)
    assert broken(caught.value) == expected[:1]


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("group", {}, {"members": []}),
        ("group", {"x": 1, "members": ["a", "a"]}, {"x": 1, "members": ["a", "a"]}),
        (
            "group",
            {"members": ["system.Authenticated", "/bucketsx"]},
            {"members": ["system.Authenticated", "/bucketsx"]},
        ),
        ("collection", {"cache_expires": "10"}, {"cache_expires": 10}),
        ("collection", {"cache_expires": " 7 "}, {"cache_expires": 7}),
        ("collection", {"cache_expires": 1.5}, {"cache_expires": 1}),
        ("collection", {"cache_expires": True}, {"cache_expires": 1}),
        ("collection", {"cache_expires": False}, {"cache_expires": 0}),
        ("collection", {"cache_expires": 0}, {"cache_expires": 0}),
        ("collection", {"cache_expires": -5}, {"cache_expires": -5}),
        ("collection", {"cache_expires": None, "a": 1}, {"a": 1}),
        ("collection", {"cache_expires": ""}, {}),
        ("collection", {"cache_expires": {}}, {}),
        ("collection", {"schema": {}}, {"schema": {}}),
        ("bucket", {"foo:schema": None, "schema": 1}, {"foo:schema": None, "schema": 1}),
        ("record", {"schema": 1, "members": 2, "password": 3}, {"schema": 1, "members": 2, "password": 3}),
        ("account", {"password": "p" * 4096, "id": "a"}, {"password": "p" * 4096, "id": "a"}),
    ],
)
def test_attributes_are_corrected_and_what_was_given_is_left_alone(
    kind: str, data: dict[str, Any], expected: dict[str, Any]
) -> None:
    given_data = dict(data)
    corrected = check_attributes(kind, data)
    assert corrected == expected
    assert [type(value) for value in corrected.values()] == [type(value) for value in expected.values()]
    assert data == given_data


members = st.dictionaries(st.sampled_from(["data", "permissions"]), anything)


@given(anything | members, st.sampled_from(sorted(ALLOWED)))
def test_any_body_is_an_envelope_or_a_400(body: Any, kind: str) -> None:
    for parse in (put, patch):
        try:
            envelope = parse(body, kind)
        except InvalidParameters as error:
            # The whole error can be written out.
            error.body()
        else:
            assert set(envelope.permissions or ()) <= set(ALLOWED[kind])


@given(
    st.dictionaries(
        st.sampled_from(["members", "schema", "cache_expires", "password", "record:schema"]), anything
    ),
    st.sampled_from(sorted(ALLOWED)),
)
def test_any_attributes_are_corrected_or_a_400(data: dict[str, Any], kind: str) -> None:
    try:
        corrected = check_attributes(kind, data)
    except InvalidParameters:
        return
    assert check_attributes(kind, corrected) == corrected


def test_a_huge_value_does_not_make_a_huge_error() -> None:
    with pytest.raises(InvalidParameters) as caught:
        put({"data": "x" * 1_000_000, "permissions": {"read": "y" * 1_000_000}})
    assert len(str(caught.value.body())) < 10_000
