"""A bucket's history: what is entered, and the endpoint that tells it (protocol section 10.1)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from kintoun.app import create_app
from kintoun.features.history import HistorySettings
from kintoun.model.errors import invalid
from tests.support.inprocess import FEATURES, App, Databases, opened, principal, settings_for

B = "/buckets/b"
C = f"{B}/collections/c"
R = f"{C}/records"
H = f"{B}/history"

WITH_HISTORY = (*FEATURES, "history")


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    async with opened(settings_for(databases.url(engine, "history"), features=[*WITH_HISTORY])) as made:
        await made.bait()
        for path in (B, C):
            await made.ok(f"PUT {path}")
        made.forget()
        yield made


async def entries(app: App, query: str = "", **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await app.ok(f"GET {H}{query}", **arguments))["data"]
    return found


async def told(app: App, query: str = "", **arguments: Any) -> list[str]:
    """What was done to what, the newest first."""
    return [f"{entry['action']} {entry['uri']}" for entry in await entries(app, query, **arguments)]


async def test_an_entry_tells_who_did_what_to_which_object(app: App) -> None:
    body = {"data": {"title": "a"}, "permissions": {"read": ["system.Everyone"]}}
    written = await app.ok(f"PUT {R}/r1", body)
    entry = (await entries(app))[0]
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(uuid, entry.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", entry.pop("date"))
    assert entry.pop("last_modified") >= written["data"]["last_modified"]
    assert entry == {
        "action": "create",
        "user_id": principal("alice"),
        "uri": f"{R}/r1",
        "resource_name": "record",
        "record_id": "r1",
        "collection_id": "c",
        "target": written,
    }


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (B, {"bucket_id": "b"}),
        (C, {"collection_id": "c"}),
        (f"{B}/groups/g", {"group_id": "g"}),
        (f"{R}/r1", {"collection_id": "c", "record_id": "r1"}),
    ],
)
async def test_entries_name_their_object(app: App, path: str, names: dict[str, str]) -> None:
    await app.ok(f"PUT {path}", {"data": {"members": ["x"]} if "groups" in path else {}})
    entry = (await entries(app))[0]
    assert {name: entry[name] for name in entry if name.endswith("_id") and name != "user_id"} == names
    assert entry["uri"] == path
    assert entry["resource_name"] == path.split("/")[-2][:-1]


async def test_every_kind_of_write_is_entered(app: App) -> None:
    r1 = f"{R}/r1"
    await app.ok(f"PUT {r1}", {"data": {"n": 1}})
    await app.ok(f"PUT {r1}", {"data": {"n": 2}})
    await app.ok(f"PATCH {r1}", {"data": {"n": 3}})
    await app.ok(f"PATCH {r1}", {"permissions": {"read": ["system.Everyone"]}})
    await app.ok(f"DELETE {r1}")
    await app.ok(f"POST {R}", {"data": {"id": "r2"}})
    await app.ok(f"POST {R}", {"data": {"id": "r2"}})  # it is there already: nothing is written
    await app.ok(f"PUT {B}/groups/g", {"data": {"members": []}})
    await app.ok(f"PATCH {C}", {"data": {"a": 1}})
    await app.ok(f"DELETE {R}")
    await app.ok(f"DELETE {C}")
    assert await told(app) == [
        f"delete {C}",
        f"delete {R}/r2",
        f"update {C}",
        f"create {B}/groups/g",
        f"create {R}/r2",
        f"delete {r1}",
        f"update {r1}",
        f"update {r1}",
        f"update {r1}",
        f"create {r1}",
        f"create {C}",
        f"create {B}",
    ]
    of_permissions = (await entries(app, "?record_id=r1"))[1]
    assert of_permissions["target"]["permissions"]["read"] == ["system.Everyone"]
    tombstone = (await entries(app, "?record_id=r1"))[0]["target"]
    assert tombstone["permissions"] == {}
    assert tombstone["data"]["deleted"] is True


async def test_a_batch_enters_what_succeeded_and_nothing_else(app: App) -> None:
    requests = [
        {"method": "PUT", "path": f"{R}/r1"},
        {"method": "PUT", "path": f"{R}/r2", "headers": {"If-Match": '"1"'}},
        {"method": "PUT", "path": f"{R}/r3"},
        {"method": "GET", "path": H},
        {"method": "DELETE", "path": f"{R}/r1"},
    ]
    answers = (await app.ok("POST /batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [201, 412, 201, 200, 200]
    seen = [entry["uri"] for entry in answers[3]["body"]["data"]]
    assert seen == [f"{R}/r3", f"{R}/r1", C, B]
    assert await told(app, "?resource_name=record") == [f"delete {R}/r1", f"create {R}/r3", f"create {R}/r1"]


async def test_a_batch_that_fails_enters_nothing(app: App) -> None:
    async def veto(_work: Any, change: Any) -> None:
        if change.path.id == "poison":
            raise RuntimeError("for the test")

    app.application.composition.before_commit(veto)
    requests = [{"method": "PUT", "path": f"{R}/r1"}, {"method": "GET", "path": H}]
    requests.append({"method": "PUT", "path": f"{R}/poison"})
    assert (await app.call("POST /batch", {"requests": requests})).status_code == 500
    assert await told(app, "?resource_name=record") == []


async def test_an_item_that_fails_after_it_was_entered_and_read_is_taken_back(app: App) -> None:
    async def veto(work: Any, change: Any) -> None:
        if change.path.id == "poison":
            await work.unit.flush()
            raise invalid("body", "data", "for the test")

    app.application.composition.before_commit(veto)
    requests = [{"method": "PUT", "path": f"{R}/{name}"} for name in ("r1", "poison", "r2")]
    answers = (await app.ok("POST /batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [201, 400, 201]
    assert await told(app, "?resource_name=record") == [f"create {R}/r2", f"create {R}/r1"]
    assert int((await app.call(f"HEAD {H}")).headers["Total-Objects"]) == 4


async def test_a_batch_that_makes_a_bucket_again_enters_what_is_of_the_new_one(app: App) -> None:
    requests = [
        {"method": "PUT", "path": f"{R}/r1"},
        {"method": "DELETE", "path": B},
        {"method": "PUT", "path": B},
        {"method": "PUT", "path": f"{B}/collections/d"},
    ]
    answers = (await app.ok("POST /batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [201, 200, 201, 201]
    assert await told(app) == [f"create {B}/collections/d", f"create {B}"]
    assert (await app.call(f"HEAD {H}")).headers["Total-Objects"] == "2"


async def test_a_batch_sees_its_own_entries(app: App) -> None:
    etag = (await app.call(f"HEAD {H}")).headers["ETag"]
    requests = [
        {"method": "PUT", "path": f"{R}/r1"},
        {"method": "DELETE", "path": H, "headers": {"If-Match": etag}},
        {"method": "HEAD", "path": H},
        {"method": "PATCH", "path": B, "body": {"permissions": {"read": ["system.Everyone"]}}},
        {"method": "PUT", "path": f"{R}/r2"},
        {"method": "DELETE", "path": f"{H}?record_id=r1"},
    ]
    answers = (await app.ok("POST /batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [201, 412, 200, 200, 201, 200]
    assert answers[2]["headers"]["Total-Objects"] == "3"
    assert len(answers[5]["body"]["data"]) == 1
    assert await told(app) == [f"create {R}/r2", f"update {B}", f"create {C}", f"create {B}"]
    # Who may read the bucket by then sees what was entered since.
    assert await told(app, user="bob") == await told(app)
    entered = await entries(app)
    assert len({entry["id"] for entry in entered}) == 4
    assert len({entry["last_modified"] for entry in entered}) == 4


async def test_the_list_is_a_list_like_any_other(app: App) -> None:
    for n in range(5):
        await app.ok(f"PUT {R}/r{n}", {"data": {"n": n, "tags": ["a"] if n % 2 else []}})
    first = await app.call(f"GET {H}?_limit=3")
    assert [entry["uri"] for entry in first.json()["data"]] == [f"{R}/r4", f"{R}/r3", f"{R}/r2"]
    second = await app.call(f"GET {first.headers['Next-Page']}")
    assert [entry["uri"] for entry in second.json()["data"]] == [f"{R}/r1", f"{R}/r0", C]
    assert second.headers["ETag"] == first.headers["ETag"]
    etag = first.headers["ETag"]
    assert (await app.call(f"GET {H}", headers={"If-None-Match": etag})).status_code == 304
    assert (await app.call(f"GET {H}", headers={"If-Match": '"1"'})).status_code == 412
    await app.ok(f"DELETE {R}/r0")
    assert (await app.call(f"GET {H}", headers={"If-None-Match": etag})).status_code == 200
    assert await told(app, f"?_since={etag}") == [f"delete {R}/r0"]
    assert await told(app, "?target.data.n=3") == [f"create {R}/r3"]
    assert await told(app, "?gt_target.data.n=3&resource_name=record") == [f"delete {R}/r0", f"create {R}/r4"]
    assert await told(app, "?contains_target.data.tags=a&_sort=target.data.n") == [
        f"create {R}/r1",
        f"create {R}/r3",
    ]
    assert await told(app, f"?like_user_id={principal('alice')[:12]}*&action=delete") == [f"delete {R}/r0"]
    assert (await app.call(f"HEAD {H}")).headers["Total-Objects"] == "8"
    assert (await app.call(f"HEAD {H}?resource_name=record")).headers["Total-Objects"] == "6"
    assert (await entries(app, "?_fields=uri,target.data.n&_limit=1&action=create"))[0].keys() == {
        "id",
        "last_modified",
        "uri",
        "target",
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("record_id=1", 2),
        ("record_id=%221%22", 2),
        ("collection_id=c&record_id=1", 2),
        ("collection_id=c", 3),
        ("collection_id=7&record_id=1", 0),
        (f"uri={R}/1", 2),
        (f"uri={C}", 1),
        (f"uri={B}", 1),
        ("bucket_id=b", 1),
        ("not_record_id=1&has_record_id=true", 0),
        ("resource_name=record&action=update", 1),
        ("in_action=create,delete", 3),
        ("user_id=null", 0),
    ],
)
async def test_filters(app: App, query: str, found: int) -> None:
    await app.ok(f"PUT {R}/1", {"data": {}})
    await app.ok(f"PUT {R}/1", {"data": {}})
    assert len(await entries(app, f"?{query}")) == found
    assert (await app.call(f"HEAD {H}?{query}")).headers["Total-Objects"] == str(found)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("foo=1", "foo"),
        ("_sort=foo", "foo"),
        ("_fields=foo", "foo"),
        ("_since=abc", "_since"),
        ("_token=x", "_token"),
    ],
)
async def test_what_entries_do_not_have_is_named(app: App, query: str, named: str) -> None:
    response = await app.call(f"GET {H}?{query}")
    assert response.status_code == 400
    assert named in response.text


async def test_other_methods(app: App) -> None:
    for method in ("POST", "PUT", "PATCH"):
        response = await app.call(f"{method} {H}", {})
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD, DELETE, OPTIONS"
    entry = (await entries(app))[0]
    assert (await app.call(f"GET {H}/{entry['id']}")).status_code == 404


async def test_entries_can_be_purged(app: App) -> None:
    for n in range(3):
        await app.ok(f"PUT {R}/r{n}")
    await app.ok(f"PUT {R}/r0")
    before = (await app.call(f"HEAD {H}")).headers["ETag"]
    assert (await app.call(f"DELETE {H}", headers={"If-Match": '"1"'})).status_code == 412
    gone = await app.call(f"DELETE {H}?record_id=r0&_limit=1")
    assert [entry.keys() for entry in gone.json()["data"]] == [{"id", "last_modified", "deleted"}]
    next_page = gone.headers["Next-Page"]
    assert len((await app.ok(f"DELETE {next_page}"))["data"]) == 1
    assert (await app.call(f"DELETE {next_page}")).status_code == 400
    assert await told(app, "?record_id=r0") == []
    assert len(await entries(app)) == 4
    assert (await app.call(f"HEAD {H}")).headers["Total-Objects"] == "4"
    since = await entries(app, f"?_since={before}")
    assert [entry["deleted"] for entry in since] == [True, True]
    await app.ok(f"DELETE {H}")
    assert await entries(app) == []


async def test_a_bucket_takes_its_history_along(app: App) -> None:
    await app.ok(f"PUT {R}/r1")
    before = int((await app.call(f"HEAD {H}")).headers["ETag"].strip('"'))
    await app.ok(f"DELETE {B}")
    assert (await app.call(f"GET {H}")).status_code == 403
    await app.ok(f"PUT {B}")
    assert await told(app) == [f"create {B}"]
    assert int((await app.call(f"HEAD {H}")).headers["ETag"].strip('"')) > before


async def test_what_is_excluded_is_not_entered(engine: str, databases: Databases) -> None:
    history = HistorySettings(
        exclude_resources=["/buckets/b/collections/c", "/buckets/b/groups/g"],
        exclude_user_ids=[principal("bob")],
    )
    settings = settings_for(
        databases.url(engine, "history"), features=[*WITH_HISTORY], sections={"history": history}
    )
    async with opened(settings) as app:
        await app.ok(f"PUT {B}", {"permissions": {"write": [principal("bob")]}})
        for path in (C, f"{R}/r1", f"{B}/collections/d", f"{B}/groups/h"):
            await app.ok(f"PUT {path}", {"data": {"members": []}} if "groups" in path else None)
        await app.ok(f"PUT {B}/collections/d/records/x", user="bob")
        assert await told(app) == [f"create {B}/groups/h", f"create {B}/collections/d", f"create {B}"]
        capability = (await app.ok("GET /"))["capabilities"]["history"]
        assert capability["excluded_resources"] == [
            {"bucket": "b", "collection": "c"},
            {"bucket": "b", "group": "g"},
        ]


async def test_what_was_written_without_the_feature(engine: str, databases: Databases) -> None:
    """A bucket that is older than the feature gets a history; what is not known is not made up."""
    url = databases.url(engine, "history")
    async with opened(settings_for(url, features=[*WITH_HISTORY])):
        pass  # the tables are there
    async with opened(settings_for(url)) as without:
        for path in (B, C, f"{R}/r1"):
            await without.ok(f"PUT {path}")
        later = create_app(settings_for(url, features=[*WITH_HISTORY]))
        await later.composition.service.store.open()
        try:
            app = App(later)
            assert await entries(app) == []
            etag = (await app.call(f"HEAD {H}")).headers["ETag"]
            began = int((await app.call(f"HEAD {R}")).headers["ETag"].strip('"'))
            await app.ok(f"PUT {R}/r2")
            assert await told(app, f"?_since={etag}") == [f"create {R}/r2"]
            assert len((await app.ok(f"GET {R}?_at={began}"))["data"]) == 1
            assert (await app.call(f"GET {R}?_at={began - 1}")).status_code == 400
            await without.ok(f"DELETE {R}/r1")
            between = int((await app.call(f"HEAD {R}")).headers["ETag"].strip('"'))
            await app.ok(f"PUT {R}/r3")
            assert len((await app.ok(f"GET {R}?_at={between}"))["data"]) == 1
            refused = await app.call(f"GET {R}?_at={began}")
            assert refused.status_code == 400
            assert str(between) in refused.json()["message"]
        finally:
            await later.composition.service.store.close()


async def test_a_bucket_that_was_made_again_without_the_feature(engine: str, databases: Databases) -> None:
    url = databases.url(engine, "history")
    async with opened(settings_for(url, features=[*WITH_HISTORY])) as app:
        await app.ok(f"PUT {B}")
        await app.ok(f"DELETE {B}")
        without = create_app(settings_for(url))
        await without.composition.service.store.open()
        try:
            await App(without).ok(f"PUT {B}")
        finally:
            await without.composition.service.store.close()
        assert await entries(app) == []
        await app.ok(f"PUT {C}")
        assert await told(app) == [f"create {C}"]
