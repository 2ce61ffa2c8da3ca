"""What streams cost: memory when idle, how soon a commit reaches all of them, and what writers notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from statistics import median, quantiles

import httpx

from bench.load import Plan, run_load
from bench.processes import ProcessTree
from tests.support.ports import free_port
from tests.support.postgres import Postgres

AUTH = ("bench", "bench")
RECORDS = "/v1/buckets/b/collections/c/records"
OTHER = "/v1/buckets/b/collections/d/records"
WRITERS = 1, 16
"""Connections that write, one request at a time each."""

PAUSE_SECONDS = 1.0
"""Between commits that are timed: what is written without a pause is gathered, which is not meant here."""

_CONFIGURATION = """\
features = ["basicauth", "live"]
[server]
port = {port}
connections = 20000
backlog = 4096
[storage]
url = "{url}"
[protocol]
userid_secret = "of the benchmark"
[live]
streams = 20000
streams_per_address = 20000
heartbeat_seconds = 60
[[policies]]
name = "basicauth"
use = "basicauth"
"""


@dataclass(frozen=True)
class Reach:
    """How soon commits reached all streams, in seconds, and what it cost."""

    engine: str
    streams: int
    rss_bytes: int
    median: float
    p99: float
    worst: float
    missing: int
    cpu_us: float
    """Of the worker, for each event and stream."""


@dataclass(frozen=True)
class Writing:
    """Writes per second, and the server's CPU in µs for each."""

    rate: float
    cost: float


@dataclass(frozen=True)
class Slowdown:
    """What writers to a list notice of so many streams: each time that they write beside them they are
    compared with what they did without them just before and after, as the machine is not always as quick.
    """

    engine: str
    what: str
    writers: int
    streams: int
    alone: list[Writing]
    beside: list[Writing]

    def rates(self) -> list[float]:
        """The quartiles of the writes per second, as parts of those without streams."""
        return quantiles([b.rate / a.rate for a, b in zip(self.alone, self.beside, strict=True)])

    def cost(self) -> float:
        """The CPU of a write, as a multiple of that without streams."""
        return median(b.cost / a.cost for a, b in zip(self.alone, self.beside, strict=True))


