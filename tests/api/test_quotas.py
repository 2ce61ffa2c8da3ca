"""Quotas: what is refused, what frees room, and that no limit is passed however many write at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from kintoun.app import create_app
from kintoun.features.quotas import usage
from kintoun.features.quotas.limits import Override, QuotasSettings
from kintoun.settings import Settings
from kintoun.storage import schema
from kintoun.storage.dialect import Dialect
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

C = "/buckets/b/collections/c"
R = f"{C}/records"

Opened = Callable[..., Awaitable[App]]


@pytest_asyncio.fixture
async def serve(engine: str, databases: Databases) -> AsyncIterator[Opened]:
    """Opens an application with quotas on an empty database, and more workers on the same."""
    async with AsyncExitStack() as stack:

        async def start(*, more: bool = False, **limits: Any) -> App:
            settings = with_quotas(settings_for(databases.url(engine, "quotas")), **limits)
            if more:
                app = App(create_app(settings))
                store = app.application.composition.service.store
                await store.open()
                stack.push_async_callback(store.close)
                return app
            app = await stack.enter_async_context(opened(settings))
            await app.ok("PUT /buckets/b")
            await app.ok(f"PUT {C}")
            return app

        yield start


def with_quotas(settings: Settings, **limits: Any) -> Settings:
    section = QuotasSettings(**limits)
    return replace(settings, features=[*FEATURES, "quotas"], sections={"quotas": section})


async def refused(app: App, request: str, body: Any = None) -> dict[str, Any]:
    """The details of a 507."""
    response = await app.call(request, body)
    answer = response.json()
    assert (response.status_code, answer["errno"]) == (507, 121), response.text
    details: dict[str, Any] = answer["details"]
    assert details["quota"] in answer["message"]
    assert details["used"] + details["asked"] > details["limit"]
    return details


async def clock(app: App, path: str) -> tuple[int, int]:
    """The count and the size in the row of a list."""
    store = app.application.composition.service.store
    [[live, size]] = await store.fetch("SELECT live, bytes FROM clock WHERE path = $1", (path,))
    return live, size


async def held(app: App, bucket: str = "b") -> tuple[int, int]:
    """The records and the bytes of a bucket, counted from its objects."""
    store = app.application.composition.service.store
    rows = await store.fetch(
        "SELECT k.path, o.body FROM object o JOIN clock k ON k.list = o.list"
        " WHERE k.bucket = $1 AND o.deleted = 0",
        (bucket,),
    )
    records = [path for path, _ in rows if path.endswith("/records")]
    return len(records), sum(len(body.encode()) for _, body in rows)


async def total(app: App, bucket: str = "b") -> tuple[int, int]:
    """The records and the bytes of a bucket as the feature knows them."""
    store = app.application.composition.service.store
    [[items, size]] = await store.fetch("SELECT items, bytes FROM quota_usage WHERE bucket = $1", (bucket,))
    return items, size


async def test_the_size_of_a_list_is_that_of_its_live_records(serve: Opened) -> None:
    app = await serve()
    bodies = {}
    for n in range(3):
        made = await app.ok(f"PUT {R}/r{n}", {"data": {"text": "ä€" * n}})
        bodies[n] = made["data"]
    assert (await clock(app, R))[0] == 3
    size = (await clock(app, R))[1]
    await app.ok(f"DELETE {R}/r2")
    assert (await clock(app, R))[1] < size
    await app.ok(f"DELETE {R}")
    assert await clock(app, R) == (0, 0)
    await app.ok(f"PUT {R}/r1", {"data": {"back": True}})
    assert await clock(app, R) == ((await held(app))[0], (await clock(app, R))[1])


async def test_records_of_a_collection(serve: Opened) -> None:
    app = await serve(collection_max_items=2)
    for n in range(2):
        await app.ok(f"PUT {R}/r{n}")
    for request in (f"PUT {R}/r2", f"POST {R}"):
        details = await refused(app, request)
        assert details == {"quota": "collection_max_items", "limit": 2, "used": 2, "asked": 1}
    await app.ok(f"PUT {R}/r1", {"data": {"changed": True}})
    await app.ok(f"DELETE {R}/r0")
    await app.ok(f"PUT {R}/r2")
    await app.ok("PUT /buckets/b/collections/d")
    await app.ok("PUT /buckets/b/collections/d/records/r")


async def test_bytes_of_a_collection(serve: Opened) -> None:
    app = await serve(collection_max_bytes=1000)
    await app.ok(f"PUT {R}/r1", {"data": {"text": "x" * 600}})
    details = await refused(app, f"PUT {R}/r2", {"data": {"text": "x" * 600}})
    assert details["quota"] == "collection_max_bytes"
    assert details["used"] == (await clock(app, R))[1]
    await refused(app, f"PATCH {R}/r1", {"data": {"more": "x" * 600}})
    await app.ok(f"PATCH {R}/r1", {"data": {"text": ""}})
    await app.ok(f"PUT {R}/r2", {"data": {"text": "x" * 600}})
    assert (await clock(app, R))[1] <= 1000


async def test_one_object(serve: Opened) -> None:
    app = await serve(collection_max_bytes_per_item=200, bucket_max_bytes_per_item=300)
    await app.ok(f"PUT {R}/r", {"data": {"text": "x" * 100}})
    assert (await refused(app, f"PUT {R}/s", {"data": {"text": "x" * 200}}))["quota"].startswith("collection")
    for path in ("/buckets/b", C, "/buckets/b/groups/g", "/buckets/new"):
        await app.ok(f"PUT {path}", {"data": {"text": "x" * 150}})
        details = await refused(app, f"PATCH {path}", {"data": {"more": "x" * 200}})
        assert (details["quota"], details["limit"]) == ("bucket_max_bytes_per_item", 300)


async def test_a_bucket(serve: Opened) -> None:
    app = await serve(bucket_max_items=3, bucket_max_bytes=2000)
    await app.ok("PUT /buckets/b/collections/d")
    for path in (f"{R}/r1", f"{R}/r2", "/buckets/b/collections/d/records/r3"):
        await app.ok(f"PUT {path}")
        assert await total(app) == await held(app)
    details = await refused(app, "PUT /buckets/b/collections/d/records/r4")
    assert details == {"quota": "bucket_max_items", "limit": 3, "used": 3, "asked": 1}
    await app.ok(f"DELETE {R}/r1")
    assert await total(app) == await held(app) == (2, (await held(app))[1])
    details = await refused(app, "PUT /buckets/b/groups/g", {"data": {"text": "x" * 2000}})
    assert (details["quota"], details["used"]) == ("bucket_max_bytes", (await held(app))[1])
    await app.ok("PUT /buckets/b/groups/g", {"data": {"text": "x" * 1000}})
    await app.ok("DELETE /buckets/b/collections/d")
    assert await total(app) == await held(app)
    await app.ok("DELETE /buckets/b")
    assert await total(app) == await held(app) == (0, 0)
    await app.ok("PUT /buckets/elsewhere")


async def test_a_batch_is_refused_as_a_whole(serve: Opened) -> None:
    app = await serve(bucket_max_items=4, collection_max_items=3)
    path = "/buckets/b/collections/{}/records/r{}"
    await app.ok("PUT /buckets/b/collections/d")
    for ids in ([("c", n) for n in range(4)], [("c", n) for n in range(3)] + [("d", n) for n in range(3)]):
        requests = [{"method": "PUT", "path": path.format(*each)} for each in ids]
        response = await app.call("POST /batch", {"requests": requests})
        assert response.status_code == 507
        assert await held(app) == (0, (await held(app))[1])
    requests = [{"method": "PUT", "path": path.format("c", n)} for n in range(3)]
    requests += [
        {"method": "DELETE", "path": path.format("c", 0)},
        {"method": "PUT", "path": path.format("d", 1)},
    ]
    await app.ok("POST /batch", {"requests": [*requests, {"path": R}]})  # a page is read of what was written
    assert await total(app) == await held(app) == (3, (await held(app))[1])


async def test_what_is_too_large_already_may_become_smaller(serve: Opened) -> None:
    app = await serve()
    for n in range(4):
        await app.ok(f"PUT {R}/r{n}", {"data": {"text": "x" * 100}})
    strict = await serve(more=True, bucket_max_items=2, bucket_max_bytes=10, collection_max_bytes=5)
    await strict.ok(f"PUT {R}/r0", {"data": {"text": "x" * 50}})
    assert await total(strict) == await held(app), "counted when it was first needed"
    await strict.ok(f"DELETE {R}/r1")
    await refused(strict, f"PATCH {R}/r0", {"data": {"more": "x" * 100}})
    await refused(strict, f"PUT {R}/r1")


async def test_single_limits(serve: Opened) -> None:
    app = await serve(
        collection_max_items=1,
        overrides=[
            Override(bucket="b", collection="c", max_items=3),
            Override(bucket="b", collection="*", max_items=2),
            Override(bucket="b", max_items=5),
        ],
        named={"bucket_b2_max_items": 1, "collection_b2_max_items": 7, "collection_b2_c2_max_items": 0},
    )
    for bucket, collection, most in (
        ("b", "c", 3),
        ("b", "d", 2),
        ("other", "c", 1),
        ("b2", "c2", 0),
        ("b2", "c3", 1),
    ):
        await app.ok(f"PUT /buckets/{bucket}")
        path = f"/buckets/{bucket}/collections/{collection}"
        await app.ok(f"PUT {path}")
        for n in range(most):
            await app.ok(f"PUT {path}/records/r{n}")
        await refused(app, f"PUT {path}/records/more")
    await app.ok("PUT /buckets/b/collections/e")
    assert (await refused(app, "PUT /buckets/b/collections/e/records/r"))["quota"] == "bucket_max_items"


async def test_personal_buckets_have_quotas(serve: Opened) -> None:
    app = await serve(bucket_max_items=1)
    tasks = "/buckets/default/collections/tasks/records"
    await app.ok(f"PUT {tasks}/r1")
    await refused(app, f"PUT {tasks}/r2")
    await app.ok(f"PUT {tasks}/r1", user="bob")


async def test_refusals_are_counted(serve: Opened) -> None:
    app = await serve(bucket_max_items=1)
    await app.ok(f"PUT {R}/r1")
    for n in range(3):
        await refused(app, f"PUT {R}/more{n}")
    collected = await app.application.composition.service.measures.collect()
    [series] = [series for measure, series in collected if measure.name == "quota_refusals_total"]
    assert [(each.labels, each.numbers) for each in series] == [(("bucket_max_items",), [3.0])]


async def test_the_limits_are_told(serve: Opened) -> None:
    app = await serve(bucket_max_items=1)
    told = (await app.ok("GET /"))["capabilities"]["quotas"]
    assert told["limits"] == {"bucket_max_items": 1}


@pytest.mark.parametrize("limit", ["collection_max_items", "bucket_max_items", "bucket_max_bytes"])
async def test_writers_at_once_pass_no_limit(serve: Opened, limit: str) -> None:
    """Two workers, eight writers of four collections: they fill a bucket to the brim, and never beyond."""
    most = 6000 if limit == "bucket_max_bytes" else 20
    apps = [await serve(**{limit: most}), await serve(more=True, **{limit: most})]
    collections = [f"/buckets/b/collections/c{n}" for n in range(4)]
    if limit == "collection_max_items":
        collections = collections[:1]
    for path in collections:
        await apps[0].ok(f"PUT {path}")

    async def write(number: int) -> list[int]:
        choose = random.Random(number)
        app, statuses = apps[number % 2], []
        for n in range(20):
            path = f"{choose.choice(collections)}/records/w{number}-{n}"
            body = {"data": {"text": "x" * choose.randint(0, 100)}}
            if choose.random() < 0.3:
                batch = {
                    "requests": [{"method": "PUT", "path": f"{path}-{m}", "body": body} for m in range(2)]
                }
                response = await app.call("POST /batch", batch)
            else:
                response = await app.call(f"PUT {path}", body)
            statuses.append(response.status_code)
        return statuses

    statuses = {status for group in await asyncio.gather(*map(write, range(8))) for status in group}
    assert statuses == {200, 201, 507}
    records, size = await held(apps[0])
    if limit == "bucket_max_bytes":
        assert most - 400 < size <= most
    else:
        assert records == most
    if limit.startswith("bucket"):
        assert await total(apps[1]) == (records, size)
    # What is deleted makes room for as much.
    [gone, *_] = (await apps[1].ok(f"GET {collections[0]}/records"))["data"]
    await apps[1].ok(f"DELETE {collections[0]}/records/{gone['id']}")
    await apps[0].ok(f"PUT {collections[0]}/records/again")
    await refused(apps[1], f"PUT {collections[0]}/records/too-much", {"data": {"text": "x" * 500}})


async def test_totals_are_counted_anew(serve: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await serve(bucket_max_items=10)
    await app.ok(f"PUT {R}/r1")
    without = await serve(more=True)
    for n in range(3):
        await without.ok(f"PUT {R}/other{n}")
    assert await total(app) != await held(app)
    monkeypatch.setattr(usage, "PAUSE_SECONDS", 0.0)
    store = app.application.composition.service.store
    await usage.recount(store)
    assert await total(app) == await held(app)
    await without.ok("DELETE /buckets/b")
    await usage.recount(store)
    assert await store.fetch("SELECT bucket FROM quota_usage WHERE bucket = 'b'") == []


async def test_counting_anew_beside_writers(serve: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PAUSE_SECONDS", 0.0)
    app = await serve(bucket_max_bytes=10**9)
    await app.ok(f"PUT {R}/r")
    store = app.application.composition.service.store

    async def write(number: int) -> None:
        for n in range(25):
            path = f"{R}/w{number}-{n % 5}"
            await app.call(f"DELETE {path}" if n % 7 == 6 else f"PUT {path}", {"data": {"n": n}})

    async def count() -> None:
        for _ in range(10):
            await usage.recount(store)

    await asyncio.gather(count(), *map(write, range(4)))
    assert await total(app) == await held(app)


async def test_everything_removed_is_no_longer_counted(serve: Opened) -> None:
    app = await serve(bucket_max_items=2)
    for n in range(2):
        await app.ok(f"PUT {R}/r{n}")
    await app.ok("POST /__flush__")
    assert await total(app) == (0, 0)


async def test_a_database_of_before_counted_tombstones(serve: Opened) -> None:
    app = await serve()
    for n in range(3):
        await app.ok(f"PUT {R}/r{n}", {"data": {"text": "ä"}})
    await app.ok(f"DELETE {R}/r1")
    await app.ok(f"DELETE {R}/r2")
    expected = await clock(app, R)
    store = app.application.composition.service.store
    [step] = [sql for step in schema.STEPS for sql in step if sql.startswith("UPDATE clock SET bytes")]
    name = "sqlite" if store.engine.dialect is Dialect.SQLITE else "postgresql"
    tombstones = await store.fetch("SELECT sum(length(body)) FROM object WHERE deleted = 1")
    transaction = await store.engine.begin()
    sql = "UPDATE clock SET bytes = bytes + $1 WHERE path = $2"
    await transaction.fetch(sql, (tombstones[0][0], R))
    await transaction.fetch(step.format_map(schema.TYPES[name]))
    await transaction.commit()
    assert await clock(app, R) == expected
