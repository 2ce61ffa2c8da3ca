"""The body of a batch: the requests with their defaults, and everything that is wrong with them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model.batch import BatchItem, parse_batch
from kintoun.model.errors import InvalidParameters

NO_MAPPING = '"{}" is not a mapping type: Does not implement dict-like functionality.'
METHODS = "GET, HEAD, DELETE, TRACE, POST, PUT, PATCH"


def parse(body: Any, max_requests: int | None = 25) -> tuple[BatchItem, ...]:
    return parse_batch(body, max_requests=max_requests)


def broken(body: Any, max_requests: int | None = 25) -> list[tuple[str | None, str]]:
    with pytest.raises(InvalidParameters) as caught:
        parse(body, max_requests)
    assert (caught.value.status, caught.value.errno) == (400, 107)
    return [(detail.name, detail.description) for detail in caught.value.broken]


def one(**request: Any) -> dict[str, Any]:
    return {"requests": [request]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], [("", NO_MAPPING.format("[]"))]),
        ({}, [("requests", "Required")]),
        ({"requests": None}, [("requests", '"None" is not iterable')]),
        ({"requests": {}}, [("requests", '"{}" is not iterable')]),
        ({"requests": "x"}, [("requests", '"x" is not iterable')]),
        ({"requests": [None]}, [("requests.0", NO_MAPPING.format("None"))]),
        ({"requests": [[]]}, [("requests.0", NO_MAPPING.format("[]"))]),
        (one(), [("requests.0.path", "Required")]),
        (one(path=None), [("requests.0.path", "Required")]),
        (one(path=""), [("requests.0.path", "Required")]),
        (one(path=[]), [("requests.0.path", "Required")]),
        (one(path=1), [("requests.0.path", "1 is not a string: {'path': ''}")]),
        (one(path="a"), [("requests.0.path", "String does not match expected pattern")]),
        (one(path="http://x/y"), [("requests.0.path", "String does not match expected pattern")]),
        (one(path="/batch"), [("requests", "Recursive call on /batch endpoint is forbidden.")]),
        (one(path="/v1/batch?x"), [("requests", "Recursive call on /batch endpoint is forbidden.")]),
        (one(path="/buckets/batch"), [("requests", "Recursive call on /batch endpoint is forbidden.")]),
        (one(path="/", method="get"), [("requests.0.method", f'"get" is not one of {METHODS}')]),
        (one(path="/", method="OPTIONS"), [("requests.0.method", f'"OPTIONS" is not one of {METHODS}')]),
        (one(path="/", method=1), [("requests.0.method", "1 is not a string: {'method': ''}")]),
        (one(path="/", headers=None), [("requests.0.headers", NO_MAPPING.format("None"))]),
        (one(path="/", headers=[]), [("requests.0.headers", NO_MAPPING.format("[]"))]),
        (one(path="/", headers={"a": 1}), [("requests.0.headers", "{'a': 1} contains non string value")]),
        (one(path="/", body=None), [("requests.0.body", NO_MAPPING.format("None"))]),
        (one(path="/", body=[]), [("requests.0.body", NO_MAPPING.format("[]"))]),
        (one(path="/", foo=1), [("requests.0", "Unrecognized keys in mapping: \"{'foo': 1}\"")]),
        (one(path=1, foo=2), [("requests.0", "Unrecognized keys in mapping: \"{'foo': 2}\"")]),
        (
            {"requests": [{}, {"path": 1}]},
            [("requests.0.path", "Required"), ("requests.1.path", "1 is not a string: {'path': ''}")],
        ),
        ({"foo": 1, "requests": 1}, [("", "Unrecognized keys in mapping: \"{'foo': 1}\"")]),
        ({"defaults": None, "requests": []}, [("defaults", NO_MAPPING.format("None"))]),
        ({"defaults": 1, "requests": [{"path": "/"}]}, [("defaults", NO_MAPPING.format("1"))]),
        (
            {"defaults": {"zork": 1}, "requests": [{"path": "/"}]},
            [
                ("defaults", "Unrecognized keys in mapping: \"{'zork': 1}\""),
                ("requests.0", "Unrecognized keys in mapping: \"{'zork': 1}\""),
            ],
        ),
        (
            {"defaults": {"path": 1}, "requests": [{}]},
            [
                ("defaults.path", "1 is not a string: {'path': ''}"),
                ("requests.0.path", "1 is not a string: {'path': ''}"),
            ],
        ),
        (
            {"defaults": {"path": "x"}, "requests": [{"path": "/"}]},
            [("defaults.path", "String does not match expected pattern")],
        ),
        (
            {"defaults": {"method": "bad"}, "requests": [{"path": "/", "method": "GET"}]},
            [("defaults.method", f'"bad" is not one of {METHODS}')],
        ),
        ({"defaults": {"path": ""}, "requests": [{}]}, [("requests.0.path", "Required")]),
        ({"defaults": {"path": "/"}}, [("requests", "Required")]),
        (
            {"defaults": {"headers": {"a": "1"}}, "requests": [{"path": "/", "headers": None}]},
            [("requests.0.headers", NO_MAPPING.format("None"))],
        ),
    ],
)
def test_everything_wrong_with_a_batch_is_named(body: Any, expected: Any) -> None:
    assert broken(body) == expected


def test_a_request_is_a_get_without_headers_and_body_unless_it_says_so() -> None:
    assert parse({"requests": []}) == ()
    assert parse(one(path="/x")) == (BatchItem("GET", "/x", {}, None),)
    assert parse(one(path="/x", method=None)) == (BatchItem("GET", "/x", {}, None),)
    assert parse(one(path="/x?y", method="PUT", headers={"a": "b"}, body={})) == (
        BatchItem("PUT", "/x?y", {"a": "b"}, {}),
    )


def test_defaults_complete_every_request_all_the_way_down() -> None:
    defaults = {
        "method": "PUT",
        "path": "/buckets/b",
        "headers": {"If-Match": "*", "x": "1"},
        "body": {"data": {"d": 1, "n": {"a": 1}}},
    }
    requests: list[dict[str, Any]] = [
        {},
        {"body": {"data": {"d": {"x": 1}, "n": {"a": None, "b": 2}}}, "headers": {"x": "2"}},
        {"method": "GET", "path": "/c", "body": {"data": {"n": [1]}}},
        {"method": None},
        {"body": {"data": None, "permissions": {}}},
    ]
    items = parse({"defaults": defaults, "requests": requests})
    assert items[0] == BatchItem("PUT", "/buckets/b", defaults["headers"], defaults["body"])  # type: ignore[arg-type]
    assert items[1].headers == {"If-Match": "*", "x": "2"}
    assert items[1].body == {"data": {"d": {"x": 1}, "n": {"a": None, "b": 2}}}
    assert (items[2].method, items[2].path) == ("GET", "/c")
    assert items[2].body == {"data": {"d": 1, "n": [1]}}
    assert items[3].method == "GET"
    assert items[4].body == {"data": None, "permissions": {}}
    assert defaults["body"] == {"data": {"d": 1, "n": {"a": 1}}}


def test_a_default_path_that_no_request_uses_may_be_that_of_the_batch() -> None:
    assert parse({"defaults": {"path": "/batch"}, "requests": [{"path": "/"}]})[0].path == "/"


def test_the_number_of_requests_is_limited() -> None:
    assert len(parse({"requests": [{"path": "/"}] * 25})) == 25
    assert broken({"requests": [{"path": "/batch"}] * 26}) == [
        ("requests", "Number of requests is limited to 25")
    ]
    assert len(parse({"requests": [{"path": "/"}] * 100}, None)) == 100


def test_large_defaults_do_not_multiply() -> None:
    defaults = {"path": "/", "body": {"data": {str(key): "x" * 100 for key in range(10_000)}}}
    started = time.process_time()
    assert broken({"defaults": defaults, "requests": [{}] * 100_000})[0][0] == "requests"
    assert len(parse({"defaults": defaults, "requests": [{"body": {"data": {"a": 1}}}] * 25})) == 25
    assert time.process_time() - started < 2


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["/", "GET"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
requests = st.dictionaries(st.sampled_from(["method", "path", "headers", "body", "x"]), anything)


@given(
    anything
    | st.fixed_dictionaries(
        {"requests": anything | st.lists(requests | anything, max_size=4)},
        optional={"defaults": requests | anything},
    )
)
def test_any_body_is_a_batch_or_a_400(body: Any) -> None:
    try:
        items = parse(body)
    except InvalidParameters as error:
        error.body()
    else:
        assert all(item.path.startswith("/") and item.method in METHODS for item in items)
        assert all(isinstance(value, str) for item in items for value in item.headers.values())
