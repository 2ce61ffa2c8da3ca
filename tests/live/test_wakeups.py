"""Whoever subscribes hears of every commit: of this process, of others, and after the listener was lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from kintoun.model.kinds import BUCKET
from kintoun.model.paths import BUCKETS
from kintoun.model.paths import Path as ObjectPath
from kintoun.settings import Storage
from kintoun.storage import Store, listening, make_store
from kintoun.storage.needs import Needs
from kintoun.storage.unit import Unit
from tests.support.inprocess import Databases
from tests.support.postgres import Postgres

SECONDS = 60.0
ROOT = str(BUCKETS)


class Put:
    """A write of one bucket."""

    def __init__(self, name: str) -> None:
        self.path = ObjectPath(BUCKET, (name,))
        self.needs = Needs((BUCKETS, *self.path.children), (), (self.path,), ())

    async def run(self, unit: Unit) -> None:
        await unit.put(self.path, {}, "{}")


class Ear:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[frozenset[str] | None] = []

    def __call__(self, paths: Collection[str] | None) -> None:
        self.heard.append(None if paths is None else frozenset(paths))

    def knows(self, path: str) -> bool:
        return any(paths is not None and path in paths for paths in self.heard)


@asynccontextmanager
async def opened(url: str, **more: Any) -> AsyncIterator[Store]:
    store = make_store(Storage(url=url, durability="normal", pool_size=4, timeout_seconds=5, **more))
    await store.open()
    await store.migrate()
    try:
        yield store
    finally:
        await store.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def pair(engine: str, databases: Databases) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes' stores of one database, as far as they can tell."""
    url = databases.url(engine)
    async with opened(url) as one, opened(url) as other:
        yield one, other


@pytest.mark.asyncio
async def test_own_commits_are_heard_before_they_are_answered(pair: tuple[Store, Store]) -> None:
    ear = Ear()
    pair[0].wakeups.subscribe(ear)
    await pair[0].write(Put("a"))
    assert ear.knows(ROOT)
    assert ear.knows("/buckets/a/collections")


@pytest.mark.asyncio
async def test_what_is_taken_back_is_not_heard(pair: tuple[Store, Store]) -> None:
    class Failing(Put):
        async def run(self, unit: Unit) -> None:
            await super().run(unit)
            raise ValueError("of the test")

    ear = Ear()
    pair[0].wakeups.subscribe(ear)
    with pytest.raises(ValueError, match="of the test"):
        await pair[0].write(Failing("a"))
    assert not ear.knows(ROOT)


@pytest.mark.asyncio
async def test_commits_of_others_are_heard(pair: tuple[Store, Store]) -> None:
    one, other = pair
    ear = Ear()
    one.wakeups.subscribe(ear, lambda: [ROOT])
    other.wakeups.subscribe(Ear())  # who tells others is who is told itself
    await until(lambda: ear.knows(ROOT))  # it is told of the state that it finds
    for n in range(5):
        ear.heard.clear()
        await other.write(Put(f"b{n}"))
        await until(lambda: ear.knows(ROOT))


@pytest.mark.asyncio
async def test_what_nobody_announces_is_found(
    pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LOOK_SECONDS", 0.05)
    one, other = pair
    ear = Ear()
    one.wakeups.subscribe(ear, lambda: [ROOT])
    await until(lambda: ear.knows(ROOT))
    ear.heard.clear()
    await other.write(Put("silent"))
    await until(lambda: ear.knows(ROOT))


@pytest.mark.asyncio
async def test_nobody_is_called_for_what_did_not_move(
    pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LOOK_SECONDS", 0.05)
    one, other = pair
    ear = Ear()
    one.wakeups.subscribe(ear, lambda: ["/buckets/quiet/collections", ROOT])
    await until(lambda: ear.knows(ROOT))
    ear.heard.clear()
    await other.write(Put("loud"))
    await until(lambda: ear.knows(ROOT))
    assert not ear.knows("/buckets/quiet/collections")


@pytest.mark.asyncio
async def test_who_left_is_not_called(pair: tuple[Store, Store]) -> None:
    ear = Ear()
    leave = pair[0].wakeups.subscribe(ear)
    leave()
    leave()
    ear.heard.clear()
    await pair[0].write(Put("a"))
    assert ear.heard == []


@pytest.mark.asyncio
async def test_a_subscriber_that_fails_keeps_nobody_from_hearing(pair: tuple[Store, Store]) -> None:
    def broken(paths: Collection[str] | None) -> None:
        raise RuntimeError("of the test")

    ear = Ear()
    pair[0].wakeups.subscribe(broken)
    pair[0].wakeups.subscribe(ear)
    await pair[0].write(Put("a"))
    assert ear.knows(ROOT)


# PostgreSQL alone


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server that can be restarted without anybody else's harm."""
    with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as server:
        yield server


@pytest.mark.asyncio
async def test_a_listener_that_is_killed_is_replaced(own_postgres: Postgres) -> None:
    url = own_postgres.create_database()
    async with opened(url) as one, opened(url) as other:
        ear, all_ears = Ear(), Ear()
        one.wakeups.subscribe(ear, lambda: [ROOT])
        one.wakeups.subscribe(all_ears)
        other.wakeups.subscribe(Ear())
        await until(lambda: one.wakeups.lost)
        for round_ in range(3):
            own_postgres.psql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                f" WHERE datname = '{url.rpartition('/')[2]}'"
            )
            ear.heard.clear()
            all_ears.heard.clear()
            await other.write(Put(f"r{round_}"))
            await until(lambda: ear.knows(ROOT))
            await until(lambda: None in all_ears.heard)


@pytest.mark.asyncio
async def test_a_restart_of_postgresql_loses_nothing(own_postgres: Postgres) -> None:
    url = own_postgres.create_database()
    async with opened(url) as one, opened(url) as other:
        ear = Ear()
        one.wakeups.subscribe(ear, lambda: [ROOT])
        other.wakeups.subscribe(Ear())
        await until(lambda: ear.knows(ROOT))
        await asyncio.to_thread(own_postgres.kill9)
        await asyncio.to_thread(own_postgres.restart)
        ear.heard.clear()
        await other.write(Put("after"))
        await until(lambda: ear.knows(ROOT))


@pytest.mark.asyncio
async def test_more_lists_than_fit_are_told_as_any(own_postgres: Postgres) -> None:
    url = own_postgres.create_database()
    async with opened(url) as one, opened(url) as other:
        ear = Ear()
        one.wakeups.subscribe(ear, list)
        other.wakeups.subscribe(Ear())
        await until(lambda: one.wakeups.lost and other.wakeups.lost)
        other.wakeups._hints.announce([f"/buckets/{n}{'x' * 500}/collections" for n in range(1000)])
        await until(lambda: None in ear.heard)
        other.wakeups._hints.announce([f"/buckets/{n}{'x' * 500}/collections" for n in range(30)])
        await until(lambda: ear.knows(f"/buckets/29{'x' * 500}/collections"))


@pytest.mark.asyncio
async def test_the_listener_has_a_way_of_its_own(own_postgres: Postgres) -> None:
    url = own_postgres.create_database()
    own_postgres.psql("CREATE ROLE direct SUPERUSER LOGIN")
    async with opened(url, listener_url=url.replace("postgres@", "direct@")) as store:
        store.wakeups.subscribe(Ear())
        await until(lambda: store.wakeups.lost)
        assert own_postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'direct'") == "1"
