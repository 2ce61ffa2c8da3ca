"""The three ways to patch: the table of RFC 7396, RFC 6902 against a naive oracle, permissions, limits."""

from __future__ import annotations

import copy
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model import json
from kintoun.model.errors import InvalidParameters
from kintoun.model.json_patch import MAX_CARRIED_BYTES, MAX_OPERATIONS
from kintoun.model.patch import JSON_PATCH, MERGE_PATCH, Patched, merge, parse_patch, response_body

PLAIN = "application/json"
DATA = {"a": 1, "l": [1, 2], "o": {"x": 1, "y": None}, "id": "r", "last_modified": 5}
GRANTS = {"read": ["alice", "/buckets/b/groups/g"], "write": ["me"]}
NO_MAPPING = '"{}" is not a mapping type: Does not implement dict-like functionality.'


def apply(
    body: Any,
    media_type: str = JSON_PATCH,
    kind: str = "record",
    allowed: tuple[str, ...] = ("read", "write"),
    data: dict[str, Any] = DATA,
    grants: dict[str, list[str]] = GRANTS,
) -> Patched:
    """The outcome, after a second application, which must not differ: transactions are retried."""
    before = copy.deepcopy((body, data, grants))
    patch = parse_patch(body, media_type, kind=kind, permissions_allowed=allowed)
    patched = patch.apply(data, grants)
    assert patch.apply(data, grants) == patched
    assert (body, data, grants) == before
    return patched


def changed(body: Any, media_type: str = JSON_PATCH) -> dict[str, Any]:
    """The attributes that are not what they were; None for those that are gone."""
    data = apply(body, media_type).data
    return {
        name: data.get(name)
        for name in DATA | data
        if name not in data or name not in DATA or not json.equal(data[name], DATA[name])
    }


def broken(body: Any, media_type: str = JSON_PATCH, **options: Any) -> list[tuple[str | None, str]]:
    with pytest.raises(InvalidParameters) as caught:
        apply(body, media_type, **options)
    assert (caught.value.status, caught.value.errno) == (400, 107)
    return [(detail.name, detail.description) for detail in caught.value.broken]


def failed(*operations: dict[str, Any]) -> str:
    [(name, description)] = broken(list(operations))
    assert name is None
    assert description.startswith("JSON Patch operation failed: ")
    return description.removeprefix("JSON Patch operation failed: ")


def op(name: str, path: str, **fields: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **fields}


# Plain merge


def test_a_plain_patch_replaces_attributes_whole_and_stores_null() -> None:
    assert changed({"data": {"a": None, "o": {"z": 1}, "n": 2}}, PLAIN) == {"a": None, "o": {"z": 1}, "n": 2}
    assert apply({"data": {"a": None}}, PLAIN).data["a"] is None
    assert apply({"data": {}}, PLAIN).data == DATA


def test_a_plain_patch_replaces_the_permissions_it_mentions() -> None:
    assert apply({"data": {}}, PLAIN).permissions is None
    assert apply({"permissions": {}}, PLAIN).permissions is None
    assert apply({"permissions": {"read": None}}, PLAIN).permissions is None
    assert apply({"permissions": {"read": []}}, PLAIN).permissions == {"read": []}
    assert apply({"permissions": {"read": None, "write": ["bob"]}}, PLAIN).permissions == {"write": ["bob"]}


@pytest.mark.parametrize("media_type", [PLAIN, MERGE_PATCH])
def test_a_patch_without_anything_is_refused(media_type: str) -> None:
    assert broken({}, media_type) == [("data", "Provide at least one of data or permissions")]
    assert broken([], media_type) == [("", NO_MAPPING.format("[]"))]
    assert broken({"data": None}, media_type) == [("data", NO_MAPPING.format("None"))]
    assert broken({"permissions": {"foo": []}}, media_type) == [
        ("permissions", '"foo" is not one of read, write')
    ]


# Merge-patch

RFC_7396: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ("foo", {"a": 1}, {"a": 1}),
    ({"a": 1}, {"a": {"z": None}}, {"a": {}}),
    ({"a": [1]}, {"a": {"z": 1}}, {"a": {"z": 1}}),
    ({"o": {"x": 1}}, {"o": {}}, {"o": {"x": 1}}),
    ({}, {"l": [None, {"x": None}]}, {"l": [None, {"x": None}]}),
]


