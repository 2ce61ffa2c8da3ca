"""A leaf that is due, and a server that is killed again and again while it renews it and signs all anew."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kintoun.model.canonical import canonical, envelope
from kintoun.signatures import chain, content_signature, key_files, pki
from tests.signing.worlds import DAY, NAME, directory_with, new_issuer, now
from tests.support.configurations import configuration
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server

SECONDS = 120
LISTS = [f"c{number}" for number in range(3)]
SECTIONS = """\
[signing]
resources = "/buckets/source -> /buckets/published"

[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"
"""


class World:
    """A server with published collections, and a client that believes nothing but the root."""

    def __init__(self, directory: Path, url: str, client: httpx.Client) -> None:
        self.client = client
        self.pki = directory_with(directory / "pki", new_issuer(now() - 100 * DAY))
        self.leaf = self.pki.leaf_file("remote-settings")
        self.root = chain.fingerprint(self.pki.issuer().chain[-1])
        text = configuration(("basicauth", "signing"), SECTIONS, url=url, lease_seconds=0.5)
        (directory / "kintoun.toml").write_text(text)
        program = str(Path(sys.executable).parent / "kintoun")
        self.server = Server(
            lambda port: [program, "serve", "--host", "127.0.0.1", "--port", str(port)], directory, {}
        )

    def issue(self, age: int) -> None:
        """Put a leaf in place that was issued so many days ago."""
        leaf = pki.new_leaf(self.pki.issuer(), [NAME], now() - age * DAY, 90 * DAY, 30 * DAY)
        key_files.write_holder(self.leaf, leaf)

    def call(self, method: str, path: str, data: Any = None, *, user: str | None = "ed") -> httpx.Response:
        auth = (user, "pw") if user is not None else None
        body = {"json": {"data": data}} if data is not None else {}
        answer = self.client.request(method, f"{self.server.url}{path}", auth=auth, **body)
        answer.raise_for_status()
        return answer

    def publish(self) -> None:
        self.call("PUT", "/buckets/source", {})
        for name in LISTS:
            path = f"/buckets/source/collections/{name}"
            self.call("PUT", path, {})
            self.call("PUT", f"{path}/records/one", {"title": name})
            self.call("PATCH", path, {"status": "to-sign"})

    def verify(self, name: str) -> tuple[str, int, int]:
        """Believe a collection as a client does; its x5u, and the timestamps of its records and its own."""
        for _ in range(10):
            path = f"/buckets/published/collections/{name}"
            metadata = self.call("GET", path, user=None).json()["data"]
            answer = self.call("GET", f"{path}/records", user=None)
            if self.call("GET", path, user=None).json()["data"] == metadata:
                break  # nothing was published between the three
        signature, timestamp = metadata["signature"], int(answer.headers["ETag"].strip('"'))
        records = sorted(answer.json()["data"], key=lambda record: record["id"])
        assert [record["title"] for record in records] == [name]
        certificates = chain.parse(self.client.get(signature["x5u"]).content)
        key = chain.verify(certificates, NAME, {self.root}, now())
        content_signature.verify(key, envelope(map(canonical, records), timestamp), signature["signature"])
        return signature["x5u"], timestamp, metadata["last_modified"]

    def wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < deadline, self.server.log()[-4000:]
            time.sleep(0.01)


@pytest.fixture(params=ENGINES)
def world(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[World]:
    directory = Path(tempfile.mkdtemp(prefix="kintoun-renewal-"))
    url = "sqlite:kintoun.sqlite" if request.param == "sqlite" else postgres.create_database()
    with httpx.Client(timeout=60) as client:
        made = World(directory, url, client)
        with made.server:
            yield made


def test_killed_at_any_moment_it_leaves_what_clients_believe(world: World) -> None:
    world.issue(0)
    world.server.start()
    world.publish()
    before = {name: world.verify(name) for name in LISTS}
    assert len({x5u for x5u, _, _ in before.values()}) == 1
    old_x5u = before["c0"][0]
    old_chain = world.client.get(old_x5u)

    world.server.stop()
    world.issue(50)
    due = world.leaf.read_bytes()
    world.server.start()
    world.wait(lambda: world.leaf.read_bytes() != due)
    world.server.kill9()

    for count in (1, len(LISTS)):
        world.server.start()
        assert {name: world.verify(name)[1] for name in LISTS} == {
            name: timestamp for name, (_, timestamp, _) in before.items()
        }
        world.wait(lambda count=count: signed_anew(world, before) >= count)
        world.server.kill9()

    world.server.start()
    after = {name: world.verify(name) for name in LISTS}
    assert {x5u for x5u, _, _ in after.values()}.isdisjoint({old_x5u})
    for name in LISTS:
        assert after[name][1] == before[name][1]
        assert after[name][2] > before[name][2]
    served = world.client.get(old_x5u)
    assert (served.status_code, served.content) == (200, old_chain.content)


def signed_anew(world: World, before: dict[str, tuple[str, int, int]]) -> int:
    return sum(world.verify(name)[0] != before[name][0] for name in LISTS)
