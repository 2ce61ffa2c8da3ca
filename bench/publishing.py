"""What publishing costs: many new records at once, and one change among many, reviewed and not."""

from __future__ import annotations

import http.client
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench import dataset
from bench.bulk import fill
from bench.contenders import SQLITE, Arena
from bench.processes import ProcessTree
from bench.workloads import expect_status
from tests.support.servers import Server

OWNER = (dataset.USER, dataset.PASSWORD)
SOURCE = f"/buckets/{dataset.BUCKET}/collections"
NEW = 2000
"""Records of the publication of new ones."""
FRESH = 3
"""How often a worker publishes that has not published the list before."""
REST_SECONDS = 1.0
"""How long a server has done nothing when it is at rest."""
TOUCHED = "7-touched"
"""The record that changes; its id stands in the middle of the list, and half of what is signed behind it."""
POLL_SECONDS = 0.002
"""How long somebody else rests between two requests."""


class Cost(NamedTuple):
    """What one PATCH took: seconds to its answer, and of CPU, the server's and the database's.

    `wait` is the longest that somebody else waited for the answer to a small request meanwhile, in seconds.
    """

    seconds: float
    cpu: float
    wait: float


@dataclass(frozen=True)
class Timing:
    """One kind of publication on an engine, made several times."""

    engine: str
    what: str
    records: int
    costs: list[Cost]


HEADINGS = (
    "engine",
    "what",
    "records",
    "seconds (median)",
    "seconds (best)",
    "CPU seconds (median)",
    "others wait, ms (worst)",
)


@contextmanager
def world(arena: Arena, engine: str) -> Iterator[tuple[Server, str]]:
    """A server that signs with a key of its own, publishing one bucket without a preview to another."""
    with tempfile.TemporaryDirectory(prefix="kintoun-bench-") as directory:
        key = Path(directory) / "key.pem"
        form = serialization.PrivateFormat.PKCS8
        private = ec.generate_private_key(ec.SECP384R1())
        key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        includes = "kinto.plugins.accounts kinto.plugins.history kinto_remote_settings.signer"
        server, database = arena.start(
            engine,
            f"publishing {engine}",
            {
                "kinto.includes": includes,
                "kinto.signer.resources": f"/buckets/{dataset.BUCKET} -> /buckets/preview -> /buckets/main",
                "kinto.signer.ecdsa.private_key": str(key),
                "kinto.signer.signer_backend": "kinto_remote_settings.signer.backends.local_ecdsa",
            },
        )
        yield server, database or f"sqlite:{server.directory / 'data' / 'kintoun.sqlite'}"


def measure(arena: Arena, engine: str, among: int, rounds: int) -> list[Timing]:
    """Publish new records, then single changes among *among*."""
    with world(arena, engine) as (server, storage):
        account = {"data": {"password": dataset.PASSWORD}}
        expect_status(httpx.put(f"{server.url}/accounts/{dataset.USER}", json=account, timeout=60), 201)
        database = [] if engine == SQLITE else [arena.postgres_tree]
        with httpx.Client(base_url=server.url, auth=OWNER, timeout=600) as client:
            desk = Desk(client, server, database)
            expect_status(client.put(f"/buckets/{dataset.BUCKET}"), 201)
            for n in range(rounds):
                desk.create(storage, f"new{n}", NEW)
            new = [desk.step(f"new{n}", "to-sign") for n in range(rounds)]
            desk.create(storage, "many", among)
            first = desk.step("many", "to-sign")
            both = [desk.change("many", "to-sign") for _ in range(rounds)]
            pairs = [(desk.change("many", "to-review"), desk.step("many", "to-sign")) for _ in range(rounds)]
            fresh = [desk.change_after_start() for _ in range(min(rounds, FRESH))]
            ready = [desk.change_after_start(at_rest=True) for _ in range(min(rounds, FRESH))]
    return [
        Timing(engine, f"to-sign: {NEW} new, to preview and destination", NEW, new),
        Timing(engine, f"to-sign: {among} new, to preview and destination", among, [first]),
        Timing(engine, "to-sign: one change to both", among, both),
        Timing(engine, "to-review: one change", among, [request for request, _ in pairs]),
        Timing(engine, "to-sign: one change", among, [approval for _, approval in pairs]),
        Timing(engine, "to-sign: one change to both, by a worker that begins in that moment", among, fresh),
        Timing(engine, "to-sign: one change to both, by a worker that has begun since", among, ready),
    ]


def signable(index: int) -> dict[str, Any]:
    """A record of the data set without its floats, which nobody signs."""
    return {name: value for name, value in dataset.record(index).items() if not isinstance(value, float)}


class Desk:
    """Where the owner of everything sits."""

    def __init__(self, client: httpx.Client, server: Server, database: list[ProcessTree]) -> None:
        """`database` are the processes of the database, as far as it has any of its own."""
        self._client = client
        self._server = server
        self._database = database
        self._changes = 0

    def create(self, storage: str, collection: str, records: int) -> None:
        """A source with records that were never published."""
        expect_status(self._client.put(f"{SOURCE}/{collection}"), 201)
        fill(storage, collection, records, record=signable)
        self._touch(collection)

    def change(self, collection: str, status: str) -> Cost:
        """Change one record, then the status."""
        self._touch(collection)
        return self.step(collection, status)

    def change_after_start(self, *, at_rest: bool = False) -> Cost:
        """As `change`, of many, soon after the server was started: at once, or when it is at rest."""
        self._server.restart()
        self.change("new0", "to-sign")  # the caller and the signer are known from here on
        before = -1.0
        while at_rest and before < (used := self._cpu()):
            before = used
            time.sleep(REST_SECONDS)
        return self.change("many", "to-sign")

    def step(self, collection: str, status: str) -> Cost:
        before = self._cpu()
        with SomebodyElse(self._server.port) as other:
            began = time.perf_counter()
            answer = self._client.patch(f"{SOURCE}/{collection}", json={"data": {"status": status}})
            seconds = time.perf_counter() - began
        expect_status(answer, 200)
        return Cost(seconds, self._cpu() - before, other.waited)

    def _touch(self, collection: str) -> None:
        self._changes += 1
        path = f"{SOURCE}/{collection}/records/{TOUCHED}"
        self._client.put(path, json={"data": {"v": self._changes}}).raise_for_status()

    def _cpu(self) -> float:
        trees = [ProcessTree(self._server.pid), *self._database]
        return sum(tree.cpu_seconds() for tree in trees)


class SomebodyElse:
    """A client who asks the same worker for something small, again and again."""

    def __init__(self, port: int) -> None:
        self.waited = 0.0
        """The longest time that an answer took, in seconds."""
        self._port = port
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> SomebodyElse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        connection.connect()
        while not self._done.wait(POLL_SECONDS):
            began = time.perf_counter()
            connection.request("GET", "/v1/__lbheartbeat__")
            connection.getresponse().read()
            self.waited = max(self.waited, time.perf_counter() - began)
        connection.close()


def lines(timings: list[Timing]) -> list[tuple[str, ...]]:
    """The rows of the table."""
    return [
        (
            each.engine,
            each.what,
            f"{each.records:,}",
            f"{median(cost.seconds for cost in each.costs):.3f}",
            f"{min(cost.seconds for cost in each.costs):.3f}",
            f"{median(cost.cpu for cost in each.costs):.3f}",
            f"{1000 * max(cost.wait for cost in each.costs):.0f}",
        )
        for each in timings
    ]