@pytest.mark.parametrize(("target", "patch", "expected"), RFC_7396)
def test_merge_is_that_of_rfc_7396(target: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merge(target, patch) == expected
    assert (target, patch) == before


def rfc_merge(target: Any, patch: Any) -> Any:
    """The pseudo code of the RFC."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc_merge(result.get(name), value)
    return result


names = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=3)


@given(values, objects)
def test_merge_is_the_recursion_of_the_rfc(target: Any, patch: dict[str, Any]) -> None:
    assert json.equal(merge(target, patch), rfc_merge(target, patch))


def test_a_merge_as_deep_as_a_document_may_be() -> None:
    deep: Any = 1
    for _ in range(json.MAX_DEPTH):
        deep = {"a": deep}
    assert merge({"a": {"b": 1}}, deep)["a"]["b"] == 1


def test_null_empties_a_permission_in_a_merge_alone() -> None:
    assert apply({"permissions": {"read": None}}, MERGE_PATCH).permissions == {"read": []}
    assert apply({"permissions": {"read": ["bob"]}}, MERGE_PATCH).permissions == {"read": ["bob"]}
    assert apply({"permissions": {"foo": None}}, MERGE_PATCH).permissions is None
    assert apply({"data": {"a": 2}, "permissions": {"read": None}}, MERGE_PATCH)[:2] == (
        {**DATA, "a": 2},
        {"read": []},
    )


# JSON-Patch: form


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("", '"{}" is not iterable')]),
        ({"data": {}}, [("", "\"{'data': {}}\" is not iterable")]),
        ([1], [("0", NO_MAPPING.format("1"))]),
        ([[]], [("0", NO_MAPPING.format("[]"))]),
        ([{}], [("0.op", "Required"), ("0.path", "Required")]),
        ([{"op": "add"}], [("0.path", "Required")]),
        ([{"path": "/data/a"}], [("0.op", "Required")]),
        ([op("", "/data/a")], [("0.op", "Required")]),
        ([op("zz", "/x")], [("0.op", '"zz" is not one of test, add, remove, replace, move, copy')]),
        ([op("ADD", "/x")], [("0.op", '"ADD" is not one of test, add, remove, replace, move, copy')]),
        ([{"op": 1, "path": "/x"}], [("0.op", "1 is not a string: {'op': ''}")]),
        ([op("add", "", value=1)], [("0.path", "Required")]),
        ([op("add", "a", value=1)], [("0.path", "String does not match expected pattern")]),
        ([{"op": "add", "path": 1}], [("0.path", "1 is not a string: {'path': ''}")]),
        ([op("move", "/x", **{"from": 1})], [("0.from", "1 is not a string: {'from': ''}")]),
        ([op("move", "/x", **{"from": "x"})], [("0.from", "String does not match expected pattern")]),
        ([op("add", "/x", value=1, foo=2)], [("0", "Unrecognized keys in mapping: \"{'foo': 2}\"")]),
        (
            [op("add", "/data/z", value=1), op("zz", "q"), {"foo": 1}],
            [
                ("1.op", '"zz" is not one of test, add, remove, replace, move, copy'),
                ("1.path", "String does not match expected pattern"),
                ("2", "Unrecognized keys in mapping: \"{'foo': 1}\""),
            ],
        ),
    ],
)
def test_ill_formed_operations_are_named(body: Any, expected: Any) -> None:
    assert broken(body) == expected


# JSON-Patch: attributes


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], {}),
        ([op("add", "/data/z", value=None)], {"z": None}),
        ([op("add", "/data/l/-", value=3)], {"l": [1, 2, 3]}),
        ([op("add", "/data/l/0", value=3)], {"l": [3, 1, 2]}),
        ([op("add", "/data/l/2", value=3)], {"l": [1, 2, 3]}),
        ([op("add", "/data/a", value=[])], {"a": []}),
        ([op("add", "/data/x~1y~0~01", value=1)], {"x/y~~1": 1}),
        ([op("add", "/data/", value=1)], {"": 1}),
        ([op("remove", "/data/a")], {"a": None}),
        ([op("remove", "/data/a", value=1)], {"a": None}),
        ([op("remove", "/data/l/0")], {"l": [2]}),
        ([op("remove", "/data/o/y")], {"o": {"x": 1}}),
        ([op("replace", "/data/a", value=2)], {"a": 2}),
        ([op("replace", "/data/l/1", value=9)], {"l": [1, 9]}),
        ([op("move", "/data/z", **{"from": "/data/a"})], {"a": None, "z": 1}),
        ([op("move", "/data/o", **{"from": "/data/o"})], {}),
        ([op("move", "/data/l/0", **{"from": "/data/l/1"})], {"l": [2, 1]}),
        ([op("copy", "/data/o/c", **{"from": "/data/o"})], {"o": {**DATA["o"], "c": DATA["o"]}}),  # type: ignore[dict-item]
        ([op("copy", "/data/l/-", **{"from": "/data/l/0"})], {"l": [1, 2, 1]}),
        ([op("test", "/data/a", value=1.0)], {}),
        ([op("test", "/data/o", value={"y": None, "x": 1})], {}),
        ([op("add", "/foo", value=1), op("add", "/", value=2)], {}),
        ([op("replace", "/data", value={"id": "r", "last_modified": 5})], {"a": None, "l": None, "o": None}),
    ],
)
def test_operations_change_attributes(operations: Any, expected: dict[str, Any]) -> None:
    assert changed(operations) == expected


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (op("add", "/data/z"), "'value'"),
        (op("replace", "/data/a"), "'value'"),
        (op("test", "/data/a"), "'value'"),
        (op("move", "/data/z"), "'from'"),
        (op("copy", "/data/z", **{"from": None}), "'from'"),
        (op("copy", "/data/z", **{"from": ""}), "'from'"),
        (op("add", "/data/l/3", value=1), "beyond the end"),
        (op("add", "/data/l/01", value=1), "not a position"),
        (op("add", "/data/l/x", value=1), "not a position"),
        (op("add", "/data/l/-1", value=1), "not a position"),
        (op("add", "/data/l/٣", value=1), "not a position"),
        (op("add", "/data/l/" + "9" * 5000, value=1), "not a position"),
        (op("add", "/data/q/z", value=1), "'q' does not exist"),
        (op("add", "/data/a/z", value=1), "scalar"),
        (op("remove", "/data/zz"), "'zz' does not exist"),
        (op("remove", "/data/l/-"), "not a position"),
        (op("remove", "/data/l/5"), "beyond the end"),
        (op("replace", "/data/zz", value=1), "'zz' does not exist"),
        (op("replace", "/data/l/9", value=1), "beyond the end"),
        (op("move", "/data/z", **{"from": "/data/zz"}), "'zz' does not exist"),
        (op("move", "/data/o/x", **{"from": "/data/o"}), "into itself"),
        (op("copy", "/data/m", **{"from": "/data/l/-"}), "not a position"),
        (op("test", "/data/a", value=True), "not equal"),
        (op("test", "/data/a", value=2), "not equal"),
        (op("test", "/data/zz", value=None), "'zz' does not exist"),
        (op("test", "/data/l/-", value=1), "not a position"),
        (op("add", "/foo/x", value=1), "'foo' does not exist"),
        (op("add", "/data/x~2", value=1), "invalid escape"),
        (op("add", "/data/x~", value=1), "invalid escape"),
    ],
)
def test_an_operation_that_the_object_does_not_allow_fails(operation: dict[str, Any], words: str) -> None:
    assert words in failed(operation)


def test_one_failure_undoes_the_whole_patch_and_tells_nothing_of_the_object() -> None:
    data = {"secret": "s3cret"}
    [(_, description)] = broken([op("test", "/data/secret", value=1)], data=data)
    assert "s3cret" not in description
    assert broken([op("add", "/data/a", value=1), op("remove", "/data/b")], data=data)
    assert data == {"secret": "s3cret"}


@pytest.mark.parametrize("value", [1, None, [], "x"])
def test_data_stays_an_object(value: Any) -> None:
    assert broken([op("replace", "/data", value=value)]) == [("data", NO_MAPPING.format(str(value)))]
    assert broken([op("remove", "/data")]) == [("data", "Required")]


# JSON-Patch: permissions


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([op("add", "/permissions/read/bob")], {"read": ["alice", "/buckets/b/groups/g", "bob"]}),
        ([op("add", "/permissions/read/bob", value=1)], {"read": ["alice", "/buckets/b/groups/g", "bob"]}),
        ([op("add", "/permissions/read/alice")], None),
        ([op("add", "/permissions/write/~1x")], {"write": ["me", "/x"]}),
        ([op("remove", "/permissions/read/alice")], {"read": ["/buckets/b/groups/g"]}),
        ([op("remove", "/permissions/read/~1buckets~1b~1groups~1g")], {"read": ["alice"]}),
        ([op("remove", "/permissions/read")], None),
        ([op("remove", "/permissions")], None),
        ([op("replace", "/permissions", value={})], None),
        ([op("replace", "/permissions", value=None)], None),
        ([op("replace", "/permissions/read", value={})], {"read": []}),
        ([op("replace", "/permissions/read", value={"bob": 1})], {"read": ["bob"]}),
        ([op("replace", "/permissions/read", value=["bob", "bob"])], {"read": ["bob"]}),
        ([op("replace", "/permissions", value={"read": {"x": 1}})], {"read": ["x"]}),
        (
            [op("move", "/permissions/write/alice", **{"from": "/permissions/read/alice"})],
            {"read": ["/buckets/b/groups/g"], "write": ["me", "alice"]},
        ),
        (
            [op("move", "/permissions/write", **{"from": "/permissions/read"})],
            {"write": ["alice", "/buckets/b/groups/g"]},
        ),
        ([op("test", "/permissions/read/alice")], None),
        ([op("test", "/permissions/read/alice", value="alice")], None),
        ([op("copy", "/permissions/read", **{"from": "/data/o"})], {"read": ["x", "y"]}),
        ([op("add", "/data/z", value=1)], None),
    ],
)
def test_operations_change_permissions(operations: Any, expected: Any) -> None:
    assert apply(operations).permissions == expected


def test_read_and_write_can_be_added_to_even_when_nobody_has_them() -> None:
    assert apply([op("add", "/permissions/read/x")], grants={}).permissions == {"read": ["x"]}
    assert apply([op("test", "/permissions/read", value={})], grants={}).permissions is None


def test_other_permissions_are_added_as_a_whole() -> None:
    allowed = ("read", "write", "record:create")
    grants = {"record:create": ["y"]}
    whole = [op("add", "/permissions/record:create", value={"alice": "anything"})]
    assert apply(whole, allowed=allowed).permissions == {"record:create": ["alice"]}
    with_value = [op("add", "/permissions/record:create/x", value="x")]
    assert apply(with_value, allowed=allowed, grants=grants).permissions == {"record:create": ["y", "x"]}
    assert broken(with_value, allowed=allowed)
    assert broken([op("add", "/permissions/record:create/x")], allowed=allowed, grants=grants)
    remove = [op("remove", "/permissions/record:create/y")]
    assert apply(remove, allowed=allowed, grants=grants).permissions == {"record:create": []}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (op("add", "/permissions/foo", value={"a": 1}), ("permissions", '"foo" is not one of read, write')),
        (op("replace", "/permissions", value=1), ("permissions", NO_MAPPING.format("1"))),
        (op("replace", "/permissions/read", value="bob"), ("permissions.read", '"bob" is not iterable')),
        (op("replace", "/permissions/read", value=None), ("permissions.read", '"None" is not iterable')),
        (
            op("replace", "/permissions/read", value=[1]),
            ("permissions.read.0", "1 is not a string: {'': ''}"),
        ),
        (op("replace", "/permissions/read", value={"": 1}), ("permissions.read.0", "Required")),
        (op("add", "/permissions/read/"), ("permissions.read.2", "Required")),
    ],
)
def test_permissions_stay_names_with_principals(operation: Any, expected: Any) -> None:
    assert broken([operation]) == [expected]


def test_a_missing_principal_cannot_be_removed() -> None:
    assert "'zed' does not exist" in failed(op("remove", "/permissions/read/zed"))
    assert "'bob' does not exist" in failed(op("test", "/permissions/read/bob"))


# JSON-Patch against an oracle that is as naive as the RFC


class OracleRefuses(Exception):
    pass


def parts(pointer: str) -> list[str]:
    return [re.sub("~1", "/", part).replace("~0", "~") for part in pointer.split("/")[1:]]


def oracle_get(document: Any, path: list[str]) -> Any:
    if not path:
        return document
    if isinstance(document, dict) and path[0] in document:
        return oracle_get(document[path[0]], path[1:])
    if isinstance(document, list) and path[0] in [str(index) for index in range(len(document))]:
        return oracle_get(document[int(path[0])], path[1:])
    raise OracleRefuses


def oracle_put(document: Any, path: list[str], value: Any) -> Any:
    """The document with a value added; a new document every time."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(document, dict):
        if rest and head not in document:
            raise OracleRefuses
        return {**document, head: oracle_put(document.get(head), rest, value)}
    if isinstance(document, list):
        if not rest and head == "-":
            return [*document, value]
        if not rest and head in [str(index) for index in range(len(document) + 1)]:
            return [*document[: int(head)], value, *document[int(head) :]]
        if rest and head in [str(index) for index in range(len(document))]:
            index = int(head)
            return [*document[:index], oracle_put(document[index], rest, value), *document[index + 1 :]]
    raise OracleRefuses


def oracle_drop(document: Any, path: list[str]) -> Any:
    oracle_get(document, path)
    head, rest = path[0], path[1:]
    if isinstance(document, dict):
        if rest:
            return {**document, head: oracle_drop(document[head], rest)}
        return {name: value for name, value in document.items() if name != head}
    index = int(head)
    middle = [oracle_drop(document[index], rest)] if rest else []
    return [*document[:index], *middle, *document[index + 1 :]]


def oracle(document: Any, operations: list[dict[str, Any]]) -> Any:
    for operation in operations:
        path = parts(operation["path"])
        source = parts(operation.get("from", ""))
        match operation["op"]:
            case "add":
                document = oracle_put(document, path, operation["value"])
            case "remove":
                document = oracle_drop(document, path)
            case "replace":
                document = oracle_put(oracle_drop(document, path), path, operation["value"])
            case "copy":
                document = oracle_put(document, path, oracle_get(document, source))
            case "move":
                value = oracle_get(document, source)
                if source == path[: len(source)] and source != path:
                    raise OracleRefuses
                document = oracle_put(oracle_drop(document, source), path, value)
            case "test":
                if not json.equal(oracle_get(document, path), operation["value"]):
                    raise OracleRefuses
    return document


steps = st.sampled_from(["a", "b", "c", "0", "1", "2", "-", "01", "~01"])
pointers = st.lists(steps, min_size=1, max_size=3).map(lambda steps: "/data/" + "/".join(steps))
operations_of = st.one_of(
    st.builds(lambda op, path, value: {"op": op, "path": path, "value": value},
              st.sampled_from(["add", "replace", "test"]), pointers, values),
    st.builds(lambda path: {"op": "remove", "path": path}, pointers),
    st.builds(lambda op, path, source: {"op": op, "path": path, "from": source},
              st.sampled_from(["move", "copy"]), pointers, pointers),
)  # fmt: skip


@given(objects, st.lists(operations_of, max_size=4))
def test_operations_do_what_a_naive_reading_of_the_rfc_does(
    data: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    try:
        expected = oracle({"data": data}, operations)["data"]
    except OracleRefuses:
        broken(operations, data=data)
    else:
        assert json.equal(apply(operations, data=data).data, expected)


@given(objects, st.lists(operations_of, max_size=6))
def test_a_value_that_was_copied_is_not_changed_with_its_origin(
    data: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    data = {**data, "c": {"a": [0], "b": {"a": 1}}}
    start = [op("copy", "/data/copied", **{"from": "/data/c"})]
    try:
        patched = apply(start + operations, data=data).data
    except InvalidParameters:
        return
    assert patched["copied"] == data["c"]


# JSON-Patch: limits


def test_the_number_of_operations_is_limited() -> None:
    operation = op("test", "/data/a", value=1)
    apply([operation] * MAX_OPERATIONS)
    assert broken([operation] * (MAX_OPERATIONS + 1)) == [
        ("", f"Number of operations is limited to {MAX_OPERATIONS}")
    ]


def test_a_bomb_of_copies_goes_off_early() -> None:
    doubling = [op("copy", "/data/l/-", **{"from": "/data/l"})] * 100
    started = time.process_time()
    assert str(MAX_CARRIED_BYTES) in failed(*doubling)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["copy", "move"])
def test_nesting_is_limited_whatever_way_it_grows(name: str) -> None:
    growing = [
        operation
        for _ in range(300)
        for operation in (
            op("add", "/data/n", value={"a": {}}),
            op("copy", "/data/n/a/a", **{"from": "/data/o"}),
            op(name, "/data/o", **{"from": "/data/n"}),
        )
    ]
    assert "nested deeper than 400" in failed(*growing)


def test_a_deep_value_in_a_deep_place_is_refused() -> None:
    deep: Any = {}
    for _ in range(json.MAX_DEPTH - 3):
        deep = {"a": deep}
    apply([op("add", "/data/z", value=deep)])
    assert "nested deeper" in failed(op("add", "/data/o/z", value=deep))
    assert "nested deeper" in failed(op("replace", "/data/o/x", value={"a": deep}))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | pointers,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["op", "path", "from", "value", "data", "permissions"]), inner)
    ),
    max_leaves=6,
)
wild = st.builds(
    lambda op, path, rest: {"op": op, "path": path, **rest},
    st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
    st.sampled_from(["/data", "/permissions", "/permissions/read", "/permissions/read/a", "/", "/x"])
    | pointers,
    st.fixed_dictionaries(
        {},
        optional={
            "value": values,
            "from": st.sampled_from(["/data", "/permissions", "/permissions/read", "/data/a", "/data/b"]),
        },
    ),
)


