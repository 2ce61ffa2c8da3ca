"""The files of a kinto-attachment are taken over, and an examination finds what is wrong with files."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kintoun.cli import main
from kintoun.files import MIGRATIONS, Files
from kintoun.files.backends.local import LocalDisk
from kintoun.files.sweeping import Sweeper
from kintoun.model import timestamps
from kintoun.settings import Storage
from kintoun.storage import Store, open_store
from tests.files.writing import make_collections, put, record
from tests.support.postgres import Postgres

UUIDS = [f"0d4d7f3e-9a52-4b7c-8a51-3f0e4a0c6f1{n}" for n in range(4)]
TREE = {f"b/c/{name}.txt": f"content {n}".encode() for n, name in enumerate(UUIDS)}
CDN = "https://cdn.example/files/"


def attachment(location: str, content: bytes, prefix: str = "") -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {
        "attachment": {
            "filename": "a.txt",
            "location": prefix + location,
            "hash": digest,
            "mimetype": "text/plain",
            "size": len(content),
        }
    }


def grow(root: Path) -> None:
    for location, content in TREE.items():
        path = root / location
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_500_000_000, 1_500_000_000))


class World:
    """A database with records, a folder with files, and a configuration."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.root = folder / "files"
        self.config = folder / "kintoun.toml"
        self.root.mkdir()
        self.config.write_text(
            f'features = ["attachments"]\n[storage]\nurl = "{url}"\n'
            f'[attachments]\nstore = "files"\nbase_url = "{CDN}"\n'
        )

    async def fill(self, prefix: str = "") -> None:
        store = await self.store()
        await make_collections(store)
        for n, (location, content) in enumerate(TREE.items()):
            await put(store, record(f"r{n}"), attachment(location, content, prefix))
        await put(store, record("none"), {"attachment": None})
        await store.close()

    async def store(self) -> Store:
        store = await open_store(Storage(url=self.url, durability="normal", pool_size=4))
        await store.migrate({"attachments": MIGRATIONS})
        return store

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(self.config)])

    def contents(self) -> dict[str, bytes | None]:
        """What stands at each location now."""

        async def read() -> dict[str, bytes | None]:
            store = await self.store()
            files = Files(store, LocalDisk(self.root))
            found = {location: await files.find(location) for location in TREE}
            read = {name: each and await files.content(each) for name, each in found.items()}
            await store.close()
            return read

        return asyncio.run(read())

    def sql(self, *statements: str) -> None:
        async def run() -> None:
            store = await self.store()

            async def each(transaction: Any) -> None:
                for sql in statements:
                    await transaction.fetch(sql)

            await store.transact(each)
            await store.close()

        asyncio.run(run())

    def sweep(self) -> None:
        async def run() -> None:
            store = await self.store()
            for later in (0, 1, 2):
                sweeper = Sweeper(store, LocalDisk(self.root), lambda name: name.removeprefix(CDN), 60)
                await sweeper.sweep(timestamps.now() + later * 10**9)
            await store.close()

        asyncio.run(run())


@pytest.fixture
def world(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    if engine == "sqlite":
        return World(f"sqlite:{tmp_path / 'kintoun.sqlite'}", tmp_path)
    postgres: Postgres = request.getfixturevalue("postgres")
    return World(postgres.create_database(), tmp_path)


@pytest.mark.parametrize("prefix", ["", CDN], ids=["relative", "absolute"])
def test_a_tree_is_adopted_in_place(world: World, prefix: str) -> None:
    asyncio.run(world.fill(prefix))
    grow(world.root)
    result = world.run("attachments", "adopt", str(world.root))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("4 files were taken over, 36 bytes; 0 were known.")
    assert world.contents() == TREE
    assert {str(path.relative_to(world.root)) for path in world.root.rglob("*.txt")} == set(TREE)
    again = world.run("attachments", "adopt", str(world.root))
    assert again.output.startswith("0 files were taken over, 0 bytes; 4 were known.")
    world.sweep()
    assert world.contents() == TREE, "records name them"
    assert world.run("doctor").exit_code == 0


def test_a_tree_elsewhere_is_copied(world: World, tmp_path: Path) -> None:
    asyncio.run(world.fill())
    grow(tmp_path / "old")
    assert world.run("attachments", "adopt", str(tmp_path / "old")).exit_code == 0
    (tmp_path / "old").rename(tmp_path / "gone")
    assert world.contents() == TREE


def test_what_is_not_as_its_record_says_is_told(world: World) -> None:
    asyncio.run(world.fill())
    grow(world.root)
    one, other, link, _ = (world.root / location for location in TREE)
    one.unlink()
    other.write_bytes(b"other bytes")
    link.unlink()
    link.symlink_to("/etc/passwd")
    result = world.run("attachments", "adopt", str(world.root))
    assert result.exit_code == 1
    assert result.output.startswith("1 files were taken over")
    for location in list(TREE)[:3]:
        assert location in result.output
    assert [content is not None for content in world.contents().values()] == [False, False, False, True]


def test_locations_lead_nowhere_else(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")

    async def fill() -> None:
        store = await world.store()
        await make_collections(store)
        for n, location in enumerate(("../secret", str(tmp_path / "secret"), "a/../../secret", "")):
            await put(store, record(f"r{n}"), attachment(location, b"secret"))
        await store.close()

    asyncio.run(fill())
    result = world.run("attachments", "adopt", str(world.root))
    assert result.output.startswith("0 files were taken over")


def test_the_feature_must_be_on(world: World, tmp_path: Path) -> None:
    world.config.write_text(f'[storage]\nurl = "{world.url}"\n')
    assert world.run("attachments", "adopt", str(world.root)).exit_code == 3


def test_an_examination_finds_what_is_wrong(world: World) -> None:
    asyncio.run(world.fill())
    grow(world.root)
    assert world.run("attachments", "adopt", str(world.root)).exit_code == 0
    locations = [world.root / location for location in TREE]
    first, second, third, fourth = TREE
    locations[0].unlink()
    locations[1].write_bytes(b"CONTENT 1")
    (world.root / "unknown").write_bytes(b"x")
    world.sql(
        f"DELETE FROM blob WHERE sha256 = '{hashlib.sha256(b'content 2').hexdigest()}'",
        f"DELETE FROM location WHERE location = '{fourth}'",
    )
    result = world.run("doctor")
    assert result.exit_code == 1
    for said in (
        f"are gone, or too few: {first}",
        f"are not what they were: {second}",
        f"{third} stands for content that is not known",
        f"r3 refers to {fourth}, which is not known",
        "2 files (10 bytes) in the store are not known here",
    ):
        assert said in result.output
