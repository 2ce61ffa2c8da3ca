"""One object: GET, PUT, POST, PATCH, DELETE (protocol sections 3 to 5, and the traps of section 16)."""

from __future__ import annotations

from tests.api.scenarios import (
    ALICE,
    BOB,
    FORBIDDEN,
    TAG,
    UNAUTHORIZED,
    C,
    G,
    Like,
    R,
    Scenario,
    Some,
    T,
    error,
    missing,
    no_parent,
    refused,
    run,
    shown,
)
from tests.support.inprocess import App

MEANWHILE = "Resource was modified meanwhile"
MERGE = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
OPERATIONS = {"Content-Type": "application/json-patch+json; charset=utf-8"}
NO_STORE = "no-cache, no-store"

GETS = [
    Scenario(
        f"GET {R}/r1",
        200,
        shown(id="r1", n=1, title="a"),
        has={
            "ETag": TAG,
            "Last-Modified": Like(".* GMT"),
            "Cache-Control": NO_STORE,
            "Content-Type": "application/json",
        },
    ),
    Scenario(f"HEAD {R}/r1", 200, None, has={"ETag": TAG, "Total-Objects": None}),
    Scenario(f"GET {R}/r1?_fields=title", 200, {"data": {"id": "r1", "last_modified": T, "title": "a"}}),
    Scenario(f"GET {R}/r1?_since=abc&foo=1", 200, shown(id="r1", n=1, title="a")),
    Scenario(f"GET {R}/zz", 404, missing("record", "zz"), has={"ETag": None}),
    Scenario(f"GET {R}/r.1", 400, refused("path", None, "Invalid object id", "path: Invalid object id")),
    Scenario(f"GET {R}/r1", 403, FORBIDDEN, user="bob"),
    Scenario(f"GET {R}/zz", 403, FORBIDDEN, user="bob"),
    Scenario(f"GET {R}/r1", 401, UNAUTHORIZED, user=None, has={"WWW-Authenticate": Like("Basic realm=.*")}),
    Scenario(f"GET {C}-zz/records/r1", 404, no_parent("collection", "c-zz")),
    Scenario(f"GET {R}/r1", 412, headers={"If-None-Match": "*"}, has={"ETag": TAG}),
    Scenario(f"GET {R}/r1", 200, headers={"If-None-Match": '"0"', "If-Match": "*"}),
    Scenario("GET /buckets/b", 200, shown(id="b")),
    Scenario(f"GET {G}", 200, shown(id="g", members=[BOB])),
    # Bob reads what his group may read, and is not shown who else may.
    Scenario(
        f"GET {R}/r1",
        200,
        {"data": {"id": "r1", "n": 1, "title": "a", "last_modified": T}, "permissions": {}},
        user="bob",
        given=[(f"PATCH {C}", {"permissions": {"read": [G]}})],
    ),
]

