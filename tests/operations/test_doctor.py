"""Everything that can be wrong with a database is broken by SQL, found, and put right where that is safe."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from kintoun.cli import main
from kintoun.operations import Refused
from kintoun.operations.doctor import Examination, examine
from kintoun.operations.doctor.findings import Finding
from kintoun.settings import Index, Settings
from kintoun.storage import open_store
from kintoun.storage.engine import Transaction
from kintoun.storage.reclaiming import reclaim
from tests.operations.databases import ENGINES, answers, fill, fresh, served
from tests.support.postgres import Postgres

LIST = "(SELECT list FROM clock WHERE path = '/buckets/b/collections/c/records')"
GROUPS = "(SELECT list FROM clock WHERE path = '/buckets/b/groups')"
STRAY = (
    "INSERT INTO object (list, id, ts, deleted, body, grants, acl)"
    " SELECT 99, id, ts, deleted, body, grants, acl FROM object WHERE id = 'r1'"
)
CLOCK = "UPDATE clock SET {} WHERE path = '/buckets/b/collections/c/records'"


@dataclass(frozen=True)
class Fault:
    """Something that is broken, the check that finds it, and a part of what is said of it."""

    name: str
    statements: tuple[str, ...]
    check: str
    said: str
    level: str = "error"
    repaired: bool = False
    engine: str | None = None
    group: int = 1
    """Faults of one group do not hide one another, and are made at once."""


FAULTS = (
    Fault("live", (CLOCK.format("live = live + 1"),), "clocks", "counts 17 live", repaired=True),
    Fault("dead", (CLOCK.format("dead = 0"),), "clocks", "0 tombstones", repaired=True),
    Fault("bytes", (CLOCK.format("bytes = 1"),), "clocks", "1 bytes", repaired=True),
    Fault(
        "behind", (CLOCK.format("ts = 1500000000000"),), "clocks", "an object is at", repaired=True, group=2
    ),
    Fault("watermark", (CLOCK.format("watermark = ts + 1"),), "clocks", "the watermark", repaired=True),
    Fault("ahead", (CLOCK.format("ts = ts + 3600000"),), "time", "ahead of this machine", "warning", group=3),
    Fault(
        "no list",
        ("UPDATE clock SET list = NULL WHERE path = '/buckets/x/groups'",),
        "parents",
        "/buckets/x/groups: the list is missing",
        repaired=True,
    ),
    Fault(
        "no clock",
        ("DELETE FROM clock WHERE path = '/buckets/x/collections'",),
        "parents",
        "/buckets/x/collections: the list is missing",
        repaired=True,
    ),
    Fault(
        "no parent",
        ("UPDATE clock SET list = 7 WHERE path = '/buckets/b/collections/gone/records'",),
        "parents",
        "gone/records: the list is there, and its parent is not",
        group=2,
    ),
    Fault("no list of objects", (STRAY,), "orphans", "1 objects stand in no list", repaired=True),
    Fault(
        "used and unlinked",
        (f"INSERT INTO unlinked (list) VALUES ({LIST})",),
        "orphans",
        "waits to be reclaimed",
        group=2,
    ),
    Fault(
        "backlog",
        ("INSERT INTO unlinked (list) VALUES (5)",),
        "orphans",
        "1 lists of deleted parents",
        "note",
        group=3,
    ),
    Fault(
        "entries",
        ("DELETE FROM acl_entry WHERE principal = 'account:bob'",),
        "permissions",
        "not found by those whom they name",
        repaired=True,
    ),
    Fault(
        "mixed",
        ("UPDATE object SET grants = '{\"read\":[\"x\"]}' WHERE id = 'r1'",),
        "permissions",
        "under the permissions of others",
        group=2,
    ),
    Fault(
        "unreadable",
        ("UPDATE object SET grants = '[' WHERE id = 'shared'",),
        "permissions",
        "cannot be read",
        group=3,
    ),
    Fault(
        "no group",
        (f"INSERT INTO member (principal, list, id) VALUES ('x', {GROUPS}, 'none')",),
        "members",
        "'none' that is not there",
        repaired=True,
    ),
    Fault(
        "member missing",
        ("DELETE FROM member WHERE principal = 'account:ann'",),
        "members",
        "has 2 members, 1 of them are found",
        repaired=True,
    ),
    Fault(
        "member too many",
        (f"INSERT INTO member (principal, list, id) VALUES ('x', {GROUPS}, 'g')",),
        "members",
        "and 1 others",
        repaired=True,
    ),
    Fault(
        "no json",
        (f"UPDATE object SET body = '{{' WHERE id = 'r1' AND list = {LIST}",),
        "objects",
        "/r1: is no JSON",
        group=3,
    ),
    Fault(
        "another id",
        ("UPDATE object SET body = '{\"id\":\"r2\"}' WHERE id = 'r1'",),
        "objects",
        "says that it is 'r2'",
        group=2,
    ),
    Fault(
        "full tombstone",
        ("UPDATE object SET deleted = 1 WHERE id = 'r1'",),
        "objects",
        "is a tombstone, and has",
        group=4,
    ),
    Fault("index", ("DROP INDEX object_acl",), "indexes", "'object_acl' is missing"),
    Fault("table", ("DROP TABLE member",), "schema", "the table 'member' is missing", group=5),
    Fault(
        "older",
        ("DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version)",),
        "schema",
        "run `kintoun migrate`",
        group=6,
    ),
    Fault(
        "not finished",
        ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'object_acl'::regclass",),
        "indexes",
        "was not finished",
        engine="postgresql",
        group=4,
    ),
)


async def broken(settings: Settings, *statements: str) -> None:
    store = await open_store(settings.storage)

    async def run(transaction: Transaction) -> None:
        for sql in statements:
            await transaction.fetch(sql)

    try:
        await store.transact(run)
    finally:
        await store.close()


def matching(result: Examination, fault: Fault) -> list[Finding]:
    return [
        f
        for f in result.findings
        if (f.check, f.level) == (fault.check, fault.level) and fault.said in f.message
    ]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_sound_database_has_no_errors(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    settings = fresh(engine, tmp_path, postgres)
    with pytest.raises(Refused, match="empty"):
        await examine(settings)
    async with served(settings) as app:
        await fill(app)
        result = await examine(settings)
    assert result.healthy
    assert {finding.level for finding in result.findings} <= {"warning", "note"}
    assert {finding.check for finding in result.findings} <= {
        "configuration",
        "engine",
        "permissions",
        "orphans",
    }


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_fault_is_found(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    template = fresh(engine, tmp_path, postgres)
    async with served(template) as app:
        await fill(app)
        await reclaim(app.application.composition.service.store)
    sound = await examine(template)
    faults = [fault for fault in FAULTS if fault.engine in (None, engine)]
    for number in sorted({fault.group for fault in faults}):
        group = [fault for fault in faults if fault.group == number]
        settings = copied(template, tmp_path / "copy.sqlite", postgres)
        await broken(settings, *(sql for fault in group for sql in fault.statements))
        result = await examine(settings)
        for fault in group:
            assert not matching(sound, fault), f"{fault.name}: before it is broken"
            assert matching(result, fault), f"{fault.name}: {[f.message for f in result.findings]}"
        assert not result.healthy


def copied(template: Settings, file: Path, postgres: Postgres) -> Settings:
    """Settings for a copy of a database that nobody has open."""
    url = template.storage.url
    if url.startswith("sqlite:"):
        for left in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            left.unlink(missing_ok=True)
        file.write_bytes(Path(url.removeprefix("sqlite:")).read_bytes())
        return replace(template, storage=replace(template.storage, url=f"sqlite:{file}"))
    name = f"copy_{time.monotonic_ns()}"
    postgres.psql(f'CREATE DATABASE "{name}" TEMPLATE "{url.rpartition("/")[2]}"')
    return replace(template, storage=replace(template.storage, url=postgres.database_uri(name)))


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_can_be_put_right_is(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    settings = fresh(engine, tmp_path, postgres)
    faults = [fault for fault in FAULTS if fault.repaired]
    async with served(settings) as app:
        await fill(app)
        before = await answers(app)
    await broken(settings, *(sql for fault in faults if fault.name != "behind" for sql in fault.statements))
    async with served(settings) as app:
        result = await examine(settings, repair=True)
        assert result.healthy, [finding.message for finding in result.findings]
        assert len(result.repaired) >= len(faults) - 3
        assert await answers(app) == before
        await app.ok("PUT /buckets/x/collections/c")
        await app.ok("PUT /buckets/x/groups/g", {"data": {"members": []}})
        again = await examine(settings, repair=True)
        assert again.healthy
        assert not again.repaired


async def test_a_clock_that_is_behind_is_put_right(tmp_path: Path, postgres: Postgres) -> None:
    for engine in ENGINES:
        settings = fresh(engine, tmp_path, postgres)
        async with served(settings) as app:
            await fill(app)
            before = await answers(app)
            await broken(settings, CLOCK.format("ts = 1500000000000"))
            assert (await examine(settings, repair=True)).healthy
            after = await answers(app)
            records = "alice /buckets/b/collections/c/records"
            assert after[records] == before[records]


async def test_the_settings_of_the_engine_are_looked_at(tmp_path: Path, postgres: Postgres) -> None:
    settings = fresh("postgresql", tmp_path, postgres)
    many = replace(settings, storage=replace(settings.storage, pool_size=900))
    field = Index(bucket="b", collection="c", field="n")
    async with served(settings):
        name = settings.storage.url.rpartition("/")[2]
        postgres.psql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        said = [finding.message for finding in (await examine(many)).findings]
        assert any("synchronous_commit is off" in message for message in said)
        assert any("900 connections" in message for message in said)
        indexed = replace(settings, storage=replace(settings.storage, indexes=[field]))
        assert any("field 'n'" in finding.message for finding in (await examine(indexed)).findings)
    lite = fresh("sqlite", tmp_path, postgres)
    file = Path(lite.storage.url.removeprefix("sqlite:"))
    async with served(lite):
        file.chmod(0o644)  # noqa: ASYNC240
        said = [finding.message for finding in (await examine(lite)).findings]
        assert any("durability is `normal`" in message for message in said)
        assert any("hashes of passwords" in message for message in said)
        file.chmod(0o600)  # noqa: ASYNC240
        said = [finding.message for finding in (await examine(lite)).findings]
        assert not any("hashes of passwords" in message for message in said)


async def test_a_database_of_the_future_is_not_examined(tmp_path: Path, postgres: Postgres) -> None:
    for engine in ENGINES:
        settings = fresh(engine, tmp_path, postgres)
        async with served(settings):
            pass
        await broken(settings, "INSERT INTO schema_version (version) VALUES (9999)")
        with pytest.raises(Refused, match="9999"):
            await examine(settings)


async def test_the_command(tmp_path: Path, postgres: Postgres) -> None:
    settings = fresh("sqlite", tmp_path, postgres)
    config = tmp_path / "kintoun.toml"
    config.write_text(f'[storage]\nurl = "{settings.storage.url}"\n', encoding="utf-8")
    async with served(settings) as app:
        await fill(app)
    await broken(settings, CLOCK.format("live = 0"))

    def run(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["doctor", "-c", str(config), *options])
        return result.exit_code, result.stdout

    code, output = await asyncio.to_thread(run, "--json")
    document = json.loads(output)
    assert (code, document["healthy"]) == (1, False)
    assert [each for each in document["findings"] if each["check"] == "clocks" and each["repairable"]]
    code, output = await asyncio.to_thread(run)
    assert (code, "--repair puts it right" in output) == (1, True)
    code, output = await asyncio.to_thread(run, "--repair")
    assert (code, "repaired" in output, "0 errors" in output) == (0, True, True)