@given(anything | st.lists(wild, max_size=5), st.sampled_from([PLAIN, MERGE_PATCH, JSON_PATCH]), objects)
def test_any_body_is_a_patch_or_a_400(body: Any, media_type: str, data: dict[str, Any]) -> None:
    try:
        patched = apply(body, media_type, data=data)
    except InvalidParameters as error:
        error.body()
    else:
        assert isinstance(patched.data, dict)
        assert set(patched.permissions or ()) <= {"read", "write"}
        json.encode(patched.data)


# The passwords of accounts


def test_the_attributes_that_a_patch_sets_are_known_and_can_be_replaced() -> None:
    data = {"password": "old", "x": 1}
    for body, media_type in (
        ({"data": {"password": "new", "y": 2}}, PLAIN),
        ({"data": {"password": "new", "y": 2}}, MERGE_PATCH),
        ([op("replace", "/data/password", value="new"), op("add", "/data/y", value=2)], JSON_PATCH),
        ([op("replace", "/data", value={"password": "new", "y": 2})], JSON_PATCH),
    ):
        patch = parse_patch(body, media_type, kind="account", permissions_allowed=("read", "write"))
        assert patch.submitted == {"password": "new", "y": 2}
        hidden = patch.with_data({**patch.submitted, "password": "****"})
        patched = hidden.apply(data, {}).data
        assert (patched["password"], patched["y"]) == ("****", 2)