class Ground:
    """A server with one worker and two empty collections that everybody may read."""

    def __init__(self, engine: str, url: str, directory: Path) -> None:
        self.engine = engine
        self.port = free_port()
        configuration = directory / "kintoun.toml"
        configuration.write_text(_CONFIGURATION.format(port=self.port, url=url))
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from kintoun.cli import main; main()",
                "serve",
                "--config",
                configuration,
            ],
            stdout=subprocess.DEVNULL,
        )
        self.tree = ProcessTree(self.process.pid)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", auth=AUTH, timeout=60)
        self._prepare()

    def _prepare(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client.get("/v1/").raise_for_status()
                break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.put("/v1/buckets/b", {"permissions": {"read": ["system.Everyone"]}})
        self.put(RECORDS.removesuffix("/records"), {})
        self.put(OTHER.removesuffix("/records"), {})

    def put(self, path: str, body: object) -> None:
        self.client.put(path, json=body).raise_for_status()

    def write(self, path: str, n: int) -> None:
        """One write that tells when it was asked for."""
        self.put(f"{path}/r{n}", {"data": {"sent": time.time_ns(), "title": "x" * 100}})

    def settle(self) -> None:
        """Wait until the server has nothing to do, as after many have left at once."""
        for _ in range(100):
            before = self.tree.cpu_seconds()
            time.sleep(0.3)
            if self.tree.cpu_seconds() - before < 0.03:
                return

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(60)


class Audience:
    """A process with many streams."""

    def __init__(self, ground: Ground, streams: int, path: str = RECORDS) -> None:
        self.streams = streams
        command = [sys.executable, "-m", "bench.listeners", str(ground.port), str(streams), path]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._read() == "open", "the streams did not open"

    def _read(self) -> str:
        assert self._process.stdout is not None, "it is a pipe"
        return self._process.stdout.readline().strip()

    def expect(self, events: int | str) -> None:
        """Wait for so many more events on each stream, or `drain` whatever comes."""
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.write(f"{events}\n")
        self._process.stdin.flush()

    def heard(self) -> list[int]:
        """Median, p99 and worst in nanoseconds, and how many events are missing."""
        found: list[int] = json.loads(self._read())
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def grounds(engines: list[str]) -> Iterator[Iterator[Ground]]:
    """A server for each engine, one after the other."""

    def each() -> Iterator[Ground]:
        for engine in engines:
            with tempfile.TemporaryDirectory(prefix="kintoun-live-") as directory:
                url, postgres = f"sqlite:{directory}/db.sqlite", None
                if engine == "postgresql":
                    postgres = Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-"))
                    url = postgres.create_database()
                ground = None
                try:
                    ground = Ground(engine, url, Path(directory))
                    yield ground
                finally:
                    if ground is not None:
                        ground.close()
                    if postgres is not None:
                        postgres.__exit__(None, None, None)

    yield each()


def reach(ground: Ground, streams: int, commits: int) -> Reach:
    """Open so many streams and see how soon each of some commits reaches all of them."""
    audience = Audience(ground, streams)
    try:
        ground.settle()
        rss = ground.tree.worker_rss_bytes()
        medians, nineties, worst, missing, cpu = [], [], 0, 0, 0.0
        for n in range(commits):
            time.sleep(PAUSE_SECONDS)
            before = ground.tree.cpu_seconds()
            audience.expect(1)
            ground.write(RECORDS, n)
            half, most, last, lost = audience.heard()
            cpu += ground.tree.cpu_seconds() - before
            medians.append(half)
            nineties.append(most)
            worst, missing = max(worst, last), missing + lost
    finally:
        audience.close()
        ground.settle()
    return Reach(
        ground.engine, streams, rss, sorted(medians)[commits // 2] / 1e9, max(nineties) / 1e9, worst / 1e9,
        missing, cpu / commits / streams * 1e6,
    )  # fmt: skip


def write_on(ground: Ground, path: str, writers: int, seconds: float) -> Writing:
    """Have some connections write that do nothing else."""
    before = ground.tree.cpu_seconds()
    requests = [_put(ground.port, f"{path}/w{n % writers}", {"data": {"n": n}}) for n in range(1000)]
    result = run_load(Plan("127.0.0.1", ground.port, writers, seconds, requests))
    assert not result.wrong + result.lost, f"a write failed: {result.first_error}"
    return Writing(result.per_second, (ground.tree.cpu_seconds() - before) / result.completed * 1e6)


def _put(port: int, path: str, body: object) -> str:
    """A request of the writers, who replace their records again and again."""
    text = json.dumps(body)
    credentials = b64encode(":".join(AUTH).encode()).decode()
    return (
        f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Basic {credentials}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    )


def slowdowns(ground: Ground, writers: int, streams: int, seconds: float, rounds: int) -> list[Slowdown]:
    """Writes to another list and to RECORDS, without streams of RECORDS, with them, and without again."""
    paths = OTHER, RECORDS
    for path, n in product(paths, range(writers)):
        ground.put(f"{path}/w{n}", {"data": {}})

    def turns(order: tuple[str, ...]) -> dict[str, Writing]:
        return {path: write_on(ground, path, writers, seconds) for path in order}

    alone, beside = [turns(paths)], []
    for n in range(rounds):
        audience = Audience(ground, streams)
        try:
            audience.expect("drain")
            ground.settle()
            beside.append(turns(paths if n % 2 else paths[::-1]))
        finally:
            audience.close()
            ground.settle()
        alone.append(turns(paths))
    return [
        Slowdown(
            ground.engine, what, writers, streams,
            [_between(before[path], after[path]) for before, after in pairwise(alone)],
            [each[path] for each in beside],
        )
        for path, what in ((OTHER, "another list"), (RECORDS, "the list that is followed"))
    ]  # fmt: skip


def _between(one: Writing, other: Writing) -> Writing:
    return Writing((one.rate + other.rate) / 2, (one.cost + other.cost) / 2)


def run(
    engines: list[str],
    streams: list[int],
    commits: int,
    seconds: float,
    rounds: int,
    say: Callable[[str], None],
) -> tuple[list[Reach], list[Slowdown]]:
    """Measure all of it."""
    reached, slowed = [], []
    with grounds(engines) as all_grounds:
        for ground in all_grounds:
            for number in streams:
                say(f"{ground.engine}: {number} streams")
                reached.append(reach(ground, number, commits))
            say(f"{ground.engine}: writers beside 1,000 streams")
            for writers in WRITERS:
                slowed += slowdowns(ground, writers, 1000, seconds, rounds)
    return reached, slowed


def load() -> str:
    """What else the machine does."""
    return " ".join(f"{each:.1f}" for each in os.getloadavg())
