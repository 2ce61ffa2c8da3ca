"""The ETag of `/permissions`: it changes when the answer does, in every worker, and 304 costs no search."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from msgspec.structs import replace

from kintoun.app import create_app
from kintoun.features.permissions import question
from kintoun.settings import Settings
from tests.api.scenarios import BOB, CAROL, C, G, R, world
from tests.support.inprocess import App, Databases, settings_for

ASKED = ("", "?exclude_resource_name=record,group", "?contains_permissions=write", "?_limit=2", "?_sort=id")


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[App]:
    """Another worker on a database that is in use."""
    application = create_app(settings)
    store = application.composition.service.store
    await store.open()
    try:
        yield App(application)
    finally:
        await store.close()


@pytest_asyncio.fixture
async def other(app: App, engine: str, databases: Databases) -> AsyncIterator[App]:
    """Another worker on the database of `app`."""
    async with worker(settings_for(databases.url(engine))) as made:
        yield made


@pytest_asyncio.fixture
async def forgetful(app: App, engine: str, databases: Databases) -> AsyncIterator[App]:
    """A worker on the database of `app` that keeps no answer."""
    settings = settings_for(databases.url(engine))
    async with worker(replace(settings, storage=replace(settings.storage, cache_bytes=0))) as made:
        yield made


async def tag_of(app: App, user: str | None = "bob", query: str = "") -> str:
    tag: str = (await app.call(f"GET /permissions{query}", user=user)).headers["ETag"]
    return tag


@pytest.mark.parametrize(
    "change",
    [
        ("PATCH", C, {"permissions": {"read": [BOB]}}),
        ("PATCH", f"{R}/r1", {"permissions": {"write": [BOB]}}),
        ("PATCH", C, {"permissions": {"record:create": ["system.Authenticated"]}}),
        ("PATCH", C, {"permissions": {"record:create": ["system.Everyone"]}}),
        ("PUT", f"{R}/more", {"permissions": {"read": [BOB]}}),
        ("PUT", "/buckets/b/groups/more", {"data": {"members": []}, "permissions": {"read": [BOB]}}),
        ("PATCH", G, {"data": {"members": [CAROL]}}),
        ("DELETE", G, None),
        ("DELETE", "/buckets/b", None),
    ],
    ids=lambda change: f"{change[0]} {change[1]}",
)
async def test_it_changes_with_what_is_shown(app: App, other: App, change) -> None:
    await world(app)
    await app.ok(f"PATCH {R}/r2", {"permissions": {"read": [G]}})  # bob is a member
    before = await tag_of(app)
    method, path, body = change
    await other.ok(f"{method} {path}", body)
    response = await app.call("GET /permissions", user="bob", headers={"If-None-Match": before})
    assert response.status_code == 200
    assert response.headers["ETag"] != before
    assert response.json() == (await other.call("GET /permissions", user="bob")).json()
    assert await tag_of(other) == response.headers["ETag"]


async def test_it_stays_when_nothing_that_is_shown_changes(app: App, other: App) -> None:
    await world(app)
    before = await tag_of(app)
    await other.ok(f"PATCH {R}/r1", {"data": {"n": 100}})
    await other.ok("PUT /buckets/elsewhere", user="carol")
    assert await tag_of(app) == before == await tag_of(other)


async def test_an_unchanged_answer_is_not_searched_for_again(
    app: App, other: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world(app)
    tags = {query: await tag_of(app, query=query) for query in ASKED}
    store = app.application.composition.service.store
    asked: list[str] = []
    fetch = store.fetch

    async def counted(sql, args=()):
        asked.append(sql)
        return await fetch(sql, args)

    monkeypatch.setattr(store, "fetch", counted)
    for query, tag in tags.items():
        for headers, status in (({"If-None-Match": tag}, 304), ({}, 200)):
            asked.clear()
            response = await app.call(f"GET /permissions{query}", user="bob", headers=headers)
            assert (response.status_code, response.headers["ETag"]) == (status, tag)
            assert len(asked) == 1
            assert "FROM object" not in asked[0]
    await other.ok(f"PATCH {R}/r1", {"data": {"n": 100}})
    asked.clear()
    await tag_of(app)
    assert any("FROM object" in sql for sql in asked)


async def test_what_a_batch_did_not_commit_is_not_kept(app: App) -> None:
    await world(app)
    before = (await app.ok("GET /permissions", user="bob"))["data"]
    requests = [
        {"method": "PUT", "path": "/buckets/by-bob"},
        {"path": "/permissions"},
        {"method": "DELETE", "path": "/buckets/by-bob"},
    ]
    answers = (await app.ok("POST /batch", {"requests": requests}, user="bob"))["responses"]
    assert len(answers[1]["body"]["data"]) == len(before) + 1
    assert (await app.ok("GET /permissions", user="bob"))["data"] == before


async def test_what_is_kept_is_what_would_be_found(app: App, other: App, forgetful: App) -> None:
    """A walk of random writes by one worker; another, which keeps answers, always shows the present."""
    await world(app)
    choose = random.Random(7)
    paths = [C, G, "/buckets/b", "/buckets/w", *(f"{R}/r{n}" for n in range(4))]
    tags: dict[tuple[str | None, str], str] = {}
    for _ in range(40):
        path = choose.choice(paths)
        body: dict[str, object] = {
            "permissions": {choose.choice(["read", "write"]): [choose.choice([BOB, G, CAROL])]}
        }
        if path == G:
            body = {"data": {"members": choose.sample([BOB, CAROL], choose.randint(0, 2))}}
        method = choose.choice(["PUT", "PATCH", "PATCH", "DELETE"])
        await app.call(f"{method} {path}", None if method == "DELETE" else body, headers={})
        user, query = choose.choice(["alice", "bob", "carol", None]), choose.choice(ASKED)
        known = tags.get((user, query))
        headers = {"If-None-Match": known} if known else {}
        response = await other.call(f"GET /permissions{query}", user=user, headers=headers)
        fresh = await forgetful.call(f"GET /permissions{query}", user=user)
        assert response.headers["ETag"] == fresh.headers["ETag"]
        if response.status_code == 304:
            assert known == fresh.headers["ETag"]
        else:
            assert response.json() == fresh.json()
        tags[user, query] = fresh.headers["ETag"]


@pytest.mark.parametrize("known", [0, 500])
async def test_filters_by_permission_agree_however_they_are_done(
    app: App, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world(app)
    monkeypatch.setattr(question, "KNOWN_ACLS", known)
    for n in range(5):
        await app.ok(f"PUT {R}/s{n}", {"permissions": {"read": [BOB, f"somebody:{n}"]}})
    for user in ("alice", "bob", None):
        whole = (await app.ok("GET /permissions", user=user))["data"]
        for permission in ("read", "write", "record:create", "bucket:create", "read:attributes"):
            found = (await app.ok(f"GET /permissions?contains_permissions={permission}", user=user))["data"]
            assert found == [entry for entry in whole if permission in entry["permissions"]]
            total = await app.call(f"HEAD /permissions?contains_permissions={permission}", user=user)
            assert total.headers["Total-Objects"] == str(len(found))


async def test_of_a_long_answer_the_tag_is_kept(engine: str, databases: Databases, app: App) -> None:
    settings = settings_for(databases.url(engine))
    await world(app)
    async with worker(replace(settings, storage=replace(settings.storage, cache_bytes=10_000))) as small:
        answer = await small.call("GET /permissions")
        assert len(answer.content) > 500
        asked = small.application.composition.service.store
        searched: list[str] = []
        fetch = asked.fetch

        async def counted(sql, args=()):
            searched.append(sql)
            return await fetch(sql, args)

        asked.fetch = counted  # type: ignore[method-assign]
        known = {"If-None-Match": answer.headers["ETag"]}
        assert (await small.call("GET /permissions", headers=known)).status_code == 304
        assert not any("FROM object" in sql for sql in searched)
        assert (await small.call("GET /permissions")).json() == answer.json()
        assert any("FROM object" in sql for sql in searched)
