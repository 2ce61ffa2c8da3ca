"""A primary and a hot standby: what the standby may answer, and what is left when the primary dies."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from kintoun.settings import Policy, Protocol, Settings, Storage
from kintoun.storage import make_store
from tests.support.inprocess import App, opened
from tests.support.postgres import Postgres
from tests.support.servers import start_kintoun
from tests.sync.clients import Client, Load, Run
from tests.sync.world import failing, judge, settings

SECONDS = 30.0
LAG = 2.0
RECORDS = "/buckets/open/collections/c/records"


class Pair(NamedTuple):
    primary: Postgres
    standby: Postgres

    def either(self, database: str) -> str:
        """The URL of whichever of the two is the primary."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{hosts}/{database}?target_session_attrs=primary"

    def of_standby(self, primary_url: str) -> str:
        return self.standby.database_uri(primary_url.rpartition("/")[2])

    def wait_until_replayed(self) -> None:
        """Wait until the standby shows all that is committed on the primary."""
        position = self.primary.psql("SELECT pg_current_wal_insert_lsn()")
        behind = f"SELECT pg_last_wal_replay_lsn() < '{position}'"
        eventually(lambda: self.standby.psql(behind) == "f")


def eventually(condition: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


@contextmanager
def started() -> Iterator[Pair]:
    with (
        Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as primary,
        primary.standby(tempfile.mkdtemp(prefix="kintoun-pg-")) as standby,
    ):
        yield Pair(primary, standby)
        for server in (standby, primary):
            with suppress(RuntimeError):  # it is down already
                server.kill9()  # to stop would take it longer, and nobody needs what it has


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with started() as both:
        yield both


@pytest.fixture
def doomed_pair() -> Iterator[Pair]:
    with started() as both:
        yield both


class Halves:
    """An application that reads from a standby, and which of the two answered last."""

    def __init__(self, pair: Pair, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pair, self.app = pair, app
        store = app.application.composition.service.store
        assert store.replicas is not None
        self.replicas = store.replicas
        self.asked: list[str] = []
        self._watch_reads(store, "primary", monkeypatch)
        self._watch_reads(self.replicas.all[0], "replica", monkeypatch)

    def _watch_reads(self, reader: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        read = reader.read

        async def watched(wanted: Any) -> Any:
            self.asked.append(name)
            return await read(wanted)

        monkeypatch.setattr(reader, "read", watched)

    async def get(self, path: str, user: str | None = None, **headers: str) -> tuple[httpx.Response, str]:
        """An answer, and who gave it."""
        self.asked.clear()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.app.call(f"GET {path}", user=user, headers=named)
        return answer, self.asked[-1]

    def pause_replay(self) -> None:
        self.pair.wait_until_replayed()
        self.pair.standby.psql("SELECT pg_wal_replay_pause()")
        eventually(lambda: self.pair.standby.psql("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def resume_replay(self) -> None:
        self.pair.standby.psql("SELECT pg_wal_replay_resume()")
        self.pair.wait_until_replayed()


@asynccontextmanager
async def halves(pair: Pair, monkeypatch: pytest.MonkeyPatch, **storage: Any) -> AsyncIterator[Halves]:
    """An application on a database with an open collection, whose replica knows all of it."""
    url = pair.primary.create_database()
    kept = Storage(url=url, pool_size=4, replicas=[pair.of_standby(url)], **storage)
    configured = Settings(
        storage=kept,
        features=["basicauth"],
        policies=[Policy(name="basicauth", use="basicauth")],
        protocol=Protocol(userid_secret="x"),
    )
    pair.wait_until_replayed()
    async with opened(configured) as app:
        for path in ("/buckets/open", "/buckets/open/collections/c"):
            await app.ok(f"PUT {path}", {"permissions": {"read": ["system.Everyone"]}})
        await app.ok(f"PUT {RECORDS}/a", {"data": {"n": 1}})
        pair.wait_until_replayed()
        both = Halves(pair, app, monkeypatch)
        await both.replicas.look()
        yield both


async def test_the_replica_answers_whoever_knows_no_more_than_it_does(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with halves(pair, monkeypatch, replica_lag_seconds=300.0) as both:
        listed, who = await both.get(RECORDS)
        assert who == "replica"
        old = listed.headers["ETag"]
        assert (await both.get(RECORDS, If_None_Match=old))[1] == "replica"
        assert (await both.get(f"{RECORDS}?_since={old}"))[1] == "replica"
        assert (await both.get(f"{RECORDS}/a"))[1] == "replica"
        assert (await both.get(f"{RECORDS}/a", If_None_Match=old))[1] == "primary"
        assert (await both.get(RECORDS, user="alice"))[1] == "primary"

        both.pause_replay()
        await both.app.ok(f"PUT {RECORDS}/b", {"data": {"n": 2}})
        behind, who = await both.get(RECORDS)
        assert (who, behind.headers["ETag"], behind.content) == ("replica", old, listed.content)
        assert (await both.get(RECORDS, If_None_Match=old))[0].status_code == 304
        # What it does not have, it does not deny.
        found, who = await both.get(f"{RECORDS}/b")
        assert (who, found.status_code) == ("primary", 200)
        missing, who = await both.get(f"{RECORDS}/never")
        assert (who, missing.status_code) == ("primary", 404)

        fresh, who = await both.get(f"{RECORDS}?_limit=1", user="alice")
        new = fresh.headers["ETag"]
        assert (who, int(new.strip('"')) > int(old.strip('"'))) == ("primary", True)
        for path, headers in (
            (RECORDS, {"If_None_Match": new}),
            (RECORDS, {"If_Match": new}),
            (f"{RECORDS}?_since={new}", {}),
            (f"{RECORDS}?gt_last_modified={new}", {}),
            (f"{RECORDS}?min_last_modified={new.strip(chr(34))}", {}),
            (f"{RECORDS}?last_modified={new.strip(chr(34))}", {}),
            (fresh.headers["Next-Page"].partition("/v1")[2], {}),
        ):
            answer, who = await both.get(path, **headers)
            assert who == "primary", path
            assert answer.status_code in (200, 304), answer.text
            assert answer.headers["ETag"] == new, path

        both.resume_replay()
        answer, who = await both.get(f"{RECORDS}?_since={new}")
        assert (who, answer.headers["ETag"]) == ("replica", new)
        answer, who = await both.get(RECORDS)
        assert (who, answer.headers["ETag"], len(answer.json()["data"])) == ("replica", new, 2)


async def test_all_reads_on_a_replica(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with halves(pair, monkeypatch, replica_lag_seconds=300.0, replica_reads="all") as both:
        await both.app.ok("PUT /buckets/closed")
        pair.wait_until_replayed()
        listed, who = await both.get("/buckets/closed/groups", user="alice")
        assert (who, listed.status_code) == ("replica", 200)
        refused, who = await both.get("/buckets/closed/groups", user="bob")
        assert (who, refused.status_code) == ("primary", 403)
        root = await both.app.call("GET /", user="alice")
        assert root.json()["user"]["id"].startswith("basicauth:")


async def test_who_follows_a_list_misses_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pollers are told by the primary and by a replica that stands still now and then, as it comes."""
    async with halves(pair, monkeypatch, replica_lag_seconds=300.0) as both:
        writing = asyncio.create_task(_write(both))
        pollers = [Poller(both, by_tag) for by_tag in (True, False, True)]
        followed = await asyncio.gather(*(poller.follow(writing) for poller in pollers))
        both.resume_replay()
        for poller in pollers:
            await poller.poll()
        assert set(both.asked) == {"primary", "replica"}
        whole, _ = await both.get(f"{RECORDS}?_limit=1000", user="alice")
        for poller in pollers:
            assert poller.records == {each["id"]: each for each in whole.json()["data"]}
            assert poller.tag == whole.headers["ETag"]
        assert min(followed) > 0


async def _write(both: Halves) -> None:
    """Write and delete, and let the replica stand still for half of the time."""
    for n in range(40):
        if n % 20 == 5:
            await asyncio.to_thread(both.pause_replay)
        if n % 20 == 15:
            await asyncio.to_thread(both.resume_replay)
        await both.app.ok(f"PUT {RECORDS}/r{n % 7}", {"data": {"n": n}})
        if n % 5 == 0:
            await both.app.ok(f"DELETE {RECORDS}/r{n % 7}")


class Poller:
    """Somebody who follows a list by its ETag, `by_tag` with `If-None-Match` and whole lists."""

    def __init__(self, both: Halves, by_tag: bool) -> None:
        self._both, self._by_tag = both, by_tag
        self.records: dict[str, Any] = {}
        self.tag = '"0"'
        self._polls = 0

    async def follow(self, writing: asyncio.Task[None]) -> int:
        """Poll until the writing is done; how many changes were seen."""
        changes = 0
        while not writing.done():
            changes += await self.poll()
        await writing
        return changes

    async def poll(self) -> bool:
        # Now and then it asks the primary, and then knows more than the replica.
        self._polls += 1
        user = "alice" if self._polls % 3 == 0 else None
        if self._by_tag:
            headers = {"If-None-Match": self.tag}
            answer = await self._both.app.call(f"GET {RECORDS}", user=user, headers=headers)
        else:
            answer = await self._both.app.call(f"GET {RECORDS}?_since={self.tag}", user=user)
        tag = answer.headers["ETag"]
        assert int(tag.strip('"')) >= int(self.tag.strip('"')), "it was told of a state before the one it has"
        if answer.status_code == 304:
            assert tag == self.tag
            return False
        changes = answer.json()["data"]
        assert all(each["last_modified"] <= int(tag.strip('"')) for each in changes)
        if self._by_tag:
            self.records = {}
        for each in changes:
            if each.get("deleted"):
                self.records.pop(each["id"], None)
            else:
                self.records[each["id"]] = each
        new, self.tag = tag != self.tag, tag
        return new


async def test_a_replica_too_far_behind_is_not_used(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with halves(pair, monkeypatch, replica_lag_seconds=LAG) as both:
        assert (await both.get(RECORDS))[1] == "replica"
        both.pause_replay()
        await both.app.ok(f"PUT {RECORDS}/b", {"data": {"n": 2}})
        await _until_used(both, False)
        answer, who = await both.get(RECORDS)
        assert (who, len(answer.json()["data"])) == ("primary", 2)
        both.resume_replay()
        await _until_used(both, True)
        assert (await both.get(RECORDS))[1] == "replica"


async def test_a_replica_that_is_down_is_not_used(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with halves(pair, monkeypatch, replica_lag_seconds=300.0) as both:
        assert await both.replicas.answers() is True
        assert (await both.get(RECORDS))[1] == "replica"
        pair.standby.kill9()
        answer, who = await both.get(RECORDS)
        assert (who, answer.status_code) == ("primary", 200)
        assert both.replicas.choose() is None
        await both.replicas.look()
        assert await both.replicas.answers() is None
        heartbeat = await both.app.call("GET /__heartbeat__", user=None)
        assert heartbeat.json() == {"storage": True, "permission": True, "cache": True, "replicas": None}
        pair.standby.restart()
        await _until_used(both, True)
        assert (await both.get(RECORDS))[1] == "replica"


async def test_what_is_no_replica_is_not_used(postgres: Postgres) -> None:
    """Such as one that was promoted, which goes its own way."""
    url = postgres.create_database()
    async with opened(Settings(storage=Storage(url=url, replicas=[url]))) as app:
        store = app.application.composition.service.store
        assert store.replicas is not None
        await store.replicas.look()
        assert store.replicas.choose() is None


def test_sqlite_has_no_replicas(tmp_path: Path) -> None:
    kept = Storage(url=f"sqlite:{tmp_path}/a.sqlite", replicas=["postgresql://127.0.0.1/a"])
    with pytest.raises(ValueError, match=r"storage\.replicas: only a PostgreSQL database has replicas"):
        make_store(kept)


async def _until_used(both: Halves, used: bool) -> None:
    deadline = time.monotonic() + SECONDS
    while (both.replicas.choose() is not None) is not used:
        assert time.monotonic() < deadline, f"the replica is still {'not ' if used else ''}used"
        await asyncio.sleep(0.1)
        await both.replicas.look()


async def test_what_was_acknowledged_survives_the_primary(doomed_pair: Pair) -> None:
    """With synchronous replication. The server goes on with the standby when it is promoted."""
    pair = doomed_pair
    database = pair.primary.create_database().rpartition("/")[2]
    pair.wait_until_replayed()
    # After the copy was made: the standby, promoted, waits for no other.
    pair.primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    pair.primary.psql("SELECT pg_reload_conf()")
    synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
    await asyncio.to_thread(eventually, lambda: pair.primary.psql(synchronous) == "1")
    with start_kintoun(settings(pair.either(database)), workers=2) as server:
        run = Run(server.url, Load(records=10, pause=0.01))

        async def fail_over() -> None:
            await run.operations(150)
            async with failing(run.history, "the primary dies"):
                await asyncio.to_thread(pair.primary.kill9)
                await asyncio.to_thread(pair.standby.promote)
                await until_written(Client(run, "prober"))
            await run.operations(150)

        await run.go(fail_over)
        judge(run, server)
        assert "Traceback" not in server.log(), server.log()[-3000:]


async def until_written(client: Client) -> None:
    """Write until it is acknowledged."""
    deadline = time.monotonic() + SECONDS
    while True:
        reply = await client.call("PUT", client.path("r1"), client.data())
        if reply is not None and reply.status in (200, 201):
            await client.close()
            return
        assert time.monotonic() < deadline, f"the server does not find the new primary: {reply}"
        await asyncio.sleep(0.1)
