"""What uploads cost: many small files, and one that is large."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.contenders import KINTO
from bench.logins import basic
from bench.processes import PROC, ProcessTree
from tests.support.servers import Server

SMALL_BYTES = 10_000
MIB = 1024 * 1024
BOUNDARY = "bench-boundary"
RECORD = "/buckets/b/collections/c/records/%s/attachment"
RESET_PEAK = "5"
"""Written to `clear_refs`, it lets the kernel measure a process's peak of memory anew."""

SETTINGS = {
    "kinto.includes": "kinto.plugins.accounts kinto_attachment",
    "kinto.attachment.base_path": "files",
    "kinto.attachment.base_url": "http://files.example/",
    "kinto.attachment.extensions": "any",
}
HEADINGS = (
    "server",
    "uploads",
    "seconds",
    "CPU ms each",
    "PG CPU ms each",
    "× less CPU",
    "× less with PG",
    "peak memory, MiB more",
)


class Measured(NamedTuple):
    """Seconds that uploads took, CPU seconds of the server and of PostgreSQL beside it, and the server's peak
    of memory above the rest (bytes)."""

    label: str
    uploads: str
    count: int
    seconds: float
    cpu: float
    postgres: float
    memory: int

    def line(self, kinto: Measured | None) -> tuple[str, ...]:
        """A row of the table, beside Kinto's measurement of the same."""
        each = [f"{1000 * cpu / self.count:.2f}" for cpu in (self.cpu, self.postgres)]
        ratios = ["", ""]
        if kinto is not None:
            both = (kinto.cpu + kinto.postgres) / (self.cpu + self.postgres)
            ratios = [f"{kinto.cpu / self.cpu:.1f}", f"{both:.1f}"]
        memory = f"{self.memory / MIB:.1f}"
        return (self.label, self.uploads, f"{self.seconds:.2f}", *each, *ratios, memory)


class Memory:
    """The memory of the process that serves."""

    def __init__(self, tree: ProcessTree) -> None:
        members = tree.members()
        parents = {stat.parent for stat in members}
        leaves = [stat.pid for stat in members if stat.pid not in parents]
        self._folder = PROC / str(max(leaves, key=lambda pid: _bytes(PROC / str(pid), "VmRSS")))
        (self._folder / "clear_refs").write_text(RESET_PEAK)
        self._before = _bytes(self._folder, "VmRSS")

    def more(self) -> int:
        """How far the peak since then has been above the rest."""
        return _bytes(self._folder, "VmHWM") - self._before


def _bytes(folder: Path, name: str) -> int:
    for line in (folder / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


class Uploader:
    """One connection that uploads files."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        self.authorization = basic("bench", "secret")

    def send(self, method: str, path: str, body: object = None) -> None:
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        self._connection.request(method, f"/v1{path}", json.dumps(body or {}), headers)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status in (200, 201), answer

    def upload(self, path: str, content: Callable[[], Iterator[bytes]], size: int) -> None:
        """POST a file, and see that its digest is right."""
        disposition = 'Content-Disposition: form-data; name="attachment"; filename="a.bin"'
        head = f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()
        digest = hashlib.sha256()
        connection = self._connection
        connection.putrequest("POST", f"/v1{path}")
        connection.putheader("Authorization", self.authorization)
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.putheader("Content-Length", str(len(head) + size + len(tail)))
        connection.endheaders(head)
        for part in content():
            digest.update(part)
            connection.send(part)
        connection.send(tail)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 201, answer
        assert json.loads(answer)["hash"] == digest.hexdigest()


def measure(
    server: Server, postgres: ProcessTree, label: str, small: int, large: int, say: Callable[[str], None]
) -> list[Measured]:
    """Upload `small` files of ten kilobytes, and one of `large` MiB, while nobody else uses `postgres`."""
    uploader = Uploader(server)
    uploader.send("PUT", "/accounts/bench", {"data": {"password": "secret"}})
    uploader.send("PUT", "/buckets/b")
    uploader.send("PUT", "/buckets/b/collections/c")
    tree = ProcessTree(server.pid)
    made: list[Measured] = []

    def run(uploads: str, sizes: list[int]) -> None:
        say(f"{label}: {uploads}")
        block = os.urandom(64 * 1024)
        memory, before, began = Memory(tree), _cpu_seconds(tree, postgres), time.perf_counter()
        for number, size in enumerate(sizes):
            start = os.urandom(16)  # no two files are the same
            blocks, rest = divmod(size - len(start), len(block))

            def content(start: bytes = start, blocks: int = blocks, rest: int = rest) -> Iterator[bytes]:
                yield start
                yield from (block for _ in range(blocks))
                yield block[:rest]

            uploader.upload(RECORD % f"r{len(made)}-{number}", content, size)
        seconds = time.perf_counter() - began
        cpu, of_postgres = (
            after - now for now, after in zip(before, _cpu_seconds(tree, postgres), strict=True)
        )
        made.append(Measured(label, uploads, len(sizes), seconds, cpu, of_postgres, memory.more()))

    # Whatever is loaded by the first upload is no part of what uploads cost.
    uploader.upload(RECORD % "warm", lambda: iter((b"x",)), 1)
    run(f"{small} of 10 kB", [SMALL_BYTES] * small)
    run(f"one of {large} MiB", [large * MIB])
    return made


def _cpu_seconds(*trees: ProcessTree) -> list[float]:
    return [tree.cpu_seconds() for tree in trees]


def lines(made: list[list[Measured]]) -> list[tuple[str, ...]]:
    """The rows of the table, of which Kinto's measurements come first."""
    kinto, *ours = made
    rows = [each.line(None) for each in kinto]
    return rows + [each.line(theirs) for server in ours for theirs, each in zip(kinto, server, strict=True)]


def label_of(engine: str) -> str:
    return "kinto-attachment" if engine == KINTO else f"ours {engine}"
