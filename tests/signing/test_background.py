"""What two workers of a server do by themselves: create the sources, and sign again what grows old, once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kintoun.settings import Storage
from kintoun.signatures import content_signature
from kintoun.storage import open_store
from tests.signing.desk import KEY, PATIENCE, key_file, signed_form
from tests.support.configurations import configuration
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server

PROGRAM = Path(sys.executable).parent / "kintoun"
SECTIONS = """\
[signing]
resources = '''
/buckets/many -> /buckets/many-preview -> /buckets/many-published
/buckets/one/collections/list -> /buckets/one-published/collections/list
'''
{settings}

[[signing.local]]
name = "local"
private_key = "{key}"
"""
CREATED = """\
auto_create_resources = true
auto_create_resources_principals = ["system.Authenticated", "/buckets/many/groups/staff"]
"""


class World:
    """A server of two workers, and somebody who uses it."""

    def __init__(self, directory: Path, url: str, client: httpx.Client) -> None:
        self.directory = directory
        self._client = client
        self._url = url
        self.server = Server(
            lambda port: [str(PROGRAM), "serve", "--port", str(port), "--workers", "2"], directory, {}
        )

    def configure(self, settings: str) -> None:
        sections = SECTIONS.format(settings=settings, key=key_file(self.directory))
        text = configuration(("basicauth", "signing"), sections, url=self._url, lease_seconds=10)
        (self.directory / "kintoun.toml").write_text(text)

    def call(self, method: str, path: str, data: Any = None) -> httpx.Response:
        body = {"json": {"data": data}} if data is not None else {}
        return self._client.request(method, f"{self.server.url}{path}", auth=("ed", "pw"), **body)

    def ok(self, method: str, path: str, data: Any = None) -> Any:
        answer = self.call(method, path, data)
        assert answer.is_success, answer.text
        return answer.json()

    def buckets(self) -> set[str]:
        return {bucket["id"] for bucket in self.ok("GET", "/buckets")["data"]}

    def wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, self.server.log()[-4000:]
            time.sleep(0.02)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        async def fetch() -> list[tuple[Any, ...]]:
            url = self._url.replace("sqlite:", f"sqlite:{self.directory}/")
            store = await open_store(Storage(url=url))
            try:
                return [tuple(row) for row in await store.fetch(sql)]
            finally:
                await store.close()

        return asyncio.run(fetch())


@pytest.fixture(params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[World]:
    url = "sqlite:kintoun.sqlite" if request.param == "sqlite" else postgres.create_database()
    with httpx.Client(timeout=60) as client:
        made = World(tmp_path, url, client)
        try:
            yield made
        finally:
            made.server.stop()


def test_sources_are_created_when_the_server_starts_and_only_then(world: World) -> None:
    world.configure(CREATED)
    subprocess.run([PROGRAM, "migrate"], cwd=world.directory, check=True, capture_output=True, timeout=60)
    assert world.rows("SELECT id FROM object") == []

    world.server.start()
    world.wait(lambda: {"many", "one"} <= world.buckets())
    world.wait(lambda: world.call("GET", "/buckets/one/collections/list").status_code == 200)
    assert world.buckets() == {"many", "one"}, "nothing is published yet"
    for path in ("/buckets/many", "/buckets/one", "/buckets/one/collections/list"):
        found = world.ok("GET", path)
        assert set(found["data"]) == {"id", "last_modified"}, "it has no status, and is not signed"
        assert set(found["permissions"]["write"]) == {"system.Authenticated", "/buckets/many/groups/staff"}
        assert set(found["permissions"]) == {"write"}
    for bucket in ("many", "one"):
        assert world.ok("GET", f"/buckets/{bucket}/groups")["data"] == []
    assert world.ok("GET", "/buckets/many/collections")["data"] == []

    kept = world.ok("PATCH", "/buckets/one", {"note": "kept"})["data"]
    world.ok("DELETE", "/buckets/many")
    assert world.buckets() == {"one"}
    world.server.restart()
    world.wait(lambda: "many" in world.buckets())
    assert world.ok("GET", "/buckets/one")["data"] == kept


def test_what_was_created_so_can_be_published(world: World) -> None:
    world.configure(CREATED)
    world.server.start()
    source = "/buckets/one/collections/list"
    world.wait(lambda: world.call("GET", source).status_code == 200)
    world.ok("PUT", f"{source}/records/r1", {"n": 1})
    assert world.ok("PATCH", source, {"status": "to-sign"})["data"]["status"] in ("to-sign", "signed")
    verify(world, "/buckets/one-published/collections/list")


def test_what_grows_old_is_signed_again_once(world: World) -> None:
    world.configure("manifest_days = 10")
    world.server.start()
    targets = []
    world.ok("PUT", "/buckets/many", {})
    for name in ("c1", "c2"):
        world.ok("PUT", f"/buckets/many/collections/{name}", {})
        world.ok("PUT", f"/buckets/many/collections/{name}/records/r1", {"name": name})
        world.ok("PATCH", f"/buckets/many/collections/{name}", {"status": "to-sign"})
        targets += [f"/buckets/many-{kind}/collections/{name}" for kind in ("preview", "published")]
    before = {target: verify(world, target) for target in targets}
    world.server.stop()
    assert resigned(world) == []

    world.configure("manifest_days = 30")  # so more than half of the time is over
    world.server.start()
    world.wait(lambda: len(resigned(world)) >= len(targets))
    after = {target: verify(world, target) for target in targets}
    assert sorted(resigned(world)) == sorted(tuple(target.split("/")[2::2]) for target in targets)
    for target in targets:
        (old, old_timestamp), (new, timestamp) = before[target], after[target]
        assert timestamp == old_timestamp, "no record has moved"
        assert new["last_modified"] > old["last_modified"]
        assert new["manifest"]["expires"] > old["manifest"]["expires"]


def resigned(world: World) -> list[tuple[Any, ...]]:
    """The bucket and the collection of everything that was signed again."""
    return world.rows("SELECT bucket, collection FROM publication_log WHERE action = 'resign'")


def verify(world: World, target: str) -> tuple[dict[str, Any], int]:
    """Verify what is published; its metadata, and the timestamp of its records."""
    metadata = world.ok("GET", target)["data"]
    answer = world.call("GET", f"{target}/records")
    timestamp = int(answer.headers["ETag"].strip('"'))
    signed = signed_form(answer.json()["data"], timestamp)
    content_signature.verify(KEY.public_key(), signed, metadata["signature"]["signature"])
    return metadata, timestamp
