"""Several workers and servers: what is kept in memory is never older than a write that was answered."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest

from kintoun.features.publication.settings import PublicationSettings
from tests.support.fixtures import ENGINES
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for
from tests.support.postgres import Postgres
from tests.support.servers import START_SECONDS, Server, start_kintoun

WORKERS = 3
READERS = 18
"""Connections that stay open, so many that every worker has some: which of them takes one is chance."""

INI = {
    "kinto.includes": "kinto_remote_settings.changes",
    "kinto.userid_hmac_secret": "of the tests",
    "multiauth.policies": "basicauth",
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.changes.resources": "/buckets/main",
    "kinto.main.record_cache_expires_seconds": "0",
}
PLACE = "/buckets/main/collections/c"
CHANGESET = f"{PLACE}/changeset?_expected=0"
MONITOR = "/buckets/monitor/collections/changes/changeset?_expected=0"
OWNER = {
    "Authorization": "Basic " + b64encode(b"owner:pw").decode(),
    "Content-Type": "application/json",
}
PUBLIC = {"read": ["system.Everyone"]}


class Client:
    """A connection that stays with one worker."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def send(self, request: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        method, path = request.split(" ", 1)
        content = None if body is None else json.dumps(body)
        self.connection.request(method, f"/v1{path}", content, headers or {})
        response = self.connection.getresponse()
        return response.status, json.loads(response.read() or b"null")

    def write(self, request: str, body: Any = None) -> Any:
        status, told = self.send(request, body, OWNER)
        assert status < 300, (request, status, told)
        return told["data"]


@contextmanager
def connected(server: Server, number: int) -> Iterator[list[Client]]:
    """Clients of more than one worker: a server is ready when the first of them is."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with ExitStack() as stack:
            clients = [Client(server) for _ in range(number)]
            for client in clients:
                stack.callback(client.connection.close)
                client.connection.connect()
            if serving(server, clients) > 1 or time.monotonic() > deadline:
                yield clients
                return
        time.sleep(0.2)


def storage(engine: str, postgres: Postgres) -> dict[str, str]:
    if engine == "sqlite":
        return {}
    backend = "kinto.core.storage.postgresql"
    return {"kinto.storage_backend": backend, "kinto.storage_url": postgres.create_database()}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_worker_is_behind_a_write_that_was_answered(engine: str, postgres: Postgres) -> None:
    with (
        start_kintoun({**INI, **storage(engine, postgres)}, workers=WORKERS) as server,
        connected(server, READERS) as readers,
    ):
        writer = readers[0]
        writer.write("PUT /buckets/main", {"permissions": PUBLIC})
        writer.write(f"PUT {PLACE}")
        for client in readers:
            client.send(f"GET {CHANGESET}")  # so that all of them have something that can be old
        assert serving(server, readers) > 1
        for n in range(12):
            record = readers[n].write(f"PUT {PLACE}/records/r{n % 3}", {"data": {"n": n}})
            for client in readers:
                _, changeset = client.send(f"GET {CHANGESET}")
                assert changeset["timestamp"] == record["last_modified"]
                assert record in changeset["changes"]
                _, entries = client.send(f"GET {MONITOR}")
                assert [each["last_modified"] for each in entries["changes"]] == [record["last_modified"]]
            note = readers[-n].write(f"PATCH {PLACE}", {"data": {"note": n}})
            for client in readers:
                _, changeset = client.send(f"GET {CHANGESET}")
                assert changeset["metadata"] == {**note, "bucket": "main"}
        for n in range(4):
            readers[n].write("PATCH /buckets/main", {"permissions": {"read": []}})
            assert {client.send(f"GET {CHANGESET}")[0] for client in readers} == {401}
            readers[-n].write("PATCH /buckets/main", {"permissions": PUBLIC})
            assert {client.send(f"GET {CHANGESET}")[0] for client in readers} == {200}


def serving(server: Server, clients: list[Client]) -> int:
    """How many processes have connections of these clients."""
    ports = {client.connection.sock.getsockname()[1] for client in clients}
    (root,) = (
        process
        for process in psutil.Process().children()
        if str(server.port) in process.cmdline() and "serve" in process.cmdline()
    )
    return sum(
        any(each.raddr and each.raddr.port in ports for each in process.net_connections("tcp"))
        for process in root.children(recursive=True)
    )


async def test_other_servers_follow_within_a_second(engine: str, databases: Databases) -> None:
    section = PublicationSettings(resources=["/buckets/main"])
    settings = settings_for(
        databases.url(engine), features=[*FEATURES, "publication"], sections={"publication": section}
    )
    async with opened(settings) as first, opened(settings) as second:
        await first.ok("PUT /buckets/main", {"permissions": PUBLIC})
        await first.ok(f"PUT {PLACE}")
        for n in range(4):
            for path in (CHANGESET, MONITOR):
                await second.ok(f"GET {path}", user=None)
            record = (await first.ok(f"PUT {PLACE}/records/r", {"data": {"n": n}}))["data"]
            for path in (CHANGESET, MONITOR):
                await follows(second, path, record["last_modified"])


async def follows(app: App, path: str, timestamp: int) -> None:
    """Wait until a timestamp is told. A second is the promise; a busy machine takes longer to do anything."""
    async with asyncio.timeout(30):
        while True:
            if (await app.ok(f"GET {path}", user=None))["timestamp"] == timestamp:
                return
            await asyncio.sleep(0.02)
