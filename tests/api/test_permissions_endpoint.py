"""`/permissions`: everything that the caller has a permission on (protocol section 8.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintoun.model.filters import matches, sort_objects
from kintoun.model.query import parse_query, split_query
from tests.api.scenarios import BOB, UNAUTHORIZED, C, G, Like, R, Scenario, Some, refused, run, world
from tests.support.inprocess import App, Databases, opened, principal, settings_for

ALL_OF_A_BUCKET = ["collection:create", "group:create", "read", "read:attributes", "write"]
ALL_OF_A_COLLECTION = ["read", "read:attributes", "record:create", "write"]
ROOT = {"uri": "/", "resource_name": "root", "permissions": ["account:create", "bucket:create"]}


def bucket(*permissions: str) -> dict[str, Any]:
    return {
        "uri": "/buckets/b",
        "resource_name": "bucket",
        "permissions": sorted(permissions),
        "id": "b",
        "bucket_id": "b",
    }


def collection(*permissions: str) -> dict[str, Any]:
    return {
        "uri": C,
        "resource_name": "collection",
        "permissions": sorted(permissions),
        "id": "c",
        "bucket_id": "b",
        "collection_id": "c",
    }


def group(*permissions: str) -> dict[str, Any]:
    return {
        "uri": G,
        "resource_name": "group",
        "permissions": sorted(permissions),
        "id": "g",
        "bucket_id": "b",
        "group_id": "g",
    }


def record(n: int, *permissions: str) -> dict[str, Any]:
    return {
        "uri": f"{R}/r{n}",
        "resource_name": "record",
        "permissions": sorted(permissions),
        "id": f"r{n}",
        "bucket_id": "b",
        "collection_id": "c",
        "record_id": f"r{n}",
    }


MINE = [
    group("read", "write"),
    *(record(n, "read", "write") for n in (3, 2, 1)),
    collection(*ALL_OF_A_COLLECTION),
    bucket(*ALL_OF_A_BUCKET),
    ROOT,
]

SCENARIOS = [
    Scenario(
        "GET /permissions",
        200,
        {"data": MINE},
        has={"ETag": Like(r'"\d+"'), "Cache-Control": "no-cache, no-store"},
    ),
    Scenario(
        "HEAD /permissions", 200, has={"Total-Objects": "7", "Total-Records": "7", "ETag": Like(r'"\d+"')}
    ),
    Scenario("GET /permissions", 200, {"data": [{**ROOT, "permissions": ["account:create"]}]}, user=None),
    Scenario("GET /permissions", 200, {"data": [ROOT]}, user="bob"),
    # What was given on an object counts for that object, through groups as well, and is expanded on it alone.
    Scenario(
        "GET /permissions",
        200,
        {"data": [record(1, "read"), collection("record:create", "read:attributes"), ROOT]},
        user="bob",
        given=[
            (f"PATCH {C}", {"permissions": {"record:create": [BOB]}}),
            (f"PATCH {R}/r1", {"permissions": {"read": [G]}}),
        ],
    ),
    Scenario(
        "GET /permissions",
        200,
        {"data": [bucket("read", "read:attributes", "group:create"), ROOT]},
        user="bob",
        given=[
            ("PATCH /buckets/b", {"permissions": {"read": [BOB], "group:create": ["system.Authenticated"]}})
        ],
    ),
    # What is deleted, or was before its parent, is not there.
    Scenario(
        "GET /permissions?resource_name=record",
        200,
        {"data": [record(3, "read", "write"), record(1, "read", "write")]},
        given=[(f"DELETE {R}/r2", None)],
    ),
    Scenario("GET /permissions", 200, {"data": [ROOT]}, given=[("DELETE /buckets/b", None)]),
    *[
        Scenario(f"GET /permissions?{query}", 200, {"data": expected})
        for query, expected in {
            "exclude_resource_name=record": [MINE[0], *MINE[4:]],
            "bucket_id=b&resource_name=bucket": [MINE[5]],
            "collection_id=c": MINE[1:5],
            "record_id=r1": [MINE[3]],
            "group_id=g": [MINE[0]],
            "has_bucket_id=false": [ROOT],
            "id=c": [MINE[4]],
            "like_uri=*R*1": [MINE[3]],
            "_sort=uri&_limit=0&in_resource_name=root,bucket": [ROOT, MINE[5]],
            "_sort=-resource_name,id&not_resource_name=record": [ROOT, MINE[0], MINE[4], MINE[5]],
            "_since=5": MINE,
            "min_last_modified=5": MINE,
            "deleted=true": [],
            "not_deleted=true": MINE,
            "has_deleted=true": [],
            "uri.x=1": [],
            "contains_permissions=record:create": [MINE[4]],
            "contains_any_permissions=bucket:create,group:create": [],
            "_fields=id&resource_name=bucket": [{"id": "b"}],
            "_fields=uri.x&resource_name=root": [{"uri": "/"}],
        }.items()
    ],
    Scenario("GET /permissions?foo=1", 400, refused("querystring", "foo", "Unknown filter field 'foo'")),
    Scenario("GET /permissions?_sort=foo", 400, refused("querystring", None, "Unknown sort field 'foo'")),
    Scenario("GET /permissions?account_id=x", 400, refused("querystring", "account_id", Some(str))),  # type: ignore[arg-type]
    Scenario(
        "GET /permissions?_fields=foo",
        400,
        refused("body", "Invalid _fields parameter", "Fields foo do not exist"),
    ),
    Scenario("GET /permissions?_token=abc", 400, refused("querystring", None, "_token has invalid content")),
    Scenario("GET /permissions", 412, headers={"If-None-Match": "*"}),
    Scenario("GET /permissions", 412, headers={"If-Match": '"1"'}),
    Scenario("POST /permissions", 405, has={"Allow": "HEAD, GET, OPTIONS"}),
]


async def test_scenarios(app: App) -> None:
    await run(app, SCENARIOS)


async def test_the_tag_changes_with_the_answer_and_only_then(app: App) -> None:
    await world(app)
    tag = (await app.call("GET /permissions")).headers["ETag"]
    assert (await app.call("GET /permissions")).headers["ETag"] == tag
    unchanged = await app.call("GET /permissions", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    await app.ok(f"DELETE {R}/r1")
    assert (await app.call("GET /permissions", headers={"If-None-Match": tag})).status_code == 200
    assert (await app.call(f"GET /permissions?_since={tag}")).status_code == 200, "it passes as a timestamp"


async def test_it_answers_within_a_batch(app: App) -> None:
    await world(app)
    requests = [{"method": "PUT", "path": f"{R}/new"}, {"path": "/permissions?record_id=new"}]
    answer = await app.ok("POST /batch", {"requests": requests})
    [entry] = answer["responses"][1]["body"]["data"]
    assert entry["uri"] == f"{R}/new"


@pytest.fixture
async def settled(engine: str, databases: Databases) -> AsyncIterator[App]:
    """A server whose settings give rights to carol."""
    access = {
        "bucket_create": ["system.Authenticated"],
        "bucket_write": [principal("carol")],
        "collection_create": [principal("dave")],
        "group_read": [principal("dave")],
        "record_read": [principal("dave")],
        "record_create": [principal("erin")],
        "account_write": [principal("carol")],
        "permissions_read": ["system.Authenticated"],
    }
    async with opened(settings_for(databases.url(engine), access=access)) as app:
        await world(app)
        yield app


async def test_what_settings_give_is_listed_for_every_object(settled: App) -> None:
    async def entries(user: str) -> list[Any]:
        return (await settled.ok("GET /permissions?bucket_id=b", user=user))["data"]

    # Settings do not reach down, so `write` on a bucket is not that of an ACL.
    assert await entries("carol") == [bucket("read", "write", "read:attributes")]
    assert await entries("dave") == [group("read"), bucket("collection:create")]
    assert await entries("erin") == [collection("record:create")]
    assert await entries("frank") == []
    # Everyone's buckets, so the bait's too, but nothing of what is in it.
    shown = await settled.ok("GET /permissions?_sort=uri", user="carol")
    assert [entry["uri"] for entry in shown["data"]] == ["/", "/buckets/b", "/buckets/bait"]
    assert (await settled.call("HEAD /permissions", user="carol")).headers["Total-Objects"] == "3"
    assert (await settled.call("GET /permissions", user=None)).json() == UNAUTHORIZED


async def test_every_order_can_be_paged(app: App) -> None:
    await world(app)
    for order in (
        "",
        "_sort=id",
        "_sort=-id",
        "_sort=record_id",
        "_sort=-record_id,uri",
        "_sort=permissions",
        "_sort=-uri.x",
    ):
        whole = (await app.ok(f"GET /permissions?{order}"))["data"]
        assert len(whole) == 7
        for limit in (1, 2, 3):
            page = await app.call(f"GET /permissions?{order}&_limit={limit}")
            seen = page.json()["data"]
            while "Next-Page" in page.headers:
                assert len(page.json()["data"]) == limit
                page = await app.call(f"GET {page.headers['Next-Page']}")
                seen += page.json()["data"]
            assert seen == whole, (order, limit)


FIELDS = (
    "uri",
    "id",
    "resource_name",
    "bucket_id",
    "collection_id",
    "group_id",
    "record_id",
    "permissions",
    "deleted",
)
OPERATORS = (
    "",
    "not_",
    "lt_",
    "max_",
    "gt_",
    "min_",
    "in_",
    "exclude_",
    "like_",
    "has_",
    "contains_",
    "contains_any_",
)
VALUES = (
    "b",
    "c",
    "r1",
    "record",
    "root",
    "read",
    C,
    "[]",
    "null",
    "1",
    "true",
    "{}",
    "",
    "zzz",
    '["read"]',
    "B*",
)
queries = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(OPERATORS), st.sampled_from(FIELDS), st.sampled_from(VALUES)).map(
            lambda parts: f"{parts[0]}{parts[1]}={parts[2]}"
        ),
        st.lists(st.sampled_from([*FIELDS, *(f"-{field}" for field in FIELDS)]), min_size=1, max_size=3).map(
            lambda fields: "_sort=" + ",".join(fields)
        ),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda part: part.partition("=")[0],
)


async def test_the_database_selects_and_sorts_as_the_rules_say(app: App) -> None:
    """Against the filters and orders of `model`, evaluated here on all entries."""
    await world(app)
    whole = (await app.ok("GET /permissions"))["data"]
    tried: list[str] = []

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(queries)
    def gather(parts: list[str]) -> None:
        tried.append("&".join(parts))

    gather()
    compared = 0
    for text in dict.fromkeys(tried):
        answer = await app.call(f"GET /permissions?{text}")
        if answer.status_code == 400:
            continue
        query = parse_query(split_query(text.encode()), now_ms=0)
        expected = sort_objects(whole, query.sort[:-1]) if query.sort[:-1] else whole
        assert answer.json()["data"] == [entry for entry in expected if matches(query.filters, entry)], text
        compared += 1
    assert compared > 60