def test_nothing_can_be_moved_or_copied_to_a_password() -> None:
    data = {"password": "****", "x": "plain"}
    for name in ("move", "copy"):
        operations = [op(name, "/data/password", **{"from": "/data/x"})]
        assert broken(operations, kind="account", data=data) == [
            ("password", "Only 'add' and 'replace' can set a password")
        ]
        assert apply(operations, data=data).data["password"] == "plain"
    assert apply([op("replace", "/data/x", value=1)], kind="account", data=data).data == {**data, "x": 1}


# What the answer shows


@pytest.mark.parametrize(
    ("body", "media_type", "light", "diff"),
    [
        ({"data": {"a": 1}}, PLAIN, {}, {}),
        ({"data": {"a": 2, "n": 1}}, PLAIN, {"a": 2, "n": 1}, {}),
        ({"data": {"o": {"x": 1}}}, PLAIN, {"o": {"x": 1}}, {}),
        ({"data": {"last_modified": 1}}, PLAIN, {"last_modified": 9}, {"last_modified": 9}),
        ({"data": {"id": "r", "a": 2}}, PLAIN, {"a": 2}, {}),
        ({"data": {"z": None}}, PLAIN, {}, {}),
        ({"data": {"a": True}}, PLAIN, {"a": True}, {}),
        ({"permissions": {"read": ["bob"]}}, PLAIN, {}, {}),
        ({"data": {"a": None, "o": {"x": 2}}}, MERGE_PATCH, {"o": {"x": 2, "y": None}}, {}),
        ([op("replace", "/data/a", value=2)], JSON_PATCH, {"a": 2, "last_modified": 9}, {"last_modified": 9}),
        ([], JSON_PATCH, {"last_modified": 9}, {"last_modified": 9}),
    ],
)
def test_light_and_diff_show_what_changed(body: Any, media_type: str, light: Any, diff: Any) -> None:
    patched = apply(body, media_type)
    new = {**patched.data, "last_modified": 9}
    assert response_body("full", patched.submitted, DATA, new) == new
    assert response_body("light", patched.submitted, DATA, new) == light
    assert response_body("diff", patched.submitted, DATA, new) == diff
