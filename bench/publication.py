"""What published data costs: changesets and the poll of `monitor/changes`, beside an empty answer, and beside
what the web server takes by itself.
"""

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
from bench.workloads import Request, authorization
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


@dataclass
class Subject:
    """A server, all that is asked of it, and the processes whose time counts."""

    name: str
    server: Server
    trees: Sequence[ProcessTree]
    questions: Sequence[Question]


def questions(server: Server) -> list[Question]:
    """All that is asked of a server that has its data."""
    changeset = f"{PLACE}/changeset?_expected=1795372684198"
    tag = httpx.get(f"{server.root}{changeset}", timeout=60).headers["ETag"]
    encodings = "gzip, deflate, br, zstd"
    return [
        Question(EMPTY, "/v1/__lbheartbeat__"),
        Question("monitor/changes", MONITOR, encodings),
        Question("monitor/changes, of an account", MONITOR, encodings, (authorization(),)),
        Question("changeset, zstd", changeset, "zstd"),
        Question("changeset, br", changeset, "br"),
        Question("changeset, gzip", changeset, "gzip"),
        Question("changeset, not compressed", changeset),
        Question("changeset, unchanged", changeset, "gzip", (("If-None-Match", tag),), 304),
        Question("the same as a list", f"{PLACE}/records"),
    ]


def measure(
    arena: Arena,
    engines: Sequence[str],
    records: int,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> list[Subject]:
    """Every question to every server for some *seconds*, in turn, *rounds* times."""
    subjects = []
    for engine in engines:
        progress(f"loading {records:,} records into {engine}")
        subjects.append(_ours(arena, engine, records))
    subjects.append(_bare(arena, _size_of(subjects[0], "changeset, zstd")))
    for number in range(rounds):
        for subject in subjects:
            for question in subject.questions:
                progress(f"{subject.name}: {question.name}, round {number + 1}")
                question.costs.append(_cost(subject, question, seconds))
    return subjects


def _ours(arena: Arena, engine: str, records: int) -> Subject:
    server, database = arena.start(engine, f"publication {engine}", SETTINGS)
    seed.make_tree(server.url)
    seed.load_over_http(server.url, dataset.READ, records)
    trees = [ProcessTree(server.pid)] + ([arena.postgres_tree] if database is not None else [])
    return Subject(engine, server, trees, questions(server))


def _bare(arena: Arena, size: int) -> Subject:
    """Granian with an application that does nothing, for no body and one of `size`."""
    directory = Path(tempfile.mkdtemp(prefix="bare-"))
    (directory / "bare.py").write_text(BARE_APP.format(size=size))
    granian = str(Path(sys.executable).parent / "granian")

    def command(port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(directory)]
        return [granian, "--interface", "rsgi", "--workers", "1", "--loop", "uvloop", *where, "bare:app"]

    server = arena.stack.enter_context(Server(command, directory, {}))
    server.start()
    asked = [Question(EMPTY, "/"), Question("as many bytes as zstd", "/body")]
    return Subject("Granian", server, [ProcessTree(server.pid)], asked)


def _size_of(subject: Subject, name: str) -> int:
    question = next(each for each in subject.questions if each.name == name)
    return question.request().send(subject.server.root).num_bytes_downloaded


def _cost(subject: Subject, question: Question, seconds: float) -> float:
    server, trees = subject.server, subject.trees
    request = question.request()
    answer = request.send(server.root)
    assert answer.status_code == question.wanted, answer.text
    question.size = answer.num_bytes_downloaded
    message = request.encode(f"127.0.0.1:{server.port}")
    plan = Plan("127.0.0.1", server.port, CONNECTIONS, seconds, [message], question.wanted)
    before = sum(tree.cpu_seconds() for tree in trees)
    result = run_load(plan)
    spent = sum(tree.cpu_seconds() for tree in trees) - before
    assert not result.errors, result.first_error
    return spent / result.completed


HEADINGS = ("server", "question", "bytes", "CPU µs", "more than an empty answer")


def lines(subject: Subject) -> list[list[str]]:
    """What it cost as text, in the order of HEADINGS: the medians of the rounds."""
    empty = median(subject.questions[0].costs)
    return [
        [
            subject.name,
            question.name,
            f"{question.size:,}",
            f"{median(question.costs) * 1e6:.0f}",
            "" if question.name == EMPTY else f"{(median(question.costs) - empty) * 1e6:+.0f}",
        ]
        for question in subject.questions
    ]
