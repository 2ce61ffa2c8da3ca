"""SQLite answers from what it knows only while the database is what it was, whoever wrote to it."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path as File

import pytest

from kintoun.model.kinds import GROUP, RECORD
from kintoun.model.paths import BUCKETS, ListPath, Path, bucket_path, collection_path
from kintoun.settings import Storage
from kintoun.storage import known
from kintoun.storage.rows import Wanted
from kintoun.storage.sqlite import SQLite
from kintoun.storage.unit import Unit

RECORDS = ListPath(RECORD, ("a", "c"))


async def put(engine: SQLite, *paths: Path, **attributes: object) -> None:
    transaction = await engine.begin()
    unit = Unit(transaction)
    for path in paths:
        await unit.put(path, dict(attributes), "{}")
    await unit.finish()
    await transaction.commit()


async def delete(engine: SQLite, path: Path) -> None:
    transaction = await engine.begin()
    unit = Unit(transaction)
    await unit.delete(path)
    await unit.finish()
    await transaction.commit()


@pytest.fixture
async def engines(tmp_path: File) -> AsyncIterator[tuple[SQLite, SQLite]]:
    """Two processes' engines on one file."""
    file = str(tmp_path / "store.sqlite")
    both = (SQLite(file, Storage(url=f"sqlite:{file}")), SQLite(file, Storage(url=f"sqlite:{file}")))
    for engine in both:
        await engine.open()
        await engine.migrate({})
    await put(both[0], bucket_path("a"), collection_path("a", "c"), Path(GROUP, ("a", "g")), members=["x"])
    yield both
    for engine in both:
        await engine.close()


@pytest.mark.parametrize("writer", [0, 1])
async def test_what_is_known_ends_with_the_next_commit(engines: tuple[SQLite, SQLite], writer: int) -> None:
    reader, other = engines[0], engines[writer]
    wanted = Wanted(RECORDS.object("r").lineage, ("x",), RECORDS)
    before = await reader.read(wanted)
    assert [point is not None for point in before.points] == [True, True, False]
    assert before.groups == [("x", "/buckets/a/groups/g")]
    await put(other, RECORDS.object("r"), n=1)
    after = await reader.read(wanted)
    assert after.points[2] is not None
    assert before.clock is not None
    assert after.clock is not None
    assert after.clock.timestamp > before.clock.timestamp
    await delete(other, Path(GROUP, ("a", "g")))
    assert (await reader.read(wanted)).groups == []


async def test_an_answer_belongs_to_its_caller(engines: tuple[SQLite, SQLite]) -> None:
    wanted = Wanted(bucket_path("a").lineage, ("x",))
    found = await engines[0].read(wanted)
    found.points.pop()
    found.groups.clear()
    again = await engines[0].read(wanted)
    assert len(again.points) == 1
    assert len(again.groups) == 1


async def test_a_write_that_comes_between_two_parts_of_an_answer_is_in_all_of_it(
    engines: tuple[SQLite, SQLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lost the right to read must not get what was written after that."""
    reader, writer = engines
    await reader.read(Wanted(bucket_path("a").lineage))
    read = reader._read

    async def revoked_first(wanted: Wanted) -> object:
        monkeypatch.setattr(reader, "_read", read)
        await put(writer, bucket_path("a"), secret=True)
        await put(writer, RECORDS.object("r"), n=1)
        return await read(wanted)

    monkeypatch.setattr(reader, "_read", revoked_first)
    bucket, _, record = (await reader.read(Wanted(RECORDS.object("r").lineage))).points
    assert record is not None
    assert bucket is not None
    assert '"secret":true' in bucket.body


async def test_answers_are_those_of_the_database_after_any_history(
    engines: tuple[SQLite, SQLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "BYTES", 5000)
    monkeypatch.setattr(known, "NAMES", 1)
    dice = random.Random(20261123)
    paths = [RECORDS.object(f"r{n}") for n in range(8)]
    questions = [Wanted(path.lineage) for path in paths]
    questions += [Wanted(path.lineage, ("x", "y"), RECORDS) for path in paths]
    questions += [Wanted(clock=BUCKETS), Wanted(RECORDS.lineage, clock=RECORDS), Wanted()]
    for _ in range(400):
        engine = engines[dice.randrange(2)]
        if dice.random() < 0.25:
            await put(engine, dice.choice(paths), n=dice.randrange(9))
        wanted = dice.choice(questions)
        assert await engine.read(wanted) == await engine._read(wanted)


async def test_what_is_known_asks_the_database_nothing_but_its_version(
    engines: tuple[SQLite, SQLite],
) -> None:
    reader = engines[0]
    wanted = Wanted(RECORDS.object("r").lineage, ("x",), RECORDS)
    await reader.read(wanted)
    asked: list[str] = []
    connection = reader._reader
    assert isinstance(connection, sqlite3.Connection)
    connection.set_trace_callback(asked.append)
    await reader.read(wanted)
    await reader.read(Wanted(RECORDS.lineage))
    assert asked == ["PRAGMA data_version"] * 2


async def test_what_is_known_is_bounded_in_size_too(
    engines: tuple[SQLite, SQLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "BYTES", 10_000)
    paths = [RECORDS.object(f"r{n}") for n in range(8)]
    await put(engines[0], *paths, text="x" * 3000)
    for path in paths:
        await engines[0].read(Wanted((path,)))
        kept = engines[0]._known._objects.values()
        assert sum(len(row.body) for row in kept if row is not None) < 10_000 + 4000


async def test_a_new_file_is_nobody_elses_business(tmp_path: File) -> None:
    file = tmp_path / "new.sqlite"
    engine = SQLite(str(file), Storage(url=f"sqlite:{file}"))
    await engine.open()
    await engine.migrate({})
    try:
        modes = {entry.name: entry.stat().st_mode & 0o077 for entry in os.scandir(tmp_path)}
        assert modes == {"new.sqlite": 0, "new.sqlite-wal": 0, "new.sqlite-shm": 0}
    finally:
        await engine.close()
