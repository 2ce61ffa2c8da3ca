"""Every kind of input that once broke a server of this protocol: a 4xx that names the field, and soon."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from kintoun.settings import Http
from tests.support.inprocess import App, Databases, exchange, opened, parsed, settings_for

RECORDS = b"/v1/buckets/b/collections/c/records"
JSON = ("Content-Type", "application/json")
YEAR_10000 = 253_402_300_800_000
DEEP = 401

SECONDS = 2.0
"""Within which anything must be answered, on a machine that does a lot of other things."""


@dataclass(frozen=True)
class Bad:
    """A request that is refused. `name` is the field that the error must name, if any."""

    id: str
    target: bytes
    method: str = "GET"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 400
    errno: int = 107
    location: str | None = None
    name: str | None = field(default=None)
    says: str = ""


def get(id_: str, query: bytes, **expected: Any) -> Bad:
    return Bad(id_, RECORDS + b"?" + query, location="querystring", **expected)


def put(id_: str, body: bytes, **expected: Any) -> Bad:
    return Bad(id_, RECORDS + b"/r", "PUT", body, (JSON,), location="body", **expected)


def patch(id_: str, body: bytes, media_type: str = "application/json", **expected: Any) -> Bad:
    headers = (("Content-Type", media_type),)
    return Bad(id_, RECORDS + b"/there", "PATCH", body, headers, location="body", **expected)


def batch(id_: str, body: bytes, **expected: Any) -> Bad:
    return Bad(id_, b"/v1/batch", "POST", body, (JSON,), location="body", **expected)


def condition(id_: str, name: str, value: str, **expected: Any) -> Bad:
    return Bad(id_, RECORDS + b"/there", headers=((name, value),), location="header", name=name, **expected)


NUL = [
    put("nul in a string", b'{"data":{"title":"a\\u0000b"}}', name="data.title"),
    put("nul in a key", b'{"data":{"a\\u0000b":1}}', name=r"data.a\u0000b"),
    put("nul deep inside", b'{"data":{"a":[{"b":"\\u0000"}]}}', name="data.a.0.b"),
    patch("nul in a patch", b'{"data":{"title":"\\u0000"}}', name="data.title"),
    patch(
        "nul in a json patch",
        b'[{"op":"add","path":"/data/x","value":"\\u0000"}]',
        "application/json-patch+json",
        name="0.value",
    ),
    get("nul in a value", b"title=a%00b", name="title", says="0x00"),
    get("nul in a quoted value", b'title="a\\u0000b"', name="title", says="0x00"),
    get("nul in a nested value", b'title={"a":"\\u0000"}', name="title", says="0x00"),
    get("nul in an item", b"in_title=a,b%00", name="in_title", says="0x00"),
    get("nul in a field", b"ti%00tle=a", name="ti\0tle", says="0x00"),
    get("nul in an id", b"id=a%00b", name="id", says="0x00"),
    get("nul in a pattern", b"like_title=a%00b", name="like_title", says="0x00"),
    get("nul in a token", b"_token=a%00b", says="_token has invalid content"),
    put("nul in a principal", b'{"permissions":{"read":["a\\u0000b"]}}', name="permissions.read.0"),
    Bad("nul in an object's id", RECORDS + b"/a%00b", says="Invalid URL path"),
    Bad("nul in a created id", RECORDS + b"/a%00b", "PUT", says="Invalid URL path"),
]

ENCODING = [
    put("lone surrogate", b'{"data":{"title":"\\ud800"}}', says=r"data.title: \ud800 is half of a surrogate"),
    put(
        "surrogates in the wrong order",
        b'{"data":{"a":["\\udc00\\ud800"]}}',
        says=r"data.a.0: \udc00 is half",
    ),
    put("lone surrogate in a key", b'{"data":{"\\ud800":1}}', says=r"data.\ud800: \ud800 is half"),
    put(
        "lone surrogate in a principal", b'{"permissions":{"read":["\\udfff"]}}', says="permissions.read.0: "
    ),
    batch("lone surrogate in a batch", b'{"requests":[{"path":"\\ud800"}]}', says="requests.0.path: "),
    put("lone surrogate in no json", b'{"data":{"title":"\\ud800"}', says="Invalid JSON"),
    put(
        "ill-formed utf-8 in a body",
        b'{"data":{"title":"\xff\xfe"}}',
        says="data.title: not encoded in UTF-8",
    ),
    put(
        "overlong utf-8 in a body", b'{"data":{"title":"\xc0\xaf"}}', says="data.title: not encoded in UTF-8"
    ),
    put("surrogate in utf-8", b'{"data":{"title":"\xed\xa0\x80"}}', says="data.title: not encoded in UTF-8"),
    put("a byte order mark", b'\xef\xbb\xbf{"data":{}}', says="Invalid JSON"),
    put("utf-16", '{"data":{}}'.encode("utf-16"), says="Invalid JSON"),
    Bad("ill-formed utf-8 in a path", b"/v1/buckets/%ff", says="Invalid URL path"),
    Bad("ill-formed utf-8 in a query", RECORDS + b"?title=%ff", says="incorrect encoding in the querystring"),
    Bad("raw bytes in a query", RECORDS + b"?title=\xff", says="incorrect encoding in the querystring"),
    Bad("newline after an id", RECORDS + b"/r%0A", location="path", says="Invalid object id"),
    Bad(
        "header injection in an id", RECORDS + b"/r%0D%0AX-Evil:1", location="path", says="Invalid object id"
    ),
]

DEPTH = [
    put("deep arrays", b'{"data":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}", says="deep"),
    put("deep objects", b'{"data":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", says="deep"),
    put("deep and never closed", b'{"data":{"a":' + b"[" * 200_000, says="Invalid JSON"),
    batch("deep batch", b'{"requests":' + b"[" * DEEP + b"]" * DEEP + b"}", says="deep"),
    get("deep value", b"a=" + b"[" * 100 + b"]" * 100, name="a", says="within one another"),
    get("deep field", b".".join([b"a"] * 100) + b"=1", says="dots"),
    get("deep sort", b"_sort=" + b".".join([b"a"] * 100), name="_sort", says="dots"),
    get("deep selection", b"_fields=" + b".".join([b"a"] * 100), name="_fields", says="dots"),
]

NUMBERS = [
    put("number beyond double", b'{"data":{"n":1e400}}', says="Number too big"),
    put("negative number beyond double", b'{"data":{"n":-1e400}}', says="Number too big"),
    put("integer beyond double", b'{"data":{"n":1' + b"0" * 400 + b"}}", says="Number too big"),
    put("not a number", b'{"data":{"n":NaN}}', says="Invalid JSON"),
    put("infinity", b'{"data":{"n":-Infinity}}', says="Invalid JSON"),
    put("leading zero", b'{"data":{"n":007}}', says="Invalid JSON"),
]

TIMESTAMPS = [
    put(
        "created in the year 10000", b'{"data":{"last_modified":%d}}' % YEAR_10000, name="data.last_modified"
    ),
    put(
        "created before the year 1", b'{"data":{"last_modified":-62135596800001}}', name="data.last_modified"
    ),
    put("created before history", b'{"data":{"last_modified":-%d}}' % YEAR_10000, name="data.last_modified"),
    put("created in the last 64 bit", b'{"data":{"last_modified":%d}}' % (2**63), name="data.last_modified"),
    Bad(
        "deleted in the year 10000",
        RECORDS + b"/there?last_modified=%d" % YEAR_10000,
        "DELETE",
        location="querystring",
        name="last_modified",
    ),
    Bad(
        "deleted at some time",
        RECORDS + b"/there?last_modified=abc",
        "DELETE",
        location="querystring",
        name="last_modified",
    ),
    *[
        get(f"{name} {says}", f"{name}={value}".encode(), name=name)
        for name in ("_since", "_before", "_to", "last_modified", "min_last_modified")
        for says, value in (
            ("in the year 9999", YEAR_10000 - 1),
            ("beyond 64 bit", 2**64),
            ("in words", "yesterday"),
            ("negative", -1),
            ("true", "true"),
            ("as an object", "{}"),
            ("beyond double", "1e999"),
        )
    ],
    *[
        get(f"{op} on timestamps", f"{op}_last_modified=1".encode(), name=f"{op}_last_modified")
        for op in ("in", "exclude", "like", "has", "contains", "contains_any")
    ],
]

TOKENS = [
    get(name, b"_token=" + token, says="_token has invalid content")
    for name, token in {
        "made up": b"abc",
        "not base64": b"%21%21%21",
        "empty json": b"e30=",
        "a token of Kinto": b64encode(b'{"last_object":{"last_modified":1},"offset":1,"nonce":"x"}'),
        "nothing but a tag": b"A" * 22,
        "beyond ascii": "é".encode(),
        "too long": b"A" * 12_000,
    }.items()
] + [get("a number", b"_token=123", name="_token"), get("a list", b"_token=[1]", name="_token")]

SIZES = [
    Bad("long url", RECORDS + b"?a=" + b"x" * 20_000, status=414, says="URL"),
    Bad("long path", b"/v1/buckets/" + b"x" * 20_000, status=414, says="URL"),
    Bad(
        "long header", RECORDS, headers=(("X-Anything", "x" * 20_000),), location="header", name="x-anything"
    ),
    Bad("long id", RECORDS + b"/" + b"x" * 600, "PUT", location="path", says="Longer than"),
    put(
        "large body",
        b'{"data":{"a":"' + b"x" * 17_000_000 + b'"}}',
        status=413,
        errno=113,
        says="larger than",
    ),
    get("long value", b"title=" + b"x" * 5000, name="title", says="characters"),
    get("long name", b"x" * 300 + b"=1", says="characters"),
    get("many filters", b"&".join(b"f%d=1" % n for n in range(200)), says="filters"),
    get(
        "many items", b"in_title=" + b",".join(b"%d" % n for n in range(2000)), name="in_title", says="values"
    ),
    get(
        "many sort fields",
        b"_sort=" + b",".join(b"f%d" % n for n in range(100)),
        name="_sort",
        says="sort fields",
    ),
    get(
        "many fields", b"_fields=" + b",".join(b"f%d" % n for n in range(500)), name="_fields", says="fields"
    ),
    get("huge limit", b"_limit=1" + b"0" * 30, name="_limit"),
    get("negative limit", b"_limit=-1", name="_limit"),
    get("no limit at all", b"_limit=abc", name="_limit"),
    batch(
        "large batch",
        b'{"requests":[' + b",".join([b'{"path":"/"}'] * 26) + b"]}",
        name="requests",
        says="limited to 25",
    ),
    patch(
        "long json patch",
        b"[" + b",".join([b'{"op":"test","path":"/data/id","value":"there"}'] * 1001) + b"]",
        "application/json-patch+json",
        says="operations",
    ),
    put(
        "many principals",
        b'{"permissions":{"read":[' + b",".join(b'"u%d"' % n for n in range(5001)) + b"]}}",
        name="permissions.read",
    ),
]

SHAPES = [
    put("no json", b"hello", says="Invalid JSON"),
    put("a scalar", b"1", says="Should be a JSON object or an array"),
    put("null", b"null", says="Should be a JSON object or an array"),
    put("an array", b"[]", says="not a mapping"),
    put("unknown keys", b'{"foo":1}', says="Unrecognized keys"),
    put("data is null", b'{"data":null}', name="data"),
    put("permissions are null", b'{"permissions":null}', name="permissions"),
    put("unknown permission", b'{"permissions":{"fly":["a"]}}', name="permissions"),
    put("principals are no list", b'{"permissions":{"read":"a"}}', name="permissions.read"),
    put("empty principal", b'{"permissions":{"read":[""]}}', name="permissions.read.0"),
    put("another id", b'{"data":{"id":"other"}}', name="id"),
    put("trailing comma", b'{"data":{},}', says="Invalid JSON"),
    put("comment", b'{"data":{}}//', says="Invalid JSON"),
    put("two documents", b'{"data":{}}{"data":{}}', says="Invalid JSON"),
    patch("nothing", b"{}", name="data", says="Provide at least one"),
    patch("no operation", b'[{"path":"/data/a"}]', "application/json-patch+json", name="0.op"),
    patch("no path", b'[{"op":"remove"}]', "application/json-patch+json", name="0.path"),
    patch("no pointer", b'[{"op":"remove","path":"data"}]', "application/json-patch+json", name="0.path"),
    patch(
        "pointer to nowhere",
        b'[{"op":"remove","path":"/data/zz"}]',
        "application/json-patch+json",
        says="JSON Patch operation failed",
    ),
    patch(
        "data replaced by a number",
        b'[{"op":"replace","path":"/data","value":1}]',
        "application/json-patch+json",
    ),
    patch(
        "an unknown permission added",
        b'[{"op":"add","path":"/permissions/fly","value":{"a":"a"}}]',
        "application/json-patch+json",
    ),
    batch("batch is an array", b"[]", says="not a mapping"),
    batch("no requests", b"{}", name="requests"),
    batch("requests are a string", b'{"requests":"x"}', name="requests"),
    batch("no path in a batch", b'{"requests":[{}]}', name="requests.0.path"),
    batch("a batch in a batch", b'{"requests":[{"path":"/batch"}]}', says="Recursive call"),
    batch("a header that is a number", b'{"requests":[{"path":"/","headers":{"a":1}}]}',
    name="requests.0.headers"),
    batch("a body that is an array", b'{"requests":[{"path":"/","body":[]}]}', name="requests.0.body"),
    batch("a method in lower case", b'{"requests":[{"path":"/","method":"get"}]}', name="requests.0.method"),
    condition("a weak tag", "If-None-Match", 'W/"1"'),
    condition("a tag without quotes", "If-Match", "1"),
    condition("a tag of letters", "If-Match", '"abc"'),
    condition("several tags", "If-None-Match", '"1", "2"'),
    get("a number for an id list", b"in_id=1,2", name="in_id"),
    get("members of an id", b"contains_id=1", name="contains_id"),
    get("a number to be like", b"like_title=1", name="like_title"),
    get("an empty since", b"_since=", name="_since"),
    get("a repeated since", b"_since=1&_since=2", name="_since"),
    Bad("a foreign origin", RECORDS, headers=(("Origin", "http://evil.example"),), location="header",
        name="Origin", says="not allowed"),
    Bad("another behaviour", RECORDS + b"/there", "PATCH", b'{"data":{}}',
        (JSON, ("Response-Behavior", "LIGHT")), location="header", name="Response-Behavior"),
    Bad("no json accepted", RECORDS, headers=(("Accept", "text/html"),), status=406, location="header",
    name="Accept"),
    Bad("a form", RECORDS + b"/r", "PUT", b"a=1", (("Content-Type", "application/x-www-form-urlencoded"),),
        status=415, location="header", name="Content-Type"),
]  # fmt: skip

EVERYTHING = [*NUL, *ENCODING, *DEPTH, *NUMBERS, *TIMESTAMPS, *TOKENS, *SIZES, *SHAPES]


@pytest.fixture
async def world(engine: str, databases: Databases) -> AsyncIterator[App]:
    http = Http(cors_origins=["http://good.example"])
    async with opened(settings_for(databases.url(engine), http=http)) as app:
        await app.ok("PUT /buckets/b")
        await app.ok("PUT /buckets/b/collections/c")
        await app.ok("PUT /buckets/b/collections/c/records/there", {"data": {"title": "a"}})
        app.forget()
        yield app


def _alice() -> tuple[str, str]:
    return ("Authorization", "Basic YWxpY2U6cHc=")


async def test_every_bad_input_is_refused_by_name(world: App) -> None:
    ids = [bad.id for bad in EVERYTHING]
    assert len(set(ids)) == len(ids)
    wrong = []
    for bad in EVERYTHING:
        began = time.monotonic()
        answer = await exchange(world.application, bad.method, bad.target, (_alice(), *bad.headers), bad.body)
        took = time.monotonic() - began
        said = problem(bad, answer.status_code, parsed(answer))
        if said is None and took > SECONDS:
            said = f"took {took:.1f} s"
        if said is not None:
            wrong.append(f"{bad.id}: {said}")
    assert not wrong, "\n".join(wrong)
    assert world.events == [], "what is refused changes nothing"


def problem(bad: Bad, status: int, body: Any) -> str | None:
    """What is wrong with an answer, if anything."""
    if status != bad.status:
        return f"{status} instead of {bad.status}: {str(body)[:200]}"
    if body["errno"] != bad.errno or body["code"] != status:
        return f"errno {body['errno']} instead of {bad.errno}"
    if bad.says and bad.says not in body["message"]:
        return f"does not say {bad.says!r}: {body['message'][:200]}"
    if bad.location is None or bad.status == 413:
        return None
    places = [(detail["location"], detail["name"]) for detail in body["details"]]
    named = [name for location, name in places if location == bad.location]
    if not named or (bad.name is not None and bad.name not in named):
        return f"names {places} instead of {bad.location} {bad.name}"
    return None
