"""A backup holds one moment of a database that is being written to, and is restored into either engine."""

from __future__ import annotations

import asyncio
import gzip
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from kintoun.cli import main
from kintoun.config import migrations_of
from kintoun.operations import Refused
from kintoun.operations.backup import Backup, back_up, check
from kintoun.operations.restore import restore
from kintoun.settings import Settings
from kintoun.storage import make_store
from tests.operations.databases import ENGINES, answers, fill, fresh, served
from tests.support.inprocess import App
from tests.support.postgres import Postgres

PAIRS = 25
"""Records that are always written two at a time."""


def quiet(_table: str, _rows: int) -> None:
    """No progress to show."""


async def restored(settings: Settings, path: Path, **options: bool) -> Backup:
    return await restore(settings, migrations_of(settings.features), path, quiet, **options)


@pytest.mark.parametrize("target_engine", ENGINES)
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_restored_backup_gives_the_same_answers(
    engine: str, target_engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    source, target = fresh(engine, tmp_path, postgres), fresh(target_engine, tmp_path, postgres)
    path = tmp_path / "backup"
    async with served(source) as app:
        await fill(app)
        before = await answers(app)
        made = await back_up(source, path, quiet)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it holds hashes of passwords"
        await app.ok("PUT /buckets/after")
    assert check(path, quiet).tables == made.tables
    assert made.tables["object"].rows > 20
    await restored(target, path, keep_clocks=True)
    async with served(target) as app:
        assert await answers(app) == before
        assert (await app.call("GET /buckets/after")).status_code == 403
        made_after = await app.ok("PUT /buckets/b/collections/c/records/new", {"data": {}})
        newest = int((before["alice /buckets/b/collections/c/records"][1]).strip('"'))
        assert made_after["data"]["last_modified"] > newest


@pytest.mark.parametrize("engine", ENGINES)
async def test_clocks_go_on_after_a_restore(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    source, target = fresh(engine, tmp_path, postgres), fresh(engine, tmp_path, postgres)
    path = tmp_path / "backup"
    records = "/buckets/b/collections/c/records"
    async with served(source) as app:
        await fill(app)
        await back_up(source, path, quiet)
        lost = await app.ok(f"PUT {records}/lost", {"data": {}})
        seen = (await app.call(f"GET {records}")).headers["ETag"]
    await restored(target, path)
    async with served(target) as app:
        answer = await app.call(f"GET {records}", headers={"If-None-Match": seen})
        assert answer.status_code == 200, "what the client has seen is not what is there"
        assert int(answer.headers["ETag"].strip('"')) > lost["data"]["last_modified"]
        assert len(answer.json()["data"]) == 16
        assert (await app.call(f"GET {records}?_since={seen}")).status_code == 410
        assert (await app.call(f"GET {records}?_since={answer.headers['ETag']}")).json() == {"data": []}


@pytest.mark.parametrize("engine", ENGINES)
async def test_lists_of_the_past_are_restored_too(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    source, target = (with_history(fresh(engine, tmp_path, postgres)) for _ in range(2))
    path, records = tmp_path / "backup", "/buckets/b/collections/c/records"
    async with served(source) as app:
        await app.ok("PUT /buckets/b")
        await app.ok("PUT /buckets/b/collections/c")
        at = (await app.ok(f"PUT {records}/r", {"data": {"n": 1}}))["data"]["last_modified"]
        await app.ok(f"PUT {records}/r", {"data": {"n": 2}})
        entries = await app.ok("GET /buckets/b/history")
        await back_up(source, path, quiet)
    await restored(target, path)
    async with served(target) as app:
        assert [each["n"] for each in (await app.ok(f"GET {records}?_at={at}"))["data"]] == [1]
        assert await app.ok("GET /buckets/b/history") == entries


def with_history(settings: Settings) -> Settings:
    return replace(settings, features=[*settings.features, "history"])


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_backup_under_writes_is_one_moment(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    source = fresh(engine, tmp_path, postgres)
    target = fresh("postgresql" if engine == "sqlite" else "sqlite", tmp_path, postgres)
    async with served(source) as app:
        for path in ("/buckets/b", "/buckets/b/collections/one", "/buckets/b/collections/two"):
            await app.ok(f"PUT {path}")
        writers = [asyncio.create_task(write_pairs(app, number)) for number in range(4)]
        paths = []
        try:
            for number in range(3):
                await until_written(app)
                paths.append(tmp_path / f"backup-{number}")
                await back_up(source, paths[-1], quiet)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
    seen = []
    for path in paths:
        await restored(target, path, force=True, keep_clocks=True)
        async with served(target) as app:
            seen.append(await consistent(app))
    assert seen == sorted(seen), "later backups hold more"
    assert seen[0] < seen[-1]


async def write_pairs(app: App, writer: int) -> None:
    n = 0
    while True:
        n += 1
        body = {"data": {"n": n, "filling": "x" * 200}}
        name = f"w{writer}-{n % PAIRS}"
        paths = [f"/buckets/b/collections/{each}/records/{name}" for each in ("one", "two")]
        method = "DELETE" if n % 7 == 0 and n > PAIRS else "PUT"
        requests = [
            {"method": method, "path": path, "body": body if method == "PUT" else {}} for path in paths
        ]
        done = await app.ok("POST /batch", {"requests": requests})
        assert {answer["status"] for answer in done["responses"]} <= {200, 201, 404}


async def until_written(app: App) -> None:
    """Wait until more was written than a backup's beginning can have missed."""
    path = "/buckets/b/collections/one/records"
    start = await version(app, path)
    async with asyncio.timeout(60):
        while await version(app, path) < start + 40:
            await app.call(f"HEAD {path}")


async def version(app: App, path: str) -> int:
    """How often a list has changed."""
    fetch = app.application.composition.service.store.fetch
    return int((await fetch("SELECT version FROM clock WHERE path = $1", (path,)))[0][0])


async def consistent(app: App) -> int:
    """No half batch, and counters that are those of the objects; returns the version of the first list."""
    contents = []
    for name in ("one", "two"):
        path = f"/buckets/b/collections/{name}/records"
        listed = await app.ok(f"GET {path}?_since=0")
        contents.append({each["id"]: each.get("n", "deleted") for each in listed["data"]})
        total = (await app.call(f"HEAD {path}")).headers["Total-Objects"]
        assert int(total) == sum(value != "deleted" for value in contents[-1].values())
    assert contents[0] == contents[1], "a batch wrote both"
    assert contents[0]
    fetch = app.application.composition.service.store.fetch
    path = "/buckets/b/collections/one/records"
    rows = await fetch("SELECT version, ts, list FROM clock WHERE path = $1", (path,))
    newest = await fetch("SELECT max(ts) FROM object WHERE list = $1", (rows[0][2],))
    assert rows[0][1] == newest[0][0]
    return int(rows[0][0])


@pytest.mark.parametrize("engine", ENGINES)
async def test_only_an_empty_database_is_written_without_force(
    engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    source, target = fresh("sqlite", tmp_path, postgres), fresh(engine, tmp_path, postgres)
    path = tmp_path / "backup"
    async with served(source) as app:
        await fill(app)
        before = await answers(app)
        await back_up(source, path, quiet)
    async with served(target) as app:
        await app.ok("PUT /buckets/mine", {"data": {"n": 1}})
    with pytest.raises(Refused, match="--force"):
        await restored(target, path)
    async with served(target) as app:
        assert (await app.ok("GET /buckets/mine"))["data"]["n"] == 1
    await restored(target, path, force=True, keep_clocks=True)
    async with served(target) as app:
        assert await answers(app) == before
        assert (await app.call("GET /buckets/mine")).status_code == 403


async def test_a_file_that_is_not_whole_is_refused_by_name(tmp_path: Path, postgres: Postgres) -> None:
    source, target = fresh("sqlite", tmp_path, postgres), fresh("sqlite", tmp_path, postgres)
    path = tmp_path / "backup"
    async with served(source) as app:
        await fill(app)
        await back_up(source, path, quiet)
    whole = path.read_bytes()
    plain = gzip.decompress(whole)
    damaged = {
        "empty": b"",
        "no backup": b"something else",
        "another file": gzip.compress(b'{"data": []}\n'),
        "half": whole[: len(whole) // 2],
        "without its end": whole[:-1],
        "flipped": whole[:400] + bytes([whole[400] ^ 1]) + whole[401:],
        "a line less": gzip.compress(b"".join(plain.splitlines(True)[:-1])),
        "half a line": gzip.compress(plain[: len(plain) // 2]),
        "changed": gzip.compress(plain.replace(b'\\"n\\":3', b'\\"n\\":4', 1)),
        "a table less": gzip.compress(without_table(plain, b"member")),
        "a row less": gzip.compress(without_row(plain)),
        "more": whole + gzip.compress(b"more\n"),
        "of the future": gzip.compress(plain.replace(b'"format":1', b'"format":99', 1)),
    }
    assert plain != gzip.decompress(damaged["changed"])
    for name, content in damaged.items():
        broken = tmp_path / f"broken {name}"
        broken.write_bytes(content)
        with pytest.raises(Refused, match=f"broken {name}"):
            await restored(target, broken)
    with pytest.raises(Refused, match="missing"):
        await restored(target, tmp_path / "missing")
    store = make_store(target.storage)
    await store.open()
    assert await store.engine.schema_version() == 0, "nothing was touched"
    await store.close()


def without_table(plain: bytes, name: bytes) -> bytes:
    lines = plain.splitlines(True)
    start = next(n for n, line in enumerate(lines) if line.startswith(b'{"table":"' + name))
    end = next(n for n, line in enumerate(lines) if n > start and line.startswith(b'{"rows"'))
    return b"".join(lines[:start] + lines[end + 1 :])


def without_row(plain: bytes) -> bytes:
    lines = plain.splitlines(True)
    row = next(n for n, line in enumerate(lines) if line.startswith(b"["))
    return b"".join(lines[:row] + lines[row + 1 :])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_commands(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    runner = CliRunner()
    file = tmp_path / "kept.backup"

    def run(number: int, *arguments: str) -> tuple[int, str]:
        url = postgres_urls[number] if engine == "postgresql" else f"sqlite:{tmp_path / str(number)}.sqlite"
        config = tmp_path / f"{number}.toml"
        config.write_text(f'features = ["accounts"]\n[storage]\nurl = "{url}"\n', encoding="utf-8")
        done = runner.invoke(main, [*arguments, "--config", str(config)])
        return done.exit_code, done.output

    postgres_urls = [postgres.create_database() for _ in range(2)] if engine == "postgresql" else []
    assert run(0, "backup", str(file))[0] == 1, "there is nothing to back up yet"
    assert run(0, "user", "create", "ann", "--password", "secret")[0] == 0
    code, output = run(0, "backup", str(file))
    assert (code, "found whole" in output) == (0, True), output
    assert run(0, "backup", str(file))[0] == 1, "the file is there already"
    assert run(0, "backup", str(file), "--force")[0] == 0
    code, output = run(1, "restore", str(file), "--check")
    assert (code, "whole" in output) == (0, True), output
    code, output = run(1, "restore", str(file))
    assert (code, "Restored" in output) == (0, True), output
    code, output = run(1, "restore", str(file))
    assert (code, "--force" in output) == (1, True), output
    assert sorted(p.name for p in tmp_path.glob("*unfinished*")) == []
