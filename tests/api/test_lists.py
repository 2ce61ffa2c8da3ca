"""Lists: GET, HEAD, DELETE, pages, filters, and who sees what (protocol sections 4, 5.5 and 8.4)."""

from __future__ import annotations

from typing import Any

from tests.api.scenarios import (
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
    no_parent,
    refused,
    run,
    world,
)
from tests.support.inprocess import App

DELETED = f"DELETE {R}/r2"
NOTHING: dict[str, Any] = {"data": []}


def records(*numbers: int) -> dict[str, Any]:
    """The answer with some of the world's records, in this order."""
    titles = {1: "a", 2: "ab", 3: "abc"}
    return {"data": [{"id": f"r{n}", "n": n, "title": titles[n], "last_modified": T} for n in numbers]}


def tombstones(*ids: str) -> dict[str, Any]:
    return {"data": [{"id": object_id, "deleted": True, "last_modified": T} for object_id in ids]}


GETS = [
    Scenario(f"GET {R}", 200, records(3, 2, 1), has={"ETag": TAG, "Total-Objects": None, "Next-Page": None}),
    Scenario(
        f"HEAD {R}",
        200,
        None,
        has={"ETag": TAG, "Total-Objects": "3", "Total-Records": "3", "Next-Page": None},
    ),
    Scenario(f"GET {R}", 412, headers={"If-None-Match": "*"}),  # trap 7
    Scenario(f"GET {R}", 412, headers={"If-Match": '"1"'}, has={"ETag": TAG}),
    Scenario(f"GET {R}", 200, records(3, 2, 1), headers={"If-None-Match": '"9999999999999"'}),  # trap 8
    Scenario(f"GET {R}", 403, FORBIDDEN, user="bob"),
    Scenario(f"GET {R}", 401, UNAUTHORIZED, user=None),
    Scenario(f"GET {C}-zz/records", 404, no_parent("collection", "c-zz")),
    Scenario("GET /buckets", 200, NOTHING, user="bob"),  # trap 17
    Scenario("GET /buckets", 401, UNAUTHORIZED, user=None),
    Scenario(
        "GET /buckets",
        200,
        {"data": [{"id": "b", "last_modified": T}]},
        user=None,
        given=[("PATCH /buckets/b", {"permissions": {"read": ["system.Everyone"]}})],
    ),
    # Trap 18: who may create records sees the collection, and no record.
    Scenario(
        "GET /buckets/b/collections",
        200,
        {"data": [{"id": "c", "last_modified": T}]},
        user="bob",
        given=[(f"PATCH {C}", {"permissions": {"record:create": [BOB]}})],
    ),
    Scenario(
        f"GET {R}",
        200,
        NOTHING,
        user="bob",
        given=[(f"PATCH {C}", {"permissions": {"record:create": [BOB]}})],
    ),
    # Trap 19: who sees a part of the list is told of the part alone, and of no deletion.
    Scenario(
        f"GET {R}?_since=0",
        200,
        records(1),
        user="bob",
        given=[(f"PATCH {R}/r1", {"permissions": {"read": [G]}}), (DELETED, None)],
        has={"ETag": TAG},
    ),
    Scenario(
        f"HEAD {R}",
        200,
        user="bob",
        given=[(f"PATCH {R}/r1", {"permissions": {"read": [BOB]}})],
        has={"Total-Objects": "1", "ETag": TAG},
    ),
    # Traps 22 and 23: tombstones.
    Scenario(
        f"GET {R}?_since=0",
        200,
        {"data": [*tombstones("r2")["data"], *records(3, 1)["data"]]},
        given=[(DELETED, None)],
    ),
    Scenario(f"HEAD {R}?_since=0", 200, given=[(DELETED, None)], has={"Total-Objects": "2"}),
    Scenario(f"GET {R}", 200, records(3, 1), given=[(DELETED, None)]),
    Scenario(f"GET {R}?deleted=true", 200, NOTHING, given=[(DELETED, None)]),
    Scenario(f"GET {R}?_since=0&deleted=true", 200, tombstones("r2"), given=[(DELETED, None)]),
    Scenario(f"GET {R}?_since=0&not_deleted=true", 200, records(3, 1), given=[(DELETED, None)]),
    Scenario(f"GET {R}?_since=0&deleted=false", 200, NOTHING, given=[(DELETED, None)]),
    # Trap 34.
    Scenario(
        f"GET {R}?_since=0&_fields=n&_sort=id",
        200,
        {
            "data": [
                {"id": "r1", "n": 1, "last_modified": T},
                {"id": "r2", "last_modified": T},
                {"id": "r3", "n": 3, "last_modified": T},
            ]
        },
        given=[(DELETED, None)],
    ),
    # Filters (section 4.4 and traps 25 to 31).
    *[
        Scenario(f"GET {R}?{query}", 200, records(*numbers))
        for query, numbers in {
            "n=2": (2,),
            'n="2"': (),
            "n=2.0": (2,),
            "title=ab": (2,),
            'title="ab"': (2,),
            "not_n=2": (3, 1),
            "gt_n=1": (3, 2),
            "min_n=2": (3, 2),
            "lt_n=2": (1,),
            "max_n=2": (2, 1),
            "in_n=1,3": (3, 1),
            "exclude_n=1,3": (2,),
            "exclude_n=": (3, 2, 1),
            "like_title=b": (3, 2),
            "like_title=B*": (),
            "like_title=%": (),
            "has_n=true": (3, 2, 1),
            "has_n=false": (),
            "has_zz=false": (3, 2, 1),
            "not_zz=1": (3, 2, 1),
            "gt_zz=1": (3, 2, 1),
            "lt_zz=1": (),
            "zz=null": (),
            "id=r1": (1,),
            "in_id=r1,r2": (2, 1),
            "gt_id=r1": (3, 2),
            "n=1&n=2": (),
            "_foo=1": (3, 2, 1),
            "n=1;title=a": (1,),
            "contains_n=1": (),
            "_sort=n": (1, 2, 3),
            "_sort=-title,n": (3, 2, 1),
            "_limit=0": (3, 2, 1),
            "_since=null": (3, 2, 1),
            "eq_n=1": (1,),
            "_sort=zz,n": (1, 2, 3),
        }.items()
    ],
    Scenario(f"GET {R}?in_last_modified=1", 400, refused("querystring", "in_last_modified", Some(str))),  # type: ignore[arg-type]
    Scenario(f"GET {R}?_since=", 400, refused("querystring", "_since", Some(str))),  # type: ignore[arg-type]
    Scenario(f"GET {R}?_to=9", 200, NOTHING, has={"Alert": Like(".*soft-eol.*_before.*")}),
    # A refused query of who may not read stays unread.
    Scenario(f"GET {R}?_since=abc", 403, FORBIDDEN, user="bob"),
]

