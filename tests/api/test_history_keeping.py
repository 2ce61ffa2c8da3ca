"""How long entries stay, who makes them go, and that what is asked of many of them is found by an index."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from kintoun.app import create_app
from kintoun.config import migrations_of
from kintoun.features.history import History, trimming
from kintoun.features.history.past import Past
from kintoun.features.history.table import CREATED, MIGRATIONS, PAGES, history_of, part_of
from kintoun.features.history.trimming import Retention, Trimmer
from kintoun.model import timestamps
from kintoun.model.paths import ListPath
from kintoun.model.query import NEWEST_FIRST, Filter, Op
from kintoun.operations.purge import Scope, purge
from kintoun.storage import Store
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Writes
from kintoun.storage.reclaiming import reclaim
from kintoun.storage.rows import Page, Wanted
from kintoun.storage.statements import question
from tests.api.test_history import WITH_HISTORY, B, C, H, R, entries, told
from tests.support.inprocess import App, Databases, opened, principal, settings_for

KEEP = Retention(None, -1, 0, ())


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    settings = settings_for(databases.url(engine, "history"), features=[*WITH_HISTORY])
    access = {**settings.access, "user-data_delete": [principal("admin")]}
    async with opened(replace(settings, access=access)) as made:
        await made.bait()
        for path in (B, C):
            await made.ok(f"PUT {path}", {"permissions": {"write": [principal("bob")]}})
        made.forget()
        yield made


def store_of(app: App) -> Store:
    return app.application.composition.service.store


async def trim(app: App, **changes: Any) -> None:
    await Trimmer(store_of(app), KEEP._replace(**changes)).run()


async def test_the_newest_of_each_kind_are_kept(app: App) -> None:
    for n in range(8):
        await app.ok(f"PUT {R}/r{n}")
    etag = (await app.call(f"HEAD {H}")).headers["ETag"]
    await trim(app, max_count=3, threshold=5)  # eight are not more than three and five
    assert len(await entries(app)) == 10
    await trim(app, max_count=3, threshold=4)
    kept = [f"create {R}/r{n}" for n in (7, 6, 5)]
    assert await told(app) == [*kept, f"create {C}", f"create {B}"]
    head = await app.call(f"HEAD {H}")
    assert head.headers["Total-Objects"] == "5"
    assert head.headers["ETag"] == etag
    assert await entries(app, "?_since=0&deleted=true") == []
    assert await told(app, "?resource_name=bucket") == [f"create {B}"]


async def test_entries_of_some_users_are_counted_by_themselves(app: App) -> None:
    for n in range(4):
        await app.ok(f"PUT {R}/a{n}")
        await app.ok(f"PUT {R}/b{n}", user="bob")
    await trim(app, max_count=1, users=(principal("bob"),))
    by_bob = [entry["uri"] for entry in await entries(app, f"?user_id={principal('bob')}")]
    assert by_bob == [f"{R}/b3"]
    assert len(await entries(app, f"?user_id={principal('alice')}")) == 6


async def test_old_entries_go_with_their_tombstones(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await app.ok(f"PUT {R}/r1")
    await app.ok(f"DELETE {H}?resource_name=collection")
    time = int((await app.call(f"HEAD {R}")).headers["ETag"].strip('"'))
    await trim(app, max_age_days=2)
    assert len(await entries(app)) == 2
    in_three_days = timestamps.now() + 3 * 24 * 3600 * 1000
    monkeypatch.setattr(trimming.timestamps, "now", lambda: in_three_days)
    await trim(app, max_age_days=2)
    monkeypatch.undo()
    assert await entries(app, "?_since=0") == []
    assert (await app.call(f"HEAD {H}")).headers["Total-Objects"] == "0"
    # What is as it was when its entries went can still be read as it was then.
    assert len((await app.ok(f"GET {R}?_at={time}"))["data"]) == 1
    await app.ok(f"PUT {R}/r1", {"data": {"n": 1}})
    assert "n" not in (await app.ok(f"GET {R}?_at={time}"))["data"][0]


async def test_more_than_one_step(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "STEP", 3)
    for n in range(10):
        await app.ok(f"PUT {R}/r{n}")
    await trim(app, max_count=2)
    assert len(await entries(app, "?resource_name=record")) == 2


async def test_a_user_is_forgotten(app: App) -> None:
    bob = principal("bob")
    await app.ok(f"PUT {R}/r1", {"data": {"n": 1}})
    await app.ok(f"PUT {R}/r2", {"data": {"n": 1}}, user="bob")
    await app.ok(f"PUT {B}/groups/g", {"data": {"members": [bob]}})
    await app.ok(f"PUT {R}/r3", {"data": {}, "permissions": {"read": [bob]}})
    await app.ok(f"DELETE /__user_data__/{bob}", user="admin")
    left = await entries(app)
    assert bob not in json.dumps(left)
    assert [entry["uri"] for entry in left if entry["resource_name"] == "record"][-1] == f"{R}/r1"
    assert (await app.call(f"HEAD {H}")).headers["Total-Objects"] == str(len(left))
    rows = await store_of(app).fetch("SELECT body, old_body, old_grants, author FROM history")
    assert bob not in repr([tuple(row) for row in rows])


async def test_a_flush_empties_it(app: App) -> None:
    await app.ok(f"PUT {R}/r1")
    await app.ok("POST /__flush__")
    await app.ok(f"PUT {B}")
    assert await told(app) == [f"create {B}"]
    await reclaim(store_of(app), ("object", "history"))
    assert [tuple(row) for row in await store_of(app).fetch("SELECT count(*) FROM history")] == [(1,)]


async def test_what_a_deleted_bucket_leaves_is_reclaimed(app: App) -> None:
    await app.ok(f"PUT {R}/r1")
    number = (await store_of(app).fetch("SELECT list FROM clock WHERE path = $1", (H,)))[0][0]
    await app.ok(f"DELETE {B}")
    await reclaim(store_of(app), ("object", "history"))
    rows = await store_of(app).fetch("SELECT count(*) FROM history WHERE list = $1", (number,))
    assert rows[0][0] == 0


async def test_a_purge_of_tombstones_leaves_the_past_known(app: App) -> None:
    await app.ok(f"PUT {R}/r1")
    time = int((await app.call(f"HEAD {R}")).headers["ETag"].strip('"'))
    await app.ok(f"DELETE {R}/r1")
    done = await purge(store_of(app), Scope(keep=0), lambda *_: None)
    assert done.tombstones > 0
    assert [item["id"] for item in (await app.ok(f"GET {R}?_at={time}"))["data"]] == ["r1"]


async def test_what_was_trimmed_does_not_stop_who_asks_for_more(app: App) -> None:
    await app.ok(f"PUT {R}/r1")
    first = (await entries(app))[-1]["last_modified"]
    await app.ok(f"PUT {R}/r2")
    await trim(app, max_count=0)
    assert await entries(app, f"?_since={first}") == []


# Indexes


async def fill(app: App, count: int) -> int:
    """Entries of many records, written straight into the table; returns the number of the records' list."""
    store = store_of(app)
    history = (await store.fetch("SELECT list FROM clock WHERE path = $1", (H,)))[0][0]
    records = (await store.fetch("SELECT list FROM clock WHERE path = $1", (R,)))[0][0]
    acl = b"0123456789abcdef"
    rows = [
        (
            *(history, 0, acl, acl, records, "record", "c", "somebody", acl),
            *(f"id{n}", n + 1, f'{{"id":"id{n}","record_id":"r{n % 5000}","collection_id":"c"}}'),
            *(part_of(f"r{n % 5000}"), f"r{n % 5000}", n + 2, n, n + 1),
        )
        for n in range(count)
    ]
    transaction = await store.engine.begin()
    for start in range(0, count, 5000):
        await transaction.write(Writes(added={CREATED: rows[start : start + 5000]}))
    await transaction.commit()
    if store.engine.dialect is Dialect.POSTGRESQL:
        await store.fetch("ANALYZE history")
    return int(records)


