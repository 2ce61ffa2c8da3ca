"""Leases: one worker of all has one, until it gives it back, or is gone for as long as the lease lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kintoun.settings import Storage
from kintoun.storage import Store, open_store
from kintoun.storage.leases import Lease
from tests.support.postgres import Postgres

ENGINES = ("sqlite", "postgresql")
LONG = 3600.0
RENEWED = 6.0


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'leases.sqlite'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create_database()


@asynccontextmanager
async def workers(url: str, count: int = 2) -> AsyncIterator[list[Store]]:
    """Stores as several worker processes have them."""
    stores = [await open_store(Storage(url=url, durability="normal", pool_size=4)) for _ in range(count)]
    try:
        await stores[0].migrate()
        yield stores
    finally:
        for store in stores:
            await store.close()


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait until something is so, for a minute at the most."""
    for _ in range(1200):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to be in a minute")


async def test_one_of_many_has_it(url: str) -> None:
    async with workers(url) as (one, other):
        leases = [Lease(store, "work", f"w{n}", LONG) for n, store in enumerate([one, other] * 4)]
        assert sum(await asyncio.gather(*(lease.acquire() for lease in leases))) == 1
        [holder] = await one.fetch("SELECT holder FROM lease")
        mine = next(lease for lease in leases if lease.holder == holder[0])
        assert await mine.acquire(), "its holder renews it"
        assert await Lease(other, "another", "w9", LONG).acquire(), "another name is another lease"
        for lease in leases:
            await lease.release()  # of those who do not hold it, only the holder's counts
            assert await one.fetch("SELECT 1 FROM lease WHERE name = 'work'") == [] or lease is not mine
        assert await leases[-1].acquire()


async def test_it_passes_on_when_its_holder_is_gone(url: str) -> None:
    """A holder that was killed neither renews nor releases."""
    async with workers(url) as (one, other):
        assert await Lease(one, "work", "killed", LONG).acquire()
        heir = Lease(other, "work", "heir", LONG)
        assert not await heir.acquire()
        await other.transact(lambda t: t.fetch("UPDATE lease SET expires = expires - 3600001"))
        assert await heir.acquire()
        assert not await Lease(one, "work", "killed", LONG).acquire()


async def test_it_is_for_as_long_as_it_says(url: str) -> None:
    async with workers(url) as (one, other):
        assert await Lease(one, "work", "killed", 0.5).acquire()
        await until(Lease(other, "work", "heir", LONG).acquire)


async def test_it_is_renewed_while_the_work_goes_on_and_passes_on_at_its_end(url: str) -> None:
    async with workers(url) as (one, other):
        log: list[str] = []
        enough = asyncio.Event()

        async def work(name: str) -> None:
            log.append(f"{name} begins")
            await enough.wait()
            log.append(f"{name} ends")

        leading = [
            asyncio.create_task(Lease(store, "work", name, RENEWED).lead(lambda name=name: work(name)))
            for name, store in (("a", one), ("b", other))
        ]
        seen: set[int] = set()

        async def renewed() -> bool:
            seen.update(row[0] for row in await one.fetch("SELECT expires FROM lease"))
            return len(seen) > 1

        await until(renewed)
        assert len(log) == 1
        enough.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*leading)
        first = log[0][0]
        second = "b" if first == "a" else "a"
        assert log == [f"{first} begins", f"{first} ends", f"{second} begins", f"{second} ends"]
        assert await one.fetch("SELECT 1 FROM lease") == []


async def test_work_stops_when_the_lease_is_lost(url: str) -> None:
    async with workers(url) as (one, other):
        stopped = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        leading = asyncio.create_task(Lease(one, "work", "suspended", RENEWED).lead(work))
        await until(lambda: one.fetch("SELECT 1 FROM lease"))
        taken = "UPDATE lease SET holder = 'somebody else', expires = expires + 3600000"
        await other.transact(lambda t: t.fetch(taken))
        async with asyncio.timeout(60):
            await leading
        assert stopped.is_set()
        assert [row[0] for row in await one.fetch("SELECT holder FROM lease")] == ["somebody else"]


async def test_what_the_work_raises_is_raised(url: str) -> None:
    async def work() -> None:
        raise LookupError("of the work")

    async with workers(url, 1) as (store,):
        with pytest.raises(LookupError, match="of the work"):
            await Lease(store, "work", "a", LONG).lead(work)
        assert await store.fetch("SELECT 1 FROM lease") == []
