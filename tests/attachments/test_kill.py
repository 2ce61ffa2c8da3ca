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
from tests.support.configurations import configuration
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import ROOT, Server

COMMITTING = ("kept", "placed", "decided", "written", "committed")
WRITING = ("announced", "moved", *COMMITTING)
STEPS = {
    "small": COMMITTING,
    "one write": WRITING,
    "large": ("receiving", "received some", "received", "on disk", *WRITING),
}
"""Those of files in the database, of those that are in memory until they are kept, and of the others."""
AUTH = "Basic " + base64.b64encode(b"alice:secret").decode()
URL = "/buckets/b/collections/c/records/r"
OLD, NEW = b"old ", b"new "
TIMES = {"small": 1, "one write": 50_000, "large": 200_000}


class World:
    """A server that can be told where to die, its database, and its files."""

    def __init__(self, storage: str, directory: Path) -> None:
        self.storage = storage
        self.directory = directory
        self.files = directory / "files"
        self.die_at = directory / "die-at"
        sections = f'[attachments]\nstore = "{self.files}"\ncompressed_bytes = 0\n'
        text = configuration(("basicauth", "attachments"), sections, url=storage)
        (directory / "kintoun.toml").write_text(text)
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

    async def digests(self) -> set[str]:
        """What stands on the disk and in the database, by the digests of it."""
        store = await open_store(Storage(url=self.storage))
        try:
            kept = [bytes(row[0]) for row in await store.fetch("SELECT bytes FROM content")]
        finally:
            await store.close()
        kept += [path.read_bytes() for path in self.files.rglob("*") if path.is_file()]
        return {sha256(content).hexdigest() for content in kept}


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


@pytest.mark.parametrize(("size", "step"), [(size, step) for size in STEPS for step in STEPS[size]])
async def test_a_server_dies_while_a_file_is_replaced(world: World, size: str, step: str) -> None:
    old, new = OLD * TIMES[size], NEW * TIMES[size]
    assert world.attach(old).status_code in (200, 201)
    before = world.record()
    world.die_at.write_text(step)
    with pytest.raises(httpx.HTTPError):
        world.attach(new)
    assert not world.die_at.exists(), "it died there"
    world.wait()
    await world.sweep()
    after = world.record()
    content = new if step == "committed" else old
    if step != "committed":
        assert after == before
    assert after["attachment"]["hash"] == sha256(content).hexdigest()
    assert world.read(after["attachment"]) == content
    assert await world.digests() == {sha256(content).hexdigest()}


@pytest.mark.parametrize("size", STEPS)
async def test_what_was_begun_is_repeated(world: World, size: str) -> None:
    """The same content, sent again after a death in the middle of keeping it."""
    world.die_at.write_text("placed" if size == "small" else "moved")
    again, content = f"{URL}-again", b"same" * TIMES[size]
    with pytest.raises(httpx.HTTPError):
        world.attach(content, again)
    world.server.kill9()
    world.server.start()
    assert world.attach(content, again).status_code in (200, 201)
    await world.sweep()
    assert world.read(world.record(again)["attachment"]) == content
