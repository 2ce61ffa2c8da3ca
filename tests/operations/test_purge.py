"""Tombstones are purged while servers go on, and clients that missed them are told to start over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from kintoun.cli import main
from kintoun.model.errors import CHANGES_FORGOTTEN
from kintoun.operations.acls import missing_entries
from kintoun.operations.purge import Purged, Scope, plan, purge
from kintoun.operations.purge_entries import count_unused_entries, purge_entries
from kintoun.storage import Store
from tests.operations.databases import ENGINES, fresh, served
from tests.support.inprocess import App, principal
from tests.support.postgres import Postgres

RECORDS = "/buckets/b/collections/c/records"
OTHERS = "/buckets/b/collections/other/records"


def quiet(_path: str, _gone: int) -> None:
    """No progress to show."""


def store_of(app: App) -> Store:
    return app.application.composition.service.store


async def fill(app: App, amount: int = 30) -> None:
    for path in ("/buckets/b", "/buckets/b/collections/c", "/buckets/b/collections/other"):
        await app.ok(f"PUT {path}", {"permissions": {"read": ["system.Everyone"]}})
    for n in range(amount):
        await app.ok(f"PUT {RECORDS}/r{n}", {"data": {"n": n}})
        await app.ok(f"PUT {OTHERS}/r{n}", {"data": {"n": n}})


async def etag(app: App, path: str = RECORDS) -> int:
    return int((await app.call(f"HEAD {path}")).headers["ETag"].strip('"'))


async def changes(app: App, since: int, **arguments: Any) -> tuple[int, Any]:
    answer = await app.call(f"GET {RECORDS}?_since={since}", **arguments)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("engine", ENGINES)
async def test_who_missed_what_was_purged_is_told_to_start_over(
    engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    async with served(fresh(engine, tmp_path, postgres)) as app:
        await fill(app)
        early = await etag(app)
        await app.ok(f"DELETE {RECORDS}/r1")
        between = await etag(app)
        await app.ok(f"DELETE {RECORDS}/r2")
        late = await etag(app)
        await app.ok(f"DELETE {OTHERS}/r1")
        before = {record["id"]: record for record in (await app.ok(f"GET {RECORDS}?_since=0"))["data"]}

        done = await purge(store_of(app), Scope(before=late, bucket="b", collection="c"), quiet)
        assert (done.tombstones, done.lists) == (1, 1)
        assert await etag(app) == late, "the clock is not moved"
        after = {record["id"]: record for record in (await app.ok(f"GET {RECORDS}?_since=0"))["data"]}
        assert after == {name: record for name, record in before.items() if name != "r1"}

        status, body = await changes(app, early)
        assert (status, body["errno"], body["details"]) == (410, CHANGES_FORGOTTEN, {"watermark": between})
        assert (await changes(app, early, user=None))[0] == 410
        assert (await app.call(f"HEAD {RECORDS}?_since={early}")).status_code == 410
        assert (await app.call(f"GET {RECORDS}?min_last_modified={between}")).status_code == 410
        assert (await changes(app, between))[1]["data"][0]["id"] == "r2", (
            "this client has seen all that is gone"
        )
        for fine in (0, late, late + 1):
            assert (await changes(app, fine))[0] == 200
        unchanged = await app.call(f"GET {RECORDS}?_since={early}", headers={"If-None-Match": f'"{late}"'})
        assert unchanged.status_code == 304
        assert (await app.call(f"GET {OTHERS}?_since={early}")).status_code == 200, "another list"
        # In a batch it is the answer of that request, and a record that was purged can be made again.
        batch = {
            "requests": [{"path": f"{RECORDS}?_since={early}"}, {"method": "PUT", "path": f"{RECORDS}/r1"}]
        }
        answers = (await app.ok("POST /batch", batch))["responses"]
        assert [answer["status"] for answer in answers] == [410, 201]
        assert (await changes(app, late))[1]["data"][0]["id"] == "r1"


@pytest.mark.parametrize("engine", ENGINES)
async def test_readers_of_a_part_are_not_told(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    async with served(fresh(engine, tmp_path, postgres)) as app:
        await app.ok("PUT /buckets/b")
        await app.ok("PUT /buckets/b/collections/c")
        shared = {"permissions": {"read": ["system.Everyone"]}}
        await app.ok(f"PUT {RECORDS}/shared", shared)
        early = await etag(app)
        await app.ok(f"PUT {RECORDS}/r", shared)
        await app.ok(f"DELETE {RECORDS}/r")
        await purge(store_of(app), Scope(keep=0), quiet)
        assert (await changes(app, early, user="bob"))[0] == 200
        assert (await changes(app, early))[0] == 410


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_newest_are_kept_and_counts_stay_right(
    engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    async with served(fresh(engine, tmp_path, postgres)) as app:
        await fill(app, 40)
        for n in range(0, 40, 2):
            await app.ok(f"DELETE {RECORDS}/r{n}")
        store = store_of(app)
        planned = [item async for item in plan(store, Scope(keep=5, kind="record"))]
        assert [(str(item.path), item.tombstones) for item in planned] == [(RECORDS, 15)]
        done = await purge(store, Scope(keep=5, kind="record"), quiet)
        assert done.tombstones == 15
        left = (await app.ok(f"GET {RECORDS}?_since=0&deleted=true"))["data"]
        assert [record["id"] for record in left] == [f"r{n}" for n in (38, 36, 34, 32, 30)]
        assert len((await app.ok(f"GET {RECORDS}"))["data"]) == 20, "no live record is purged"
        assert not [item async for item in plan(store, Scope(keep=5))]
        await purge(store, Scope(keep=0), quiet)
        rows = await store.fetch("SELECT list, live, dead, bytes FROM clock WHERE path = $1", (RECORDS,))
        bodies = await store.fetch("SELECT body FROM object WHERE list = $1 AND deleted = 0", (rows[0][0],))
        assert tuple(rows[0])[1:] == (20, 0, sum(len(body) for (body,) in bodies))


@pytest.mark.parametrize("engine", ENGINES)
async def test_writers_and_pollers_go_on(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    """Whoever follows `_since`, and starts over when told to, has what the server has."""
    settings = fresh(engine, tmp_path, postgres)
    async with served(settings) as app, served(settings) as other:
        await fill(app, 3)
        early = await etag(app)
        stop, last_round = asyncio.Event(), asyncio.Event()
        copies: list[dict[str, Any]] = [{}, {}]
        writers = [asyncio.create_task(churn(app, stop, n)) for n in range(3)]
        followers = [
            asyncio.create_task(follow(other, last_round, copy, n * 7)) for n, copy in enumerate(copies)
        ]
        purged = Purged()
        async with asyncio.timeout(90):
            while purged.tombstones < 40:
                purged.tombstones += (await purge(store_of(other), Scope(keep=1), quiet)).tombstones
                await purge_entries(store_of(other))
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*writers)
        last_round.set()
        await asyncio.gather(*followers)
        final = {record["id"]: record for record in (await app.ok(f"GET {RECORDS}"))["data"]}
        assert copies == [final, final]
        assert (await changes(app, early))[0] == 410
        assert await missing_entries(store_of(app)) == []


async def churn(app: App, stop: asyncio.Event, number: int) -> None:
    n = 0
    while not stop.is_set():
        n += 1
        # A new right each time, and then one that others have had: its entries may just be purged.
        readers = [f"user:{number}-{n % 4}"]
        path = f"{RECORDS}/w{number}-{n % 6}"
        await app.ok(f"PUT {path}", {"data": {"n": n}, "permissions": {"read": readers}})
        if n % 3:
            await app.ok(f"DELETE {path}")


async def follow(app: App, stop: asyncio.Event, copy: dict[str, Any], pause: int) -> None:
    since, ending = 0, False
    while not ending:
        ending = stop.is_set()  # one more round after the last write
        answer = await app.call(f"GET {RECORDS}?_since={since}")
        if answer.status_code == 410:
            copy.clear()
            since = 0
            ending = False
            continue
        assert answer.status_code == 200, answer.text
        for record in answer.json()["data"]:
            if record.get("deleted"):
                copy.pop(record["id"], None)
            else:
                copy[record["id"]] = record
        since = int(answer.headers["ETag"].strip('"'))
        for _ in range(pause):
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("engine", ENGINES)
async def test_unused_entries_of_permissions_go(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    async with served(fresh(engine, tmp_path, postgres)) as app:
        await app.ok("PUT /buckets/b")
        for n in range(5):
            await app.ok("PATCH /buckets/b", {"permissions": {"read": [f"user:{n}"]}})
        store = store_of(app)
        assert await count_unused_entries(store) >= 4
        done = await purge_entries(store)
        assert done.entries >= 4
        assert done.complete
        assert await count_unused_entries(store) == 0
        assert await missing_entries(store) == []
        await app.ok("PATCH /buckets/b", {"permissions": {"read": ["user:0"]}})
        assert await missing_entries(store) == [], "what was purged is added again"


@pytest.mark.parametrize("engine", ENGINES)
async def test_entries_that_history_needs_stay(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    settings = fresh(engine, tmp_path, postgres)
    settings = replace(settings, features=[*settings.features, "history"])
    async with served(settings) as app:
        await app.ok("PUT /buckets/b")
        reader = {"permissions": {"read": [principal("bob")]}}
        await app.ok("PUT /buckets/b/collections/c", reader)
        await app.ok("PATCH /buckets/b/collections/c", {"permissions": {"read": []}})
        before = await app.ok("GET /buckets/b/history", user="bob")
        assert len(before["data"]) == 1
        await purge_entries(store_of(app))
        assert await app.ok("GET /buckets/b/history", user="bob") == before


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_command_says_first_what_it_would_do(
    engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    settings = fresh(engine, tmp_path, postgres)
    config = tmp_path / "kintoun.toml"
    config.write_text(f'[storage]\nurl = "{settings.storage.url}"\n', encoding="utf-8")

    async def run(*arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, main, ["purge", "-c", str(config), *arguments])
        return done.exit_code, done.output

    async with served(settings) as app:
        await fill(app, 4)
        await app.ok(f"DELETE {RECORDS}/r1")
        early = await etag(app) - 1
        code, output = await run("--older-than", "0")
        assert (code, "Would purge 1 tombstones of 1 lists" in output) == (0, True), output
        assert (await changes(app, early))[0] == 200
        assert (await run("--older-than", "30", "--apply"))[1].startswith("Purged 0 ")
        assert (await run("--keep", "0", "--bucket", "x", "--apply"))[1].startswith("Purged 0 ")
        code, output = await run("--keep", "0", "--apply")
        assert (code, "Purged 1 tombstones of 1 lists" in output) == (0, True), output
        assert (await changes(app, early))[0] == 410
        assert (await run())[0] == 2
        assert "entries of permissions" in (await run("--permissions", "--apply"))[1]
        assert (await run("--keep", "1", "--collection", "c"))[0] == 2