PUTS = [
    Scenario(
        f"PUT {R}/new",
        201,
        shown(id="new", a=1),
        {"data": {"a": 1}},
        has={"ETag": TAG},
        events=[f"create {R}/new"],
    ),
    Scenario(f"PUT {R}/new", 201, shown(id="new"), events=[f"create {R}/new"]),
    # Trap 1: no body keeps the attributes, and the timestamp moves.
    Scenario(f"PUT {R}/r1", 200, shown(id="r1", n=1, title="a"), events=[f"update {R}/r1"]),
    # Trap 2: data replaces all attributes; permissions alone keep them, and empty what is not mentioned.
    Scenario(f"PUT {R}/r1", 200, shown(id="r1"), {"data": {}}, events=[f"update {R}/r1"]),
    Scenario(
        f"PUT {C}",
        200,
        {"data": {"id": "c", "last_modified": T}, "permissions": {"write": [ALICE], "record:create": [BOB]}},
        {"permissions": {"record:create": [BOB]}},
        given=[(f"PUT {C}", {"permissions": {"read": [BOB]}})],
        events=[f"update {C}"],
    ),
    # Trap 3: an empty mapping touches no permission, nor does null.
    Scenario(
        f"PUT {C}",
        200,
        {"data": {"id": "c", "last_modified": T}, "permissions": {"write": [ALICE], "read": [BOB]}},
        {"permissions": {}},
        given=[(f"PUT {C}", {"permissions": {"read": [BOB]}})],
        events=[f"update {C}"],
    ),
    Scenario(
        f"PUT {R}/r1",
        400,
        refused(
            "body",
            "id",
            "Object id does not match existing object",
            "Object id does not match existing object",
        ),
        {"data": {"id": "r2"}},
    ),
    # Trap 10.
    Scenario(f"PUT {R}/zz", 412, error(412, 114, MEANWHILE), headers={"If-Match": '"1"'}, has={"ETag": TAG}),
    Scenario(f"PUT {R}/zz", 412, error(412, 114, MEANWHILE), headers={"If-Match": "*"}),
    Scenario(
        f"PUT {R}/r1",
        412,
        error(412, 114, MEANWHILE, {"existing": {"id": "r1", "n": 1, "title": "a", "last_modified": T}}),
        headers={"If-Match": '"1"'},
        has={"ETag": TAG},
    ),
    Scenario(
        f"PUT {R}/r1",
        412,
        error(412, 114, MEANWHILE, {"existing": {"id": "r1", "n": 1, "title": "a", "last_modified": T}}),
        headers={"If-None-Match": "*"},
    ),
    # Trap 11, where Kinto shows the object to who may only create.
    Scenario(
        f"PUT {R}/r1",
        412,
        error(412, 114, MEANWHILE),
        user="bob",
        headers={"If-None-Match": "*"},
        given=[(f"PATCH {C}", {"permissions": {"record:create": [BOB]}})],
    ),
    Scenario(f"PUT {R}/new", 403, FORBIDDEN, user="bob", body={"foo": 1}),
    Scenario(f"PUT {R}/new", 401, UNAUTHORIZED, user=None),
    Scenario(f"PUT {R}/new", 415, user="bob", raw=b"a=1", headers={"Content-Type": "text/plain"}),
    Scenario(f"PUT {R}/new", 403, FORBIDDEN, user="bob", raw=b"{"),
    # Trap 16: who edits by an inherited right becomes a writer of that object.
    Scenario(
        f"PUT {R}/r1",
        200,
        {"data": {"id": "r1", "last_modified": T}, "permissions": {"write": sorted([ALICE, BOB])}},
        {"data": {}},
        user="bob",
        given=[(f"PATCH {C}", {"permissions": {"write": [G]}})],
        events=[f"update {R}/r1"],
    ),
    Scenario(f"PUT {R}/new%0A", 400, refused("path", None, "Invalid object id")),
]

