"""What a feature can bring beyond routes: tables with migrations, rows in the transaction, gates, kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from kintoun.app import create_app
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import BUCKET, COLLECTION, Kind
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context, Work
from kintoun.resources.rules import Rules
from kintoun.settings import Storage
from kintoun.storage.engine import Transaction
from kintoun.storage.rows import Conflict
from kintoun.storage.tables import Table
from tests.support.inprocess import App, Databases, opened, settings_for

SEEN = Table("probe_seen", (("uri", "text"), ("ts", "int"), ("flag", "flag"), ("raw", "bytes")))
OTHER = Table("probe_other", (("uri", "text"),))
SHELF = Kind("shelf", "shelves", BUCKET)
NOTE = Kind("note", "notes", COLLECTION)
BADGE = Kind("badge", "badges")


class Probe(Plugin):
    """Notes every change in a table of its own, refuses what is called `closed`, and serves three kinds."""

    name: ClassVar[str] = "probe"
    migrations: ClassVar = (
        (
            "CREATE TABLE probe_seen (uri {text} NOT NULL, ts {int} NOT NULL, flag {flag}, raw {bytes})",
            "CREATE INDEX probe_seen_uri ON probe_seen (uri)",
        ),
        ("CREATE TABLE probe_other (uri {text} NOT NULL)",),
    )

    def __init__(self) -> None:
        self.observed: list[tuple[str, str, int, str | None]] = []

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.before_commit(self.note)
        registry.gate(self.check)
        registry.observe(self.watch)
        for kind in (SHELF, NOTE, BADGE):
            registry.kind(kind, Rules())

    async def note(self, work: Work, change: Change) -> None:
        work.unit.add(SEEN, (str(change.path), change.timestamp, 1, b"\0raw"))
        work.unit.add(OTHER, (str(change.path),))
        if change.new.get("veto"):
            raise ProtocolError(403, FORBIDDEN, "No.")

    async def check(self, context: Context, request: Request) -> None:
        if "closed" in request.path:
            raise ProtocolError(403, FORBIDDEN, f"Closed to {(context.user and 'users') or 'anybody'}.")

    def watch(self, request: Request, answer: Answer, user: str | None, seconds: float) -> None:
        assert seconds >= 0
        name = request.endpoint.name if request.endpoint is not None else ""
        self.observed.append((request.method, name, answer.status, user))


@pytest_asyncio.fixture
async def probe() -> Probe:
    return Probe()


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases, probe: Probe) -> AsyncIterator[App]:
    settings = settings_for(databases.url(engine, "contract"), access={**ACCESS})
    async with opened(settings, probe) as made:
        yield made


ACCESS = {"bucket_create": ["system.Authenticated"], "badge_create": ["system.Authenticated"]}


async def seen(app: App, table: str = "probe_seen") -> list[str]:
    rows = await app.application.composition.service.store.fetch(f"SELECT uri FROM {table} ORDER BY uri")
    return [row[0] for row in rows]


async def test_rows_are_added_in_the_transaction(app: App) -> None:
    await app.ok("PUT /buckets/b")
    body = await app.ok("PUT /buckets/b/collections/c", {"data": {}})
    store = app.application.composition.service.store
    [row] = await store.fetch(
        "SELECT ts, flag, raw FROM probe_seen WHERE uri = $1", ("/buckets/b/collections/c",)
    )
    assert tuple(row) == (body["data"]["last_modified"], 1, b"\0raw")
    assert await seen(app) == await seen(app, "probe_other") == ["/buckets/b", "/buckets/b/collections/c"]


async def test_what_is_undone_adds_no_row(app: App) -> None:
    refused = await app.call("PUT /buckets/b", {"data": {"veto": True}})
    assert refused.status_code == 403
    requests = [
        {"method": "PUT", "path": f"/buckets/{name}", "body": {"data": data}}
        for name, data in (("a", {}), ("b", {"veto": True}), ("c", {}))
    ]
    answers = await app.ok("POST /batch", {"requests": requests})
    assert [answer["status"] for answer in answers["responses"]] == [201, 403, 201]
    assert await seen(app) == await seen(app, "probe_other") == ["/buckets/a", "/buckets/c"]


async def test_writes_that_share_a_commit_add_their_own_rows(app: App) -> None:
    await app.ok("PUT /buckets/b")
    await app.ok("PUT /buckets/b/collections/c")
    uris = [f"/buckets/b/collections/c/records/{n}" for n in range(20)]
    answers = await asyncio.gather(
        *(app.call(f"PUT {uri}", {"data": {"veto": n % 5 == 0}}) for n, uri in enumerate(uris))
    )
    assert [answer.status_code for answer in answers] == [403 if n % 5 == 0 else 201 for n in range(20)]
    written = [uri for n, uri in enumerate(uris) if n % 5]
    assert [uri for uri in await seen(app) if "records" in uri] == sorted(written)


async def test_steps_are_taken_once_and_the_next_when_it_comes(app: App) -> None:
    store = app.application.composition.service.store
    assert (await store.engine.feature_versions())["probe"] == 2
    await store.migrate({"probe": Probe.migrations})
    name = f"later_{store.engine.dialect.name.lower()}"
    steps = [(f"CREATE TABLE IF NOT EXISTS {name} (n {{int}})", f"INSERT INTO {name} VALUES (1)")]
    await store.transact(lambda t: t.fetch("DELETE FROM feature_version WHERE feature = $1", ("later",)))
    await asyncio.gather(*(store.migrate({"later": steps}) for _ in range(4)))
    assert [tuple(row) for row in await store.fetch(f"SELECT n FROM {name}")] == [(1,)]
    with pytest.raises(Exception, match="nowhere"):
        await store.migrate({"later": [*steps, (f"DELETE FROM {name}", "DELETE FROM nowhere")]})
    assert [tuple(row) for row in await store.fetch(f"SELECT n FROM {name}")] == [(1,)]
    await store.migrate({"later": [*steps, (f"UPDATE {name} SET n = 2",)]})
    assert [tuple(row) for row in await store.fetch(f"SELECT n FROM {name}")] == [(2,)]
    await store.transact(lambda t: t.fetch(f"DROP TABLE {name}"))


async def test_a_transaction_of_ones_own(app: App) -> None:
    store = app.application.composition.service.store
    attempts = []

    async def act(transaction: Transaction) -> str:
        attempts.append(1)
        await transaction.fetch("INSERT INTO probe_other (uri) VALUES ($1)", ("/own",))
        if len(attempts) < 3:
            raise Conflict("again")
        return "done"

    assert await store.transact(act) == "done"
    assert len(attempts) == 3
    assert await seen(app, "probe_other") == ["/own"]

    async def fail(transaction: Transaction) -> None:
        await transaction.fetch("INSERT INTO probe_other (uri) VALUES ($1)", ("/undone",))
        raise LookupError

    with pytest.raises(LookupError):
        await store.transact(fail)
    assert await seen(app, "probe_other") == ["/own"]


async def test_a_gate_refuses_before_anything_is_done(app: App, probe: Probe) -> None:
    assert (await app.call("PUT /buckets/closed")).status_code == 403
    assert (await app.call("GET /buckets/closed", user=None)).json()["message"] == "Closed to anybody."
    requests = [{"method": "PUT", "path": path} for path in ("/buckets/closed", "/buckets/open")]
    answers = await app.ok("POST /batch", {"requests": requests})
    assert [answer["status"] for answer in answers["responses"]] == [403, 201]
    assert await seen(app) == ["/buckets/open"]


async def test_observers_are_told_of_every_outermost_answer(app: App, probe: Probe) -> None:
    probe.observed.clear()
    await app.call("PUT /buckets/b")
    await app.call("GET /nothing", user=None)
    await app.call("POST /batch", {"requests": [{"method": "GET", "path": "/buckets/b"}]})
    [put, unknown, batch] = probe.observed
    assert put[:3] == ("PUT", "bucket-object", 201)
    assert put[3] is not None
    assert put[3].startswith("basicauth:")
    assert unknown == ("GET", "", 404, None)
    assert batch[:3] == ("POST", "batch", 200)


async def test_an_observer_that_fails_changes_no_answer(app: App, probe: Probe) -> None:
    probe.observed = None  # type: ignore[assignment]
    assert (await app.call("GET /")).status_code == 200


@pytest.mark.parametrize("place", ["/buckets/b/shelves", "/buckets/b/collections/c/notes", "/badges"])
async def test_kinds_of_a_feature_are_objects_like_others(app: App, place: str) -> None:
    await app.ok("PUT /buckets/b")
    await app.ok("PUT /buckets/b/collections/c")
    app.forget()
    assert await app.ok(f"GET {place}") == {"data": []}
    made = await app.ok(f"PUT {place}/s", {"data": {"size": 3}, "permissions": {"read": ["system.Everyone"]}})
    assert (await app.ok(f"GET {place}/s", user=None))["data"]["size"] == 3
    assert (await app.call(f"PUT {place}/s", {"data": {}}, user="bob")).status_code == 403
    assert await app.ok(f"GET {place}?size=3") == {"data": [made["data"]]}
    await app.ok(f"DELETE {place}/s")
    assert (await app.call(f"GET {place}/s")).status_code in (403, 404)
    assert app.events == [f"create {place}/s", f"delete {place}/s"]
    await app.ok("GET /permissions")
    await app.ok("GET /__api__")


async def test_objects_of_a_feature_go_with_their_parents(app: App) -> None:
    for path in ("", "/collections/c", "/shelves/s", "/collections/c/notes/n"):
        await app.ok(f"PUT /buckets/b{path}")
    await app.ok("DELETE /buckets/b/collections/c")
    await app.ok("PUT /buckets/b/collections/c")
    assert await app.ok("GET /buckets/b/collections/c/notes") == {"data": []}
    await app.ok("DELETE /buckets/b")
    await app.ok("PUT /buckets/b")
    assert await app.ok("GET /buckets/b/shelves") == {"data": []}


async def test_a_kind_that_comes_later_than_its_parents(engine: str, databases: Databases) -> None:
    """The bucket was made before the feature was there: its list begins with the first write, once."""
    url = databases.url(engine, "contract")
    async with opened(settings_for(url, access=ACCESS), Probe()) as app:
        await app.ok("PUT /buckets/b")
        store = app.application.composition.service.store
        await store.transact(lambda t: t.fetch("DELETE FROM clock WHERE path = $1", ("/buckets/b/shelves",)))
        listed = await app.call("GET /buckets/b/shelves")
        assert listed.json() == {"data": []}
        before = int(listed.headers["ETag"].strip('"'))
        names = [f"s{n}" for n in range(12)]
        answers = await asyncio.gather(*(app.call(f"PUT /buckets/b/shelves/{name}") for name in names))
        assert {answer.status_code for answer in answers} == {201}
        listed = await app.call("GET /buckets/b/shelves")
        assert sorted(each["id"] for each in listed.json()["data"]) == sorted(names)
        assert int(listed.headers["ETag"].strip('"')) > before
        await asyncio.gather(*(app.ok(f"PUT /badges/{name}") for name in names))
        assert len((await app.ok("GET /badges"))["data"]) == len(names)


async def test_lists_of_a_feature_that_is_gone_go_too(engine: str, databases: Databases) -> None:
    async with opened(settings_for(databases.url(engine, "contract")), Probe()) as app:
        await app.ok("PUT /buckets/b")
        store = app.application.composition.service.store
        lost = "INSERT INTO clock SELECT $1, bucket, 4711, ts, 0, 1, 0, 9, 0 FROM clock WHERE path = $2"
        await store.transact(lambda t: t.fetch(lost, ("/buckets/b/drawers", "/buckets/b/shelves")))
        await app.ok("DELETE /buckets/b")
        [row] = await store.fetch("SELECT list, live FROM clock WHERE path = $1", ("/buckets/b/drawers",))
        assert tuple(row) == (None, 0)
        assert 4711 in [row[0] for row in await store.fetch("SELECT list FROM unlinked")]


def test_two_kinds_cannot_have_one_name() -> None:
    from kintoun.model.kinds import register

    with pytest.raises(ValueError, match="shelves"):
        register(Kind("plank", "shelves", BUCKET))
    with pytest.raises(ValueError, match="parent"):
        register(Kind("leaf", "leaves", Kind("tree", "trees")))


class Worker(Plugin):
    """Says when it works, under a lease and without."""

    name: ClassVar[str] = "worker"

    def __init__(self, number: int, log: list[tuple[str, int]]) -> None:
        self.number = number
        self.log = log

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.background(self.lead, lease="test.worker")
        registry.background(self.work)

    async def lead(self) -> None:
        self.log.append(("leads", self.number))
        await asyncio.Event().wait()

    async def work(self) -> None:
        self.log.append(("works", self.number))
        await asyncio.Event().wait()


async def test_background_work_with_a_lease_runs_in_one_worker(engine: str, databases: Databases) -> None:
    url = databases.url(engine, "contract")
    settings = settings_for(url, storage=Storage(url=url, pool_size=4, lease_seconds=6.0))
    log: list[tuple[str, int]] = []
    async with opened(settings, Probe()):
        workers = [create_app(settings, Worker(number, log)).composition for number in range(3)]
        for worker in workers:
            await worker.start()
        try:
            await until(lambda: len(log) == 4)
            assert sorted(number for what, number in log if what == "works") == [0, 1, 2]
            [leader] = [number for what, number in log if what == "leads"]
            await workers.pop(leader).stop()
            await until(lambda: len(log) == 5)
            assert log[4][0] == "leads"
            assert log[4][1] != leader
        finally:
            for worker in workers:
                await worker.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, for a minute at the most."""
    for _ in range(1200):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to be in a minute")
