"""What published data costs: changesets and the poll of `monitor/changes`, beside an empty answer."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from bench import dataset, seed
from bench.contenders import Arena
from bench.load import Plan, run_load
from bench.processes import ProcessTree
from bench.workloads import Request
from tests.support.servers import Server

CONNECTIONS = 16
SETTINGS = {
    "kinto.includes": "kinto.plugins.accounts kinto_remote_settings.changes",
    "kinto.changes.resources": f"/buckets/{dataset.BUCKET}",
}
PLACE = f"/v1/buckets/{dataset.BUCKET}/collections/{dataset.READ}"
MONITOR = "/v1/buckets/monitor/collections/changes/changeset?_expected=0"
BARE_APP = """
BODIES = {{"/v1/__heartbeat__": b"{{}}", "/": b"{{}}", "/body": bytes({size})}}

async def app(scope, protocol):
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache")]
    protocol.response_bytes(200, headers, BODIES[scope.path])
"""
EMPTY = "an empty answer"


@dataclass
class Question:
    """Something that is asked again and again, and what it cost in each round (seconds of CPU)."""

    name: str
    path: str
    encoding: str = "identity"
    headers: tuple[tuple[str, str], ...] = ()
    wanted: int = 200
    costs: list[float] = field(default_factory=list)
    size: int = 0

    def request(self) -> Request:
        """The message, with the headers that Firefox sends."""
        return Request("GET", self.path, (("Accept-Encoding", self.encoding), *self.headers))


def questions(server: Server) -> list[Question]:
    """All that is asked of a server that has its data."""
    changeset = f"{PLACE}/changeset?_expected=1795372684198"
    tag = httpx.get(f"{server.url.removesuffix('/v1')}{changeset}", timeout=60).headers["ETag"]
    return [
        Question(EMPTY, "/v1/__lbheartbeat__"),
        Question("monitor/changes", MONITOR, "gzip, deflate, br, zstd"),
        Question("changeset, zstd", changeset, "zstd"),
        Question("changeset, br", changeset, "br"),
        Question("changeset, gzip", changeset, "gzip"),
        Question("changeset, not compressed", changeset),
        Question("changeset, unchanged", changeset, "gzip", (("If-None-Match", tag),), 304),
        Question("the same as a list", f"{PLACE}/records"),
    ]


def measure(
    arena: Arena, engine: str, records: int, rounds: int, seconds: float, progress: Callable[[str], None]
) -> list[Question]:
    """Every question for some *seconds*, in turn, *rounds* times."""
    progress(f"loading {records:,} records into {engine}")
    server, database = arena.start(engine, f"publication {engine}", SETTINGS)
    seed.make_tree(server.url)
    seed.load_over_http(server.url, dataset.READ, records)
    trees = [ProcessTree(server.pid)] + ([arena.postgres_tree] if database is not None else [])
    asked = questions(server)
    for number in range(rounds):
        for question in asked:
            progress(f"{engine}: {question.name}, round {number + 1}")
            question.costs.append(_cost(server, trees, question, seconds))
    return asked


def _cost(server: Server, trees: Sequence[ProcessTree], question: Question, seconds: float) -> float:
    request = question.request()
    answer = request.send(server.url.removesuffix("/v1"))
    assert answer.status_code == question.wanted, answer.text
    question.size = answer.num_bytes_downloaded
    message = request.encode(f"127.0.0.1:{server.port}")
    plan = Plan("127.0.0.1", server.port, CONNECTIONS, seconds, [message], question.wanted)
    before = sum(tree.cpu_seconds() for tree in trees)
    result = run_load(plan)
    spent = sum(tree.cpu_seconds() for tree in trees) - before
    assert not result.errors, result.first_error
    return spent / result.completed


def measure_bare(size: int, rounds: int, seconds: float, progress: Callable[[str], None]) -> list[Question]:
    """What Granian takes by itself, with an application that does nothing, for no body and one of `size`."""
    directory = Path(tempfile.mkdtemp(prefix="bare-"))
    (directory / "bare.py").write_text(BARE_APP.format(size=size))
    granian = str(Path(sys.executable).parent / "granian")

    def command(port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(directory)]
        return [granian, "--interface", "rsgi", "--workers", "1", "--loop", "uvloop", *where, "bare:app"]

    asked = [Question(EMPTY, "/"), Question("as many bytes as zstd", "/body")]
    with Server(command, directory, {}) as server:
        server.start()
        for number in range(rounds):
            for question in asked:
                progress(f"Granian: {question.name}, round {number + 1}")
                question.costs.append(_cost(server, [ProcessTree(server.pid)], question, seconds))
    return asked


HEADINGS = ("server", "question", "bytes", "CPU µs", "more than an empty answer")


def lines(engine: str, asked: Sequence[Question]) -> list[list[str]]:
    """What it cost as text, in the order of HEADINGS: the medians of the rounds."""
    empty = median(asked[0].costs)
    return [
        [
            engine,
            question.name,
            f"{question.size:,}",
            f"{median(question.costs) * 1e6:.0f}",
            "" if question.name == EMPTY else f"{(median(question.costs) - empty) * 1e6:+.0f}",
        ]
        for question in asked
    ]
