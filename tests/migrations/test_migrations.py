"""Databases of every version are brought to the present one, and give the answers that they gave."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from kintoun.cli import main
from kintoun.config import feature, feature_names
from kintoun.operations.doctor import examine
from kintoun.settings import Settings
from kintoun.storage import open_store, schema
from kintoun.storage.engine import Steps, Transaction
from tests.migrations.make import ENGINES, answers_of, script_of, settings_of
from tests.operations.databases import answers, fresh, served
from tests.support.inprocess import App
from tests.support.postgres import Postgres

VERSIONS = sorted(
    int(re.findall(r"\d+", file.name)[0]) for file in Path(__file__).parent.glob("schema-*.json")
)

NEXT_STEP = (
    "ALTER TABLE clock ADD COLUMN colour {text} NOT NULL DEFAULT 'red'",
    "ALTER TABLE object ADD COLUMN colour {text}",
    "ALTER TABLE acl_entry ADD COLUMN colour {int} NOT NULL DEFAULT 0",
    "ALTER TABLE member ADD COLUMN colour {int} NOT NULL DEFAULT 0",
    "ALTER TABLE unlinked ADD COLUMN colour {int} NOT NULL DEFAULT 0",
    "ALTER TABLE nonce ADD COLUMN colour {int} NOT NULL DEFAULT 0",
    "CREATE TABLE colour (id {text} NOT NULL PRIMARY KEY)",
    "CREATE INDEX object_colour ON object (list, colour)",
)
"""A step as a later version may have: it does to every table what steps may do."""


async def loaded(version: int, engine: str, directory: Path, postgres: Postgres) -> Settings:
    """Settings for a database of a version."""
    settings = settings_of(fresh(engine, directory, postgres).storage.url)
    url = settings.storage.url
    script = script_of(version, engine).read_text(encoding="utf-8")
    if engine == "sqlite":
        connection = sqlite3.connect(url.removeprefix("sqlite:"))
        connection.executescript(script)
        connection.close()
    else:
        connection = await asyncpg.connect(url)
        await connection.execute(script)
        await connection.close()
    return settings


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_old_database_keeps_its_answers(
    version: int, engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    settings = await loaded(version, engine, tmp_path, postgres)
    given = {key: tuple(answer) for key, answer in json.loads(answers_of(version).read_text("utf-8")).items()}
    assert len(given) > 30
    for _ in range(2):  # to migrate again is to do nothing
        async with served(settings) as app:
            assert await app.application.composition.service.store.engine.schema_version() == len(
                schema.STEPS
            )
            assert steady(await answers(app)) == steady(given)
    result = await examine(settings)
    assert result.healthy, [finding.message for finding in result.findings]
    async with served(settings) as app:
        made = await app.ok("PUT /buckets/b/collections/c/records/new", {"data": {"n": 1}})
        etag = given["alice /buckets/b/collections/c/records"][1]
        assert made["data"]["last_modified"] > int(etag.strip('"'))


def steady(found: dict[str, Any]) -> dict[str, Any]:
    """The answers that do not depend on how a version presents rights to browse them."""
    return {key: answer for key, answer in found.items() if not key.endswith(" /permissions")}


@pytest.mark.parametrize("engine", ENGINES)
def test_released_steps_are_never_edited(engine: str) -> None:
    for version in VERSIONS:
        text = script_of(version, engine).read_text(encoding="utf-8")
        for number, step in schema.statements(engine, 0)[:version]:
            for sql in step:
                assert f"{sql};\n" in text, f"step {number} is not what it was in version {version}"


async def writing(app: App, stop: asyncio.Event) -> int:
    """Write and read without a pause; returns how often."""
    done = 0
    while not stop.is_set():
        done += 1
        path = f"/buckets/b/collections/c/records/w{done % 5}"
        rights = {"read": [f"user:{done}"]}
        await app.ok(f"PUT {path}", {"data": {"n": done}, "permissions": rights})
        await app.ok(f"PUT /buckets/b/groups/g{done % 3}", {"data": {"members": [f"user:{done}"]}})
        await app.ok(f"PUT /buckets/b/collections/made-{done % 3}")
        assert (await app.ok("GET /buckets/b/collections/c/records?_sort=n"))["data"]
        await app.ok(f"DELETE /buckets/b/collections/made-{done % 3}")
        if done % 2:
            await app.ok(f"DELETE {path}")
    return done


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_old_worker_goes_on_while_a_new_one_migrates(
    engine: str, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await loaded(1, engine, tmp_path, postgres)
    stop = asyncio.Event()
    async with served(settings) as old:
        before = len(schema.STEPS)
        work = asyncio.create_task(writing(old, stop))
        try:
            await old.ok("GET /buckets/b/collections/c/records")
            monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, NEXT_STEP))
            async with served(settings) as new:
                assert await new.application.composition.service.store.engine.schema_version() == before + 1
                made = await new.ok("PUT /buckets/b/collections/c/records/of-new", {"data": {"n": 0}})
                monkeypatch.undo()
                seen = await old.ok("GET /buckets/b/collections/c/records/of-new")
                assert seen["data"] == made["data"]
                await enough(old, work)
        finally:
            stop.set()
            assert await work > 2
        # What is started again, or begins anew, does so beside the newer schema.
        async with served(settings) as restarted:
            assert await answers(restarted) == await answers(old)


async def enough(app: App, work: asyncio.Task[int]) -> None:
    """Wait until some more was written."""
    fetch = app.application.composition.service.store.fetch
    sql = "SELECT version FROM clock WHERE path = '/buckets/b/collections/c/records'"
    start = (await fetch(sql))[0][0]
    async with asyncio.timeout(60):
        while not work.done() and (await fetch(sql))[0][0] < start + 10:
            await app.call("GET /buckets/b")


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_newer_database_is_served_and_said_so(
    engine: str, tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = await loaded(1, engine, tmp_path, postgres)
    store = await open_store(settings.storage)
    await store.migrate()

    async def make_newer(transaction: Transaction) -> None:
        await transaction.fetch("INSERT INTO schema_version (version) VALUES (9999)")

    await store.transact(make_newer)
    await store.close()
    capsys.readouterr()
    async with served(settings) as app:
        assert (await app.call("GET /buckets/b")).status_code == 200
    printed = capsys.readouterr()
    assert "the database is newer than this server" in printed.out + printed.err
    config = tmp_path / "kintoun.toml"
    config.write_text(f'[storage]\nurl = "{settings.storage.url}"\n', encoding="utf-8")
    done = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "-c", str(config)])
    assert done.exit_code == 0
    assert "newer" in done.output


# What steps may do


def all_steps() -> Iterator[tuple[str, Steps]]:
    yield "core", schema.STEPS
    for name in feature_names():
        if feature(name).migrations:
            yield name, feature(name).migrations


_CREATE_TABLE = re.compile(r"CREATE TABLE (\w+) \(", re.IGNORECASE)
_CREATE_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX (\w+)\s+ON (\w+) ", re.IGNORECASE)
_ADD_COLUMN = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+) \{\w+\}(.*)$", re.IGNORECASE | re.DOTALL)
_DROP_INDEX = re.compile(r"DROP INDEX (\w+)$", re.IGNORECASE)
_FILL = re.compile(r"(INSERT INTO|UPDATE) \w+ ", re.IGNORECASE)


def offences(step: Any, plain: Collection[str] = ()) -> list[str]:
    """What a step does that workers of the version before could not go on with.

    `plain` are the indexes of earlier steps that are not unique: without those they are slower, no more.
    """
    made: set[str] = set()
    wrong = []
    for sql in map(str.strip, step):
        if table := _CREATE_TABLE.match(sql):
            made.add(table[1])
        elif index := _CREATE_INDEX.match(sql):
            if index[1] and index[3] not in made:
                wrong.append(f"a unique index on a table that old workers write to: {sql}")
        elif column := _ADD_COLUMN.match(sql):
            rest = column[3].upper()
            if ("NOT NULL" in rest and "DEFAULT" not in rest) or re.search(
                r"\b(UNIQUE|REFERENCES|CHECK)\b", rest
            ):
                wrong.append(f"a column that old workers cannot fill: {sql}")
        elif not _FILL.match(sql) and not ((gone := _DROP_INDEX.match(sql)) and gone[1] in plain):
            wrong.append(f"not one of the statements that old workers can go on with: {sql}")
    return wrong


def test_steps_only_add() -> None:
    found = list(all_steps())
    assert {name for name, _ in found} >= {"core", "history"}
    for name, steps in found:
        plain: set[str] = set()
        for number, step in enumerate(steps, start=1):
            assert offences(step, plain) == [], f"{name}, step {number}"
            indexes = [_CREATE_INDEX.match(sql.strip()) for sql in step]
            plain |= {index[2] for index in indexes if index and not index[1]}


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE member",
        "DROP INDEX object_acl",
        "ALTER TABLE object DROP COLUMN acl",
        "ALTER TABLE object RENAME TO thing",
        "ALTER TABLE object RENAME COLUMN acl TO rights",
        "ALTER TABLE object ALTER COLUMN ts TYPE TEXT",
        "ALTER TABLE object ADD COLUMN colour {text} NOT NULL",
        "ALTER TABLE object ADD COLUMN colour {text} UNIQUE",
        "CREATE UNIQUE INDEX object_body ON object (body)",
        "DELETE FROM object",
    ],
)
def test_the_linter_sees_what_old_workers_cannot_go_on_with(sql: str) -> None:
    assert offences([sql], {"history_name"})
    assert not offences(["DROP INDEX history_name"], {"history_name"})
    assert not offences(NEXT_STEP)
