"""Reads that share a statement find what each would have found alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kintoun.model.kinds import GROUP, RECORD
from kintoun.model.paths import BUCKETS, ListPath, bucket_path, collection_path, group_path, record_path
from kintoun.model.permissions import acl_text
from kintoun.settings import Storage
from kintoun.storage import Store, open_store
from kintoun.storage.needs import Needs
from kintoun.storage.postgresql import PostgreSQL
from kintoun.storage.rows import Found, Unavailable, Wanted
from kintoun.storage.shared_reads import SharedReads, shareable
from kintoun.storage.unit import Unit
from tests.support.postgres import Postgres

RECORDS = ListPath(RECORD, ("b", "c"))
GROUPS = ListPath(GROUP, ("b",))


class Fill:
    needs = Needs((BUCKETS,), ("b",))

    async def run(self, unit: Unit) -> None:
        for path in (bucket_path("b"), collection_path("b", "c")):
            await unit.put(path, {}, acl_text({"write": [f"owner of {path.id}"]}))
        for n in range(30):
            await unit.put(record_path("b", "c", f"r{n}"), {"n": n}, acl_text({"read": [f"reader{n}"]}))
        await unit.delete(record_path("b", "c", "r3"))
        await unit.put(group_path("b", "g"), {"members": ["alice", "bob"]}, acl_text({}))
        await unit.put(group_path("b", "h"), {"members": ["bob"]}, acl_text({}))


QUESTIONS = [
    *(Wanted(record_path("b", "c", f"r{n}").lineage) for n in range(32)),
    Wanted(record_path("b", "c", "r1").lineage, ("alice", "system.Authenticated")),
    Wanted(record_path("b", "c", "r1").lineage, ("bob", "system.Authenticated")),
    Wanted(record_path("b", "none", "r1").lineage, ("carol", "system.Authenticated")),
    Wanted(collection_path("b", "c").lineage, clock=RECORDS),
    Wanted(bucket_path("b").lineage, ("bob",), clock=GROUPS),
    Wanted(clock=ListPath(RECORD, ("b", "none"))),
    Wanted(record_path("b", "c", "r1\n/buckets/b\nr2").lineage),
    Wanted(record_path("b\nc", "c", "r1").lineage, clock=ListPath(RECORD, ("b\nc", "c"))),
    Wanted(),
]


async def filled(url: str) -> Store:
    store = await open_store(Storage(url=url))
    await store.migrate()
    await store.write(Fill())
    return store


async def test_together_they_find_what_each_finds_alone(postgres: Postgres) -> None:
    store = await filled(postgres.create_database())
    try:
        engine = store.engine
        assert isinstance(engine, PostgreSQL)
        alone = [await engine._read(wanted) for wanted in QUESTIONS]
        together = await asyncio.gather(*(store.read(wanted) for wanted in QUESTIONS))
        for wanted, one, other in zip(QUESTIONS, alone, together, strict=True):
            assert one.points == other.points, wanted
            assert one.clock == other.clock, wanted
            assert sorted(one.groups) == sorted(other.groups), wanted
        assert alone[3].points[-1] is not None
        assert alone[3].points[-1].deleted
    finally:
        await store.close()


def test_what_a_line_break_is_in_goes_alone() -> None:
    assert shareable(QUESTIONS[0])
    assert not shareable(Wanted(record_path("b", "c", "r\nr").lineage))
    assert not shareable(Wanted(record_path("b\n", "c", "r").lineage))
    assert not shareable(Wanted(clock=ListPath(RECORD, ("b", "c\n"))))
    assert not shareable(Wanted(principals=("a\nb",)))


class Slow:
    """A database that answers when it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.alone_asked = 0
        self.together_asked = 0

    async def alone(self, wanted: Wanted) -> Found:
        self.alone_asked += 1
        await self.gate.wait()
        return Found([None] * len(wanted.points), [])

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Any]:
        self.together_asked += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return []


async def started(reads: SharedReads, count: int) -> list[asyncio.Task[Found]]:
    wanted = Wanted(record_path("b", "c", "r").lineage)
    tasks = [asyncio.ensure_future(reads.read(wanted)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_two_fly_and_the_others_go_together() -> None:
    slow = Slow()
    tasks = await started(SharedReads(slow.alone, slow.fetch), 20)
    slow.gate.set()
    await asyncio.gather(*tasks)
    assert slow.alone_asked <= 4
    assert 1 <= slow.together_asked <= 2


@pytest.mark.parametrize("cancelled", range(11))
async def test_who_gives_up_takes_nobody_along(cancelled: int) -> None:
    slow = Slow()
    reads = SharedReads(slow.alone, slow.fetch)
    tasks = await started(reads, 8)
    first = tasks[:2]
    slow.gate.set()
    await asyncio.gather(*first)
    slow.gate.clear()
    tasks += await started(reads, 3)
    tasks[cancelled].cancel()
    await asyncio.sleep(0)
    slow.gate.set()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) <= 1
    assert sum(isinstance(result, Found) for result in results) >= len(tasks) - 1
    assert reads._flying == 0


async def test_a_failure_reaches_all_who_shared_it_and_nobody_after() -> None:
    slow = Slow()
    reads = SharedReads(slow.alone, slow.fetch)
    slow.error = Unavailable("down")
    tasks = await started(reads, 6)
    slow.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [isinstance(result, Unavailable) for result in results]
    assert failed[:2] == [False, False], "these asked alone"
    assert sum(failed) >= 2
    assert all(failed[n] or isinstance(results[n], Found) for n in range(6))
    slow.error = None
    assert all(isinstance(found, Found) for found in await asyncio.gather(*await started(reads, 6)))
    assert reads._flying == 0


async def test_when_one_of_them_is_at_fault_each_gets_its_own_outcome() -> None:
    slow = Slow()
    reads = SharedReads(slow.alone, slow.fetch)
    slow.error = ValueError("one of them cannot be asked")
    tasks = await started(reads, 8)
    slow.gate.set()
    assert all(isinstance(found, Found) for found in await asyncio.gather(*tasks))
    assert slow.together_asked >= 1
    assert slow.alone_asked == 8, "the two that flew first, and each of those that were together"
    assert reads._flying == 0
