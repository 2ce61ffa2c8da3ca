"""What streams cost: memory when idle, how soon a commit reaches all of them, and what writers notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.processes import ProcessTree
from tests.support.ports import free_port
from tests.support.postgres import Postgres

AUTH = ("bench", "bench")
RECORDS = "/v1/buckets/b/collections/c/records"
OTHER = "/v1/buckets/b/collections/d/records"
WRITERS = 4

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
class Slowdown:
    """Writes per second, and the server's CPU in µs for each, with so many streams and without."""

    engine: str
    what: str
    streams: int
    alone: tuple[float, float]
    beside: tuple[float, float]


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
        before = ground.tree.cpu_seconds()
        medians, nineties, worst, missing = [], [], 0, 0
        for n in range(commits):
            audience.expect(1)
            ground.write(RECORDS, n)
            half, most, last, lost = audience.heard()
            medians.append(half)
            nineties.append(most)
            worst, missing = max(worst, last), missing + lost
        cpu = ground.tree.cpu_seconds() - before
    finally:
        audience.close()
        ground.settle()
    return Reach(
        ground.engine, streams, rss, sorted(medians)[commits // 2] / 1e9, max(nineties) / 1e9, worst / 1e9,
        missing, cpu / commits / streams * 1e6,
    )  # fmt: skip


def writes_per_second(ground: Ground, path: str, seconds: float) -> tuple[float, float]:
    """How many writes a few writers make who do nothing else, and the server's CPU for each in µs."""
    done = [0] * WRITERS
    before = ground.tree.cpu_seconds()
    end = time.monotonic() + seconds

    def write(number: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{ground.port}", auth=AUTH, timeout=60) as client:
            while time.monotonic() < end:
                client.put(f"{path}/w{number}", json={"data": {"n": done[number]}}).raise_for_status()
                done[number] += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / seconds, (ground.tree.cpu_seconds() - before) / max(1, sum(done)) * 1e6


def slowdown(ground: Ground, what: str, path: str, streams: int, seconds: float, rounds: int) -> Slowdown:
    """Writes to a path with streams of RECORDS open, and without, in turn."""
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(writes_per_second(ground, path, seconds))
        audience = Audience(ground, streams)
        try:
            audience.expect("drain")
            beside.append(writes_per_second(ground, path, seconds))
        finally:
            audience.close()
            ground.settle()
    middle = rounds // 2
    return Slowdown(ground.engine, what, streams, sorted(alone)[middle], sorted(beside)[middle])


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
            slowed.append(slowdown(ground, "another list", OTHER, 1000, seconds, rounds))
            slowed.append(slowdown(ground, "the list that is followed", RECORDS, 1000, seconds, rounds))
    return reached, slowed


def load() -> str:
    """What else the machine does."""
    return " ".join(f"{each:.1f}" for each in os.getloadavg())
