"""kill -9 at every step of an upload: the record names the one file or the other, and nothing leaks."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from kintoun.files.backends.local import LocalDisk
from kintoun.files.sweeping import UPLOAD_MS, Sweeper
from kintoun.model import timestamps
from kintoun.settings import Storage
from kintoun.storage import open_store
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import ROOT, Server

STEPS = (
    "receiving",
    "received some",
    "received",
    "on disk",
    "announced",
    "moved",
    "kept",
    "placed",
    "decided",
    "written",
    "committed",
)
AUTH = "Basic " + base64.b64encode(b"alice:secret").decode()
URL = "/buckets/b/collections/c/records/r"
OLD, NEW = b"old " * 50_000, b"new " * 200_000


class World:
    """A server that can be told where to die, its database, and its files."""

    def __init__(self, storage: str, directory: Path) -> None:
        self.storage = storage
        self.directory = directory
        self.files = directory / "files"
        self.die_at = directory / "die-at"
        (directory / "kintoun.toml").write_text(
            f"""\
features = ["basicauth", "attachments"]
[storage]
url = "{storage}"
[protocol]
userid_secret = "kill"
[access]
bucket_create = ["system.Authenticated"]
[attachments]
store = "{self.files}"
compressed_bytes = 0
[[policies]]
name = "basicauth"
use = "basicauth"
"""
        )
        where = ["--config", str(directory / "kintoun.toml"), "--host", "127.0.0.1"]
        program = [sys.executable, "-m", "tests.attachments.dying_server", "serve", *where]
        env = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "KINTOUN_TEST_DIE_AT": str(self.die_at)}
        self.server = Server(lambda port: [*program, "--port", str(port)], directory, env)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.server.url, headers={"Authorization": AUTH}, timeout=60)

    def attach(self, content: bytes, record: str = URL) -> httpx.Response:
        with self.client() as http:
            upload = {"attachment": ("a.txt", content, "text/plain")}
            return http.post(f"{record}/attachment", files=upload, data={"data": '{"title": "Hi"}'})

    def record(self, record: str = URL) -> dict[str, Any]:
        with self.client() as http:
            found: dict[str, Any] = http.get(record).raise_for_status().json()["data"]
            return found

    def read(self, attachment: dict[str, Any]) -> bytes:
        """The bytes of a file, as readers get them."""
        with self.client() as http:
            base = http.get("/").json()["capabilities"]["attachments"]["base_url"]
            return http.get(base + attachment["location"]).raise_for_status().content

    def wait(self) -> None:
        """Wait until another worker serves in place of the one that died."""
        deadline = time.monotonic() + 60
        while not self.server.ready():
            assert time.monotonic() < deadline, self.server.log()[-2000:]
            time.sleep(0.05)

    async def sweep(self) -> None:
        """Remove what nothing names, as if long after."""
        store = await open_store(Storage(url=self.storage))
        for path in (self.files / "tmp").iterdir():
            os.utime(path, (0, 0))
        try:
            sweeper = Sweeper(store, LocalDisk(self.files), lambda location: location, 0)
            for later in range(1, 4):
                await sweeper.sweep(timestamps.now() + later * 2 * UPLOAD_MS)
        finally:
            await store.close()

    def digests(self) -> set[str]:
        """What stands on the disk, by the digests of it."""
        return {sha256(path.read_bytes()).hexdigest() for path in self.files.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=ENGINES)
def world(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[World]:
    directory = Path(tempfile.mkdtemp(prefix="kintoun-"))
    url = f"sqlite:{directory}/data.sqlite" if request.param == "sqlite" else postgres.create_database()
    made = World(url, directory)
    try:
        made.server.start()
        with made.client() as http:
            http.put("/buckets/b").raise_for_status()
            http.put("/buckets/b/collections/c").raise_for_status()
        yield made
    finally:
        made.server.close()


@pytest.mark.parametrize("step", STEPS)
async def test_a_server_dies_while_a_file_is_replaced(world: World, step: str) -> None:
    assert world.attach(OLD).status_code in (200, 201)
    before = world.record()
    world.die_at.write_text(step)
    with pytest.raises(httpx.HTTPError):
        world.attach(NEW)
    assert not world.die_at.exists(), "it died there"
    world.wait()
    await world.sweep()
    after = world.record()
    content = NEW if step == "committed" else OLD
    if step != "committed":
        assert after == before
    assert after["attachment"]["hash"] == sha256(content).hexdigest()
    assert world.read(after["attachment"]) == content
    assert world.digests() == {sha256(content).hexdigest()}


async def test_what_was_begun_is_repeated(world: World) -> None:
    """The same content, sent again after a death in the middle of keeping it."""
    world.die_at.write_text("moved")
    again = f"{URL}-again"
    with pytest.raises(httpx.HTTPError):
        world.attach(b"same", again)
    world.server.kill9()
    world.server.start()
    assert world.attach(b"same", again).status_code == 201
    await world.sweep()
    assert world.read(world.record(again)["attachment"]) == b"same"
