"""What was not committed is never seen, and what was deleted leaves nothing to inherit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from kintoun.model.changes import Change
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Work
from tests.support.inprocess import App, Databases, opened, principal, settings_for

RECORDS = "/buckets/b/collections/c/records"


class Explosive(Plugin):
    """A hook that fails, as hooks may."""

    name = "explosive"

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.before_commit(self.explode)

    async def explode(self, work: Work, change: Change) -> None:
        if change.path.id == "boom":
            raise RuntimeError("boom")


@pytest.fixture
async def explosive(engine: str, databases: Databases) -> AsyncIterator[App]:
    async with opened(settings_for(databases.url(engine)), Explosive()) as app:
        await app.ok("PUT /buckets/b")
        await app.ok("PUT /buckets/b/collections/c")
        await app.ok(f"PUT {RECORDS}/r", {"data": {"is": "old"}})
        app.forget()
        yield app


async def test_a_failing_hook_undoes_the_whole_batch(explosive: App) -> None:
    before = await explosive.call(f"GET {RECORDS}")
    requests = [
        {"method": "PUT", "path": f"{RECORDS}/r", "body": {"data": {"is": "phantom"}}},
        {"method": "PUT", "path": f"{RECORDS}/new", "body": {"data": {"is": "phantom"}}},
        {"method": "DELETE", "path": "/buckets/b/collections/c"},
        {"method": "PUT", "path": "/buckets/b/collections/boom"},
    ]
    answer = await explosive.call("POST /batch", {"requests": requests})
    assert answer.status_code == 500
    assert answer.json()["errno"] == 999
    assert explosive.events == [], "hooks after the commit run after a commit"
    after = await explosive.call(f"GET {RECORDS}")
    assert after.json() == before.json()
    # The clock may have been moved by what was taken back, but never to where something is missed.
    assert after.headers["ETag"] >= before.headers["ETag"]
    assert await explosive.ok(f"GET {RECORDS}?_since={before.headers['ETag']}") == {"data": []}


async def test_a_page_read_in_a_batch_that_failed_is_not_kept(explosive: App) -> None:
    requests = [
        {"method": "PUT", "path": f"{RECORDS}/r", "body": {"data": {"is": "phantom"}}},
        {"path": RECORDS},
        {"method": "PUT", "path": f"{RECORDS}/boom"},
    ]
    assert (await explosive.call("POST /batch", {"requests": requests})).status_code == 500
    await explosive.ok(f"PUT {RECORDS}/r", {"data": {"is": "real"}})
    [record] = (await explosive.ok(f"GET {RECORDS}"))["data"]
    assert record["is"] == "real"


async def test_a_refused_item_of_a_batch_leaves_no_trace(explosive: App) -> None:
    requests = [
        {"method": "PUT", "path": f"{RECORDS}/a"},
        {"method": "PUT", "path": f"{RECORDS}/b", "headers": {"If-Match": '"1"'}},
        {"method": "PUT", "path": f"{RECORDS}/c", "body": {"data": {"id": "other"}}},
        {"method": "PUT", "path": f"{RECORDS}/d"},
    ]
    answer = await explosive.ok("POST /batch", {"requests": requests})
    assert [item["status"] for item in answer["responses"]] == [201, 412, 400, 201]
    assert explosive.events == [f"create {RECORDS}/a", f"create {RECORDS}/d"]
    listed = await explosive.call(f"GET {RECORDS}?_sort=id")
    assert [record["id"] for record in listed.json()["data"]] == ["a", "d", "r"]
    assert (await explosive.call(f"HEAD {RECORDS}")).headers["Total-Objects"] == "3"
    last = answer["responses"][3]["body"]["data"]["last_modified"]
    assert listed.headers["ETag"] == f'"{last}"'


@pytest.mark.parametrize("gone", ["/buckets/b", "/buckets/b/collections/c"])
async def test_nothing_inherits_old_grants_after_recreation(explosive: App, gone: str) -> None:
    bob = {"permissions": {"read": [principal("bob")], "write": [principal("alice")]}}
    await explosive.ok("PUT /buckets/b/collections/c", bob)
    await explosive.ok(f"PUT {RECORDS}/r", {"data": {}, "permissions": {"write": [principal("bob")]}})
    await explosive.ok("PUT /buckets/b/groups/g", {"data": {"members": [principal("bob")]}})
    assert (await explosive.call(f"GET {RECORDS}/r", user="bob")).status_code == 200
    await explosive.ok(f"DELETE {gone}")
    for path in ("/buckets/b", "/buckets/b/collections/c", f"{RECORDS}/r"):
        await explosive.ok(f"PUT {path}", user="alice")
    for path in ("/buckets/b/collections/c", RECORDS, f"{RECORDS}/r"):
        assert (await explosive.call(f"GET {path}", user="bob")).status_code == 403
    shown = await explosive.ok("GET /permissions", user="bob")
    assert {entry["resource_name"] for entry in shown["data"]} <= {"root", "group"}


async def test_members_of_a_deleted_buckets_groups_are_members_no_more(explosive: App) -> None:
    team = "/buckets/b/groups/team"
    await explosive.ok(f"PUT {team}", {"data": {"members": [principal("bob")]}})
    await explosive.ok("PUT /buckets/other", {"permissions": {"read": [team]}})
    assert (await explosive.call("GET /buckets/other", user="bob")).status_code == 200
    await explosive.ok("DELETE /buckets/b")
    assert (await explosive.call("GET /buckets/other", user="bob")).status_code == 403
    await explosive.ok("PUT /buckets/b")
    assert (await explosive.call("GET /buckets/other", user="bob")).status_code == 403
    assert team not in (await explosive.ok("GET /", user="bob"))["user"]["principals"]


async def test_a_group_counts_within_the_batch_that_makes_it(explosive: App) -> None:
    requests: list[dict[str, Any]] = [
        {"method": "PUT", "path": "/buckets/b/groups/g", "body": {"data": {"members": [principal("bob")]}}},
        {
            "method": "PUT",
            "path": "/buckets/b/collections/c",
            "body": {"permissions": {"read": ["/buckets/b/groups/g"]}},
        },
        {"path": RECORDS, "headers": {"Authorization": "Basic Ym9iOnB3"}},
    ]
    answer = await explosive.ok("POST /batch", {"requests": requests})
    assert [item["status"] for item in answer["responses"]] == [201, 200, 200]


@pytest.mark.parametrize("gone", ["/buckets/b", "/buckets/b/collections/c"])
async def test_the_clock_of_a_list_outlives_its_parent(explosive: App, gone: str) -> None:
    seen = (await explosive.call(f"GET {RECORDS}")).headers["ETag"]
    await explosive.ok(f"DELETE {gone}")
    for path in ("/buckets/b", "/buckets/b/collections/c"):
        await explosive.ok(f"PUT {path}")
    empty = await explosive.call(f"GET {RECORDS}")
    assert empty.json() == {"data": []}
    assert int(empty.headers["ETag"].strip('"')) > int(seen.strip('"')), "who had synced learns of it"
    record = (await explosive.ok(f"PUT {RECORDS}/r"))["data"]
    assert record["last_modified"] > int(empty.headers["ETag"].strip('"'))
    changed = await explosive.ok(f"GET {RECORDS}?_since={seen}")
    assert [item["id"] for item in changed["data"]] == ["r"]


async def test_pages_of_one_listing_are_one_snapshot(explosive: App) -> None:
    for n in range(6):
        await explosive.ok(f"PUT {RECORDS}/r{n}", {"data": {"n": n}})
    first = await explosive.call(f"GET {RECORDS}?_limit=3")
    tag = first.headers["ETag"]
    seen = [record["id"] for record in first.json()["data"]]
    await explosive.ok(f"PUT {RECORDS}/later")
    await explosive.ok(f"PATCH {RECORDS}/r0", {"data": {"n": 100}})
    await explosive.ok(f"DELETE {RECORDS}/r1")
    page = first
    while "Next-Page" in page.headers:
        page = await explosive.call(f"GET {page.headers['Next-Page']}")
        assert page.headers["ETag"] == tag, "every page has the tag of the first"
        seen += [record["id"] for record in page.json()["data"]]
    changed = (await explosive.ok(f"GET {RECORDS}?_since={tag}"))["data"]
    assert {record["id"] for record in changed} == {"later", "r0", "r1"}
    assert set(seen) | {record["id"] for record in changed} == {"r", "later", *(f"r{n}" for n in range(6))}
    assert len(seen) == len(set(seen))


class Faulty(Plugin):
    """A hook that fails when it is too late to refuse."""

    name = "faulty"

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.after_commit(self.fail)

    async def fail(self, changes: Sequence[Change]) -> None:
        raise RuntimeError("too late")


async def test_a_hook_that_fails_after_the_commit_does_not_fail_the_write(
    engine: str, databases: Databases
) -> None:
    async with opened(settings_for(databases.url(engine)), Faulty()) as app:
        assert (await app.call("PUT /buckets/b")).status_code == 201
        assert (await app.call("GET /buckets/b")).status_code == 200