DELETES = [
    Scenario(
        f"DELETE {R}?n=2",
        200,
        tombstones("r2"),
        events=[f"delete {R}/r2"],
        has={"ETag": TAG},
        then=[(f"GET {R}", records(3, 1))],
    ),
    Scenario(f"DELETE {R}?n=9", 200, NOTHING, has={"ETag": TAG}, then=[(f"GET {R}", records(3, 2, 1))]),
    Scenario(f"DELETE {R}", 403, FORBIDDEN, user="bob"),
    Scenario(f"DELETE {R}", 412, headers={"If-Match": '"1"'}, then=[(f"GET {R}", records(3, 2, 1))]),
    Scenario(f"DELETE {R}", 412, headers={"If-None-Match": "*"}),
    # Who may write one object deletes that one.
    Scenario(
        f"DELETE {R}",
        200,
        tombstones("r1"),
        user="bob",
        given=[
            (f"PATCH {R}/r1", {"permissions": {"write": [BOB]}}),
            (f"PATCH {R}/r2", {"permissions": {"read": [BOB]}}),
        ],
        events=[f"delete {R}/r1"],
        then=[
            (
                f"GET {R}?_fields=id&_sort=id",
                {"data": [{"id": "r2", "last_modified": T}, {"id": "r3", "last_modified": T}]},
            )
        ],
    ),
    Scenario(
        f"DELETE {R}",
        200,
        NOTHING,
        user="bob",
        given=[(f"PATCH {C}", {"permissions": {"record:create": [BOB]}})],
    ),
    Scenario(
        f"DELETE {R}?_limit=2&_sort=n",
        200,
        has={"Next-Page": Like("http://server.example/v1/.*_token=.*")},
        events=[f"delete {R}/r1", f"delete {R}/r2"],
    ),
    Scenario("DELETE /buckets", 200, {"data": []}, user="bob"),
    Scenario("DELETE /buckets", 200, tombstones("b"), events=["delete /buckets/b"]),
]