POSTS = [
    Scenario(
        f"POST {R}",
        201,
        shown(id=Like("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), a=1),
        {"data": {"a": 1}},
        events=[Like(rf"create {R}/.*")],
    ),
    Scenario(
        "POST /buckets",
        201,
        shown(id=Like("[A-Za-z0-9][A-Za-z0-9_-]{7}")),
        events=[Like("create /buckets/.*")],
    ),
    Scenario(f"POST {R}", 201, shown(id="x"), {"data": {"id": "x"}}, events=[f"create {R}/x"]),
    # Trap 5: what is there is the answer, whatever was posted.
    Scenario(f"POST {R}", 200, shown(id="r1", n=1, title="a"), {"data": {"id": "r1", "n": 9}}),
    Scenario(
        f"POST {R}",
        403,
        FORBIDDEN,
        {"data": {"id": "r1"}},
        user="bob",
        given=[(f"PATCH {C}", {"permissions": {"record:create": [BOB]}})],
    ),
    # Trap 6: no list ETag satisfies If-Match.
    Scenario(f"POST {R}", 412, error(412, 114, MEANWHILE), headers={"If-Match": "*"}),
    Scenario(f"POST {R}", 201, headers={"If-None-Match": "*"}, events=[Like(rf"create {R}/.*")]),
    Scenario(f"POST {R}", 400, refused("path", None, "Invalid object id"), {"data": {"id": "a b"}}),
    Scenario(f"POST {R}", 400, refused("path", None, "Invalid object id"), {"data": {"id": None}}),
    Scenario(f"POST {C}-zz/records", 404, no_parent("collection", "c-zz")),
    Scenario(
        f"POST {R}",
        201,
        given=[(f"DELETE {R}/r1", None)],
        body={"data": {"id": "r1"}},
        events=[f"create {R}/r1"],
    ),
]

PATCHES = [
    # Trap 4.
    Scenario(
        f"PATCH {R}/r1",
        400,
        refused("body", "data", "Provide at least one of data or permissions"),
        {},
    ),
    Scenario(f"PATCH {R}/r1", 200, shown(id="r1", n=1, title="a"), {"data": {}}, events=[f"update {R}/r1"]),
    Scenario(
        f"PATCH {R}/r1",
        200,
        shown(id="r1", n=None, title="a"),
        {"data": {"n": None}},
        events=[f"update {R}/r1"],
    ),
    Scenario(
        f"PATCH {R}/r1",
        200,
        shown(id="r1", title="a"),
        raw=b'{"data":{"n":null}}',
        headers=MERGE,
        events=[f"update {R}/r1"],
    ),
    Scenario(
        f"PATCH {R}/r1",
        200,
        shown(id="r1", n={"a": 1}, title="a"),
        raw=b'{"data":{"n":{"a":1,"b":null}}}',
        headers=MERGE,
        events=[f"update {R}/r1"],
    ),
    Scenario(
        f"PATCH {R}/r1",
        200,
        {
            "data": {"id": "r1", "title": "a", "m": 1, "last_modified": T},
            "permissions": {"write": [ALICE], "read": [G]},
        },
        raw=b'[{"op":"test","path":"/data/n","value":1},{"op":"move","from":"/data/n","path":"/data/m"},'
        b'{"op":"add","path":"/permissions/read/~1buckets~1b~1groups~1g"}]',
        headers=OPERATIONS,
        events=[f"update {R}/r1"],
    ),
    Scenario(
        f"PATCH {R}/r1",
        400,
        refused("body", None, Like("JSON Patch operation failed: .*")),
        raw=b'[{"op":"test","path":"/data/n","value":2}]',
        headers=OPERATIONS,
    ),
    Scenario(f"PATCH {R}/zz", 404, missing("record", "zz"), {"data": {}}, headers={"If-Match": '"1"'}),
    Scenario(f"PATCH {R}/r1", 412, body={"data": {}}, headers={"If-Match": '"1"'}, has={"ETag": TAG}),
    Scenario(
        f"PATCH {R}/r1",
        200,
        {"data": {"n": 2}},
        {"data": {"n": 2, "title": "a"}},
        headers={"Response-Behavior": "light"},
        has={"ETag": TAG},
        events=[f"update {R}/r1"],
    ),
    Scenario(
        f"PATCH {R}/r1",
        200,
        {"data": {"last_modified": T}},
        {"data": {"n": 2, "last_modified": 5}},
        headers={"Response-Behavior": "diff"},
        events=[f"update {R}/r1"],
    ),
    Scenario(
        f"PATCH {C}",
        200,
        shown(id="c"),
        {"permissions": {"read": []}},
        given=[(f"PUT {C}", {"permissions": {"read": [BOB]}})],
        events=[f"update {C}"],
    ),
    Scenario(
        f"PATCH {C}",
        200,
        {"data": {"id": "c", "last_modified": T}, "permissions": {"write": [ALICE], "read": [BOB]}},
        {"permissions": {"read": None}},
        given=[(f"PUT {C}", {"permissions": {"read": [BOB]}})],
        events=[f"update {C}"],
    ),
    Scenario(f"PATCH {R}/r1", 403, FORBIDDEN, {"data": {}}, user="bob"),
]

GONE = {"id": "r1", "deleted": True, "last_modified": T}

DELETES = [
    Scenario(f"DELETE {R}/r1", 200, {"data": GONE}, has={"ETag": TAG}, events=[f"delete {R}/r1"]),
    Scenario(f"DELETE {R}/r1", 404, missing("record", "r1"), given=[(f"DELETE {R}/r1", None)]),
    Scenario(f"DELETE {R}/r1", 412, headers={"If-Match": '"1"'}, has={"ETag": TAG}),
    Scenario(f"DELETE {R}/r1", 412, headers={"If-None-Match": "*"}),
    Scenario(f"DELETE {R}/zz", 404, missing("record", "zz"), headers={"If-Match": '"1"'}),
    Scenario(f"DELETE {R}/r1", 403, FORBIDDEN, user="bob"),
    # Trap 14: who may only read the parent learns that there is nothing.
    Scenario(
        f"DELETE {R}/zz",
        404,
        missing("record", "zz"),
        user=None,
        given=[(f"PATCH {C}", {"permissions": {"read": ["system.Everyone"]}})],
    ),
    # Trap 39, and what crashes Kinto.
    Scenario(
        f"DELETE {R}/r1?last_modified=4000000000000",
        200,
        {"data": {**GONE, "last_modified": 4000000000000}},
        has={"ETag": '"4000000000000"'},
        events=[f"delete {R}/r1"],
    ),
    Scenario(
        f"DELETE {R}/r1?last_modified=5", 200, {"data": GONE}, has={"ETag": TAG}, events=[f"delete {R}/r1"]
    ),
    Scenario(
        f'DELETE {R}/r1?last_modified="4000000000000"',
        400,
        refused("querystring", "last_modified", Some(str)),  # type: ignore[arg-type]
    ),
    # A collection goes with everything below it, in one event; its records leave no tombstones.
    Scenario(
        f"DELETE {C}",
        200,
        {"data": {"id": "c", "deleted": True, "last_modified": T}},
        events=[f"delete {C}"],
        then=[
            (f"GET {R}/r1", no_parent("collection", "c")),
            (f"PUT {C}", shown(id="c")),
            (f"GET {R}?_since=0", {"data": []}),
            (f"GET {R}/r1", missing("record", "r1")),
        ],
    ),
    Scenario("DELETE /buckets/b", 200, events=["delete /buckets/b"], then=[("GET /buckets", {"data": []})]),
]

TIMESTAMPS = [
    # Trap 36: an old timestamp is kept, and the list's tag stays.
    Scenario(
        f"PUT {R}/old",
        201,
        shown(id="old", last_modified=5),
        {"data": {"last_modified": 5}},
        has={"ETag": '"5"'},
        events=[f"create {R}/old"],
    ),
    Scenario(
        f"PUT {R}/old",
        201,
        shown(id="old", last_modified=-5),
        {"data": {"last_modified": -5}},
        events=[f"create {R}/old"],
    ),
    Scenario(
        f"PUT {R}/ancient",
        201,
        shown(id="ancient", last_modified=-62135596800000),
        {"data": {"last_modified": -62135596800000}},
        has={"Last-Modified": "Mon, 01 Jan 0001 00:00:00 GMT"},
        events=[f"create {R}/ancient"],
    ),
    *[
        Scenario(f"PUT {R}/x", 201, shown(id="x"), {"data": {"last_modified": odd}}, events=[f"create {R}/x"])
        for odd in ("5", 1.5, True, None, [])
    ],
    # Trap 37.
    Scenario(
        f"PUT {R}/r1",
        200,
        shown(id="r1"),
        {"data": {"last_modified": 5}},
        has={"ETag": TAG},
        events=[f"update {R}/r1"],
    ),
    # Trap 38: the future drags the list with it.
    Scenario(
        f"PUT {R}/x",
        201,
        shown(id="x", last_modified=4102444800000),
        {"data": {"last_modified": 4102444800000}},
        events=[f"create {R}/x"],
        then=[(f"PUT {R}/y", shown(id="y", last_modified=4102444800001))],
    ),
    # The same timestamp as another object's.
    Scenario(
        f"PUT {R}/y",
        409,
        body={"data": {"last_modified": 5}},
        given=[(f"PUT {R}/x", {"data": {"last_modified": 5}})],
        has={"Retry-After": "3"},
    ),
]


async def test_get(app: App) -> None:
    await run(app, GETS)


async def test_put(app: App) -> None:
    await run(app, PUTS)


async def test_post(app: App) -> None:
    await run(app, POSTS)


async def test_patch(app: App) -> None:
    await run(app, PATCHES)


async def test_delete(app: App) -> None:
    await run(app, DELETES)


async def test_timestamps_that_clients_choose(app: App) -> None:
    await run(app, TIMESTAMPS)
