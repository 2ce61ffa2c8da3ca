"""Requests that nobody would send, made of parts that mean something to the server."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "FOO")

NASTY_TEXT = (
    "", "\0", "a\0b", "\ud800", "\uffff", "é", "𝒳", "%", "_", "*", "'",
    '"', "\\", "\n", "\r\n", "../..", "a" * 300,
    "system.Everyone", "system.Authenticated", "/buckets/b/groups/g", "null", "true", "1", "-1", "1e400",
    "[]", "{}",
    "0x10", "١٢", "\u202e", "id", "last_modified", "deleted", "schema", "constructor", "__proto__",
)  # fmt: skip
NASTY_NUMBERS = (
    0, -0.0, 1, -1, 1.5, 1e308, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30,
    253_402_300_799_999,
    253_402_300_800_000, 1_795_000_000_000,
)  # fmt: skip

text = st.one_of(st.sampled_from(NASTY_TEXT), st.text(max_size=8))
numbers = st.one_of(
    st.sampled_from(NASTY_NUMBERS), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.one_of(st.none(), st.booleans(), numbers, text)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=8,
)

# Paths

SEGMENTS = (
    "buckets", "b", "collections", "c", "records", "r0", "r4", "groups", "g", "accounts", "zoe",
    "permissions",
    "batch", "__api__", "__heartbeat__", "__version__", "__user_data__", "missing", "",
)  # fmt: skip
KNOWN = (
    "/buckets", "/buckets/b", "/buckets/b/collections", "/buckets/b/collections/c", "/buckets/b/groups",
    "/buckets/b/groups/g", "/buckets/b/collections/c/records", "/buckets/b/collections/c/records/r0",
    "/buckets/b/collections/c/records/r4", "/accounts", "/accounts/zoe", "/permissions", "/", "/__api__",
    "/__api__/",
    "/__heartbeat__", "/contribute.json",
)  # fmt: skip


def _percent(raw: bytes) -> str:
    return quote_from_bytes(raw, safe="")


segments = st.one_of(
    st.sampled_from(SEGMENTS),
    st.binary(max_size=6).map(_percent),
    text.map(lambda value: _percent(value.encode("utf-8", "surrogatepass"))),
    st.sampled_from(("%2F", "%0A", "%00", "%zz", "%", "b%0A", "..", ";", "{id}", "b%2Fcollections")),
)
prefixes = st.sampled_from(("/v1", "/v1", "/v1", "/v1", "", "/v2", "/v12", "//v1"))
paths = st.one_of(
    st.sampled_from(KNOWN).map("/v1".__add__),
    st.sampled_from(KNOWN).map("/v1".__add__),
    st.builds(
        lambda prefix, parts: prefix + "".join(f"/{part}" for part in parts),
        prefixes,
        st.lists(segments, max_size=7),
    ),
)

# Queries

FIELDS = (
    "title",
    "n",
    "id",
    "last_modified",
    "deleted",
    "schema",
    "a.b",
    "permissions",
    "uri",
    "members",
    "x-y",
    "é",
)
OPERATORS = (
    "", "lt_", "min_", "max_", "not_", "eq_", "gt_", "in_", "exclude_", "like_", "has_", "contains_",
    "contains_any_",
)  # fmt: skip
PARAMETERS = (
    "_limit",
    "_token",
    "_sort",
    "_fields",
    "_since",
    "_before",
    "_to",
    "_foo",
    "id",
    "last_modified",
)
names = st.one_of(
    st.builds("".__class__.__add__, st.sampled_from(OPERATORS), st.sampled_from(FIELDS)),
    st.sampled_from(PARAMETERS),
    text,
)
query_values = st.one_of(
    json_values.map(lambda value: json.dumps(value, ensure_ascii=False)),
    text,
    st.lists(st.sampled_from(FIELDS), max_size=4).map(",-".join),
    st.lists(scalars.map(str), max_size=4).map(",".join),
)
_pairs = st.tuples(names, query_values).map(
    lambda pair: "=".join(_percent(part.encode("utf-8", "surrogatepass")) for part in pair)
)
queries = st.one_of(
    st.just(b""),
    st.lists(_pairs, max_size=4).map(lambda pairs: "&".join(pairs).encode()),
    st.binary(max_size=20),
)

# Headers

HEADER_VALUES = (
    "*", '"1"', '"0"', 'W/"1"', "1", '"1795000000000"', '"99999999999999999999"', "application/json",
    "text/html",
    "application/merge-patch+json", "application/json-patch+json; charset=utf-8", "light", "full", "diff",
    "http://evil.example", "Basic YWxpY2U6cHc=", "Basic !!!", "Basic em9lOnB3", "Bearer x", "Basic", "",
    "\xff",
    "GET", "gzip", "chunked", "7", "-1", "a" * 400,
)  # fmt: skip
HEADER_NAMES = (
    "If-Match", "If-None-Match", "Accept", "Content-Type", "Response-Behavior", "Origin", "Authorization",
    "Host",
    "Access-Control-Request-Method", "Access-Control-Request-Headers", "Content-Encoding",
    "X-Forwarded-Proto",
    "Accept-Encoding", "If-Modified-Since", "X-Request-Id", "Content-Length",
)  # fmt: skip
header_values = st.one_of(
    st.sampled_from(HEADER_VALUES),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12),
)
headers = st.lists(st.tuples(st.sampled_from(HEADER_NAMES), header_values), max_size=4)

# Bodies

attributes = st.dictionaries(
    st.one_of(
        st.sampled_from(
            (
                "id",
                "last_modified",
                "schema",
                "members",
                "password",
                "cache_expires",
                "deleted",
                "record:schema",
            )
        ),
        text,
    ),
    json_values,
    max_size=4,
)
principals = st.one_of(json_values, st.lists(text, max_size=3))
permissions = st.dictionaries(
    st.one_of(st.sampled_from(("read", "write", "record:create", "collection:create", "group:create")), text),
    principals,
    max_size=3,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "data": st.one_of(attributes, json_values),
        "permissions": st.one_of(permissions, json_values),
        "foo": scalars,
    },
)
pointers = st.one_of(
    st.sampled_from(("", "/", "/data", "/data/n", "/data/-", "/data/a/0/b", "/permissions",
    "/permissions/read",
                     "/permissions/read/x", "/permissions/fly", "/data/~2", "/data/id",
                     "/data/last_modified")),
    text,
)  # fmt: skip
operations = st.fixed_dictionaries(
    {},
    optional={
        "op": st.one_of(st.sampled_from(("add", "remove", "replace", "move", "copy", "test")), scalars),
        "path": st.one_of(pointers, scalars),
        "from": st.one_of(pointers, scalars),
        "value": json_values,
        "foo": scalars,
    },
)
documents: st.SearchStrategy[Any] = st.one_of(envelopes, st.lists(operations, max_size=4), json_values)


def written(value: Any) -> bytes:
    """JSON text, lone surrogates as escapes."""
    return json.dumps(value).encode()


def _cut(raw: bytes, at: int, insert: bytes) -> bytes:
    place = at % (len(raw) + 1)
    return raw[:place] + insert + raw[place + 1 :]


bodies = st.one_of(
    st.just(b""),
    documents.map(written),
    st.builds(_cut, documents.map(written), st.integers(0, 400), st.binary(max_size=2)),
    st.binary(max_size=30),
)

# Batches

items = st.fixed_dictionaries(
    {"path": st.one_of(paths, text)},
    optional={
        "method": st.sampled_from(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get", "")),
        "headers": st.dictionaries(st.sampled_from(HEADER_NAMES), st.sampled_from(HEADER_VALUES), max_size=3),
        "body": documents,
    },
)
batches = st.fixed_dictionaries({"requests": st.lists(items, max_size=5)}, optional={"defaults": items})