async def test_get(app: App) -> None:
    await run(app, GETS)


async def test_delete(app: App) -> None:
    await run(app, DELETES)


async def test_an_unchanged_list_is_not_sent_again(app: App) -> None:
    await world(app)
    tag = (await app.call(f"GET {R}")).headers["ETag"]
    answer = await app.call(f"GET {R}?_limit=1", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == tag
    assert "Cache-Control" not in answer.headers
    # Any change of the list changes its tag (trap 19); records do not touch what is above (43).
    above = (await app.call(f"GET {C}")).headers["ETag"]
    await app.ok(f"PUT {R}/r1")
    assert (await app.call(f"GET {R}", headers={"If-None-Match": tag})).status_code == 200
    assert (await app.call(f"GET {C}")).headers["ETag"] == above


async def test_the_tag_of_an_empty_list_stays_and_comes_before_the_first_record(app: App) -> None:
    await world(app)
    await app.ok("PUT /buckets/b/collections/empty")
    tags = {(await app.call("GET /buckets/b/collections/empty/records")).headers["ETag"] for _ in range(3)}
    assert len(tags) == 1
    record = await app.ok("PUT /buckets/b/collections/empty/records/r")
    assert record["data"]["last_modified"] > int(tags.pop().strip('"'))


async def test_every_order_can_be_paged(app: App) -> None:
    await world(app)
    for n in range(4, 12):
        await app.ok(
            f"PUT {R}/r{n}", {"data": {"n": n % 3, "deep": {"er": n}} if n % 2 else {"title": f"t{n % 4}"}}
        )
    for order in (
        "",
        "_sort=n",
        "_sort=-n,title",
        "_sort=deep.er",
        "_sort=-title,id",
        "_sort=id",
        "_sort=-last_modified",
    ):
        whole = (await app.ok(f"GET {R}?{order}"))["data"]
        for limit in (1, 2, 5):
            page = await app.call(f"GET {R}?{order}&_limit={limit}")
            seen = page.json()["data"]
            while "Next-Page" in page.headers:
                assert len(page.json()["data"]) == limit
                page = await app.call(f"GET {page.headers['Next-Page']}")
                seen += page.json()["data"]
            assert seen == whole, (order, limit)


async def test_a_token_is_good_for_its_own_list_and_query_only(app: App) -> None:
    await world(app)
    await app.ok("PUT /buckets/b/collections/d")
    await app.ok("PUT /buckets/b/collections/d/records/x")
    token = (await app.call(f"GET {R}?_limit=1&_sort=n")).headers["Next-Page"].rpartition("_token=")[2]
    invalid = refused(
        "querystring", None, "_token has invalid content", "querystring: _token has invalid content"
    )
    for target in (
        f"{R}?_sort=-n",
        f"{R}?_sort=n&n=1",
        R,
        "/buckets/b/collections/d/records?_sort=n",
        "/buckets?_sort=n",
        "/buckets/bait/collections/c/records?_sort=n",
    ):
        joint = "&" if "?" in target else "?"
        answer = await app.call(f"GET {target}{joint}_token={token}")
        expected = error(403, 121, "This user cannot access this resource.") if "bait" in target else invalid
        assert answer.json() == expected, target
    assert (await app.ok(f"GET {R}?_sort=n&_limit=7&_token={token}")) == records(2, 3)


async def test_a_deletion_is_paged_once(app: App) -> None:
    await world(app)
    first = await app.call(f"DELETE {R}?_limit=2&_sort=n")
    assert [item["id"] for item in first.json()["data"]] == ["r1", "r2"]
    following = first.headers["Next-Page"]
    second = await app.call(f"DELETE {following}")
    assert [item["id"] for item in second.json()["data"]] == ["r3"]
    again = await app.call(f"DELETE {following}")
    assert again.status_code == 400
    assert again.json()["message"] == "querystring: _token was already used or has expired."
    assert app.events == [f"delete {R}/r{n}" for n in (1, 2, 3)]