async def plan(app: App, sql: str, values: list[Any]) -> str:
    engine = store_of(app).engine
    if engine.dialect is Dialect.SQLITE:
        return "\n".join(str(row[3]) for row in await engine.fetch(f"EXPLAIN QUERY PLAN {sql}", values))
    marks = ", ".join(_literal(value) for value in values)
    types = ", ".join("bigint" if isinstance(value, int) else "text" for value in values)
    connection = await engine.pool.take()  # type: ignore[attr-defined]
    try:
        await connection.raw.execute(f"PREPARE the_question ({types}) AS {sql}")
        rows = await connection.raw.fetch(f"EXPLAIN EXECUTE the_question ({marks})")
        await connection.raw.execute("DEALLOCATE the_question")
    finally:
        engine.pool.give(connection)  # type: ignore[attr-defined]
    return "\n".join(row[0] for row in rows)


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value) + "'"


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "history_ts"),
        ({"record_id": "r7"}, "history_place"),
        ({"collection_id": "c", "record_id": "r7"}, "history_place"),
        ({"uri": f"{R}/r7"}, "history_place"),
        ({"collection_id": "elsewhere"}, "history_place"),
    ],
)
async def test_entries_are_found_by_an_index(app: App, filters: dict[str, str], index: str) -> None:
    await fill(app, 20_000)
    conditions = tuple(Filter(field, Op.EQ, value) for field, value in filters.items())
    page = Page(conditions, (NEWEST_FIRST,), 200, source=PAGES)
    engine = store_of(app).engine
    made = await plan(app, *question(Wanted(clock=history_of("b"), page=page), engine.dialect))
    assert index in made, made
    assert "SCAN o" not in made
    assert "Seq Scan on history" not in made


async def test_entries_of_the_first_tables_are_kept(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(databases.url(engine, "history-steps"), features=[*WITH_HISTORY])
    monkeypatch.setattr(History, "migrations", MIGRATIONS[:1])
    async with opened(settings) as old:
        for path in (B, C, f"{R}/r1", f"{B}/groups/g"):
            await old.ok(f"PUT {path}", {"data": {"members": []}} if "groups" in path else {"data": {"n": 1}})
        began = int((await old.call(f"HEAD {R}")).headers["ETag"].strip('"'))
        monkeypatch.undo()
        new = App(create_app(settings))
        await store_of(new).open()
        try:
            await store_of(new).migrate(migrations_of(settings.features))
            await new.ok(f"PUT {R}/r1", {"data": {"n": 2}})
            await old.ok(f"PUT {R}/r1", {"data": {"n": 3}})
            for app in (old, new):
                found = await entries(app, "?record_id=r1&collection_id=c")
                assert [entry["target"]["data"]["n"] for entry in found] == [3, 2, 1]
                assert await told(app, f"?uri={B}/groups/g") == [f"create {B}/groups/g"]
                assert [item["n"] for item in (await app.ok(f"GET {R}?_at={began}"))["data"]] == [1]
        finally:
            await store_of(new).close()


async def test_the_past_is_found_by_an_index(app: App) -> None:
    await fill(app, 20_000)
    path = ListPath.parse(R)
    engine = store_of(app).engine
    page = Page((), (NEWEST_FIRST,), 200, source=Past(19_990))
    made = await plan(app, *question(Wanted(clock=path, page=page), engine.dialect))
    assert "history_origin" in made, made
    assert "Seq Scan on history" not in made
