"""Uploads over real connections: slow ones, cut ones, large ones."""

from __future__ import annotations

import base64
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from bench.attachments import Memory, Uploader
from bench.processes import ProcessTree
from tests.attachments.world import FILE, form, part
from tests.support.configurations import configuration
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_configured

HEADERS = {
    "Authorization": "Basic " + base64.b64encode(b"alice:secret").decode(),
    "Content-Type": "multipart/form-data; boundary=--------------------------boundary",
}
MIB = 1024 * 1024
SECTIONS = """\
[limits]
body_seconds = 1
[attachments]
store = "files"
extensions = "any"
"""


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    url = "sqlite:data.sqlite" if request.param == "sqlite" else postgres.create_database()
    with start_configured(configuration(("basicauth", "attachments"), SECTIONS, url=url)) as started:
        yield started


@pytest.fixture
def record(server: Server) -> str:
    """The URL of a record's file, below the API, of a record that has one."""
    assert ask(server, "PUT", "/buckets/b") < 300
    assert ask(server, "PUT", "/buckets/b/collections/c") < 300
    assert ask(server, "POST", FILE, form(part("attachment", "former", "a.txt"))) < 300
    return FILE


def ask(server: Server, method: str, path: str, body: bytes = b"") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with suppress(BrokenPipeError, ConnectionResetError):
        headers = HEADERS if body else {"Authorization": HEADERS["Authorization"]}
        connection.request(method, f"/v1{path}", body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def begin(server: Server, path: str, framing: str) -> socket.socket:
    """A connection on which the head of an upload was sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    lines = [f"POST /v1{path} HTTP/1.1", "Host: localhost", framing]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def leftovers(server: Server) -> list[Path]:
    return list((server.directory / "files" / "tmp").iterdir())


def nothing_left(server: Server) -> None:
    deadline = time.monotonic() + 30
    while leftovers(server):
        assert time.monotonic() < deadline, leftovers(server)
        time.sleep(0.05)


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_an_upload_that_crawls_is_ended(server: Server, record: str, framing: str) -> None:
    body = form(part("attachment", b"x" * 300_000, "a.txt"))
    with begin(server, record, framing) as connection:
        if "chunked" in framing:
            connection.sendall(f"{len(body) // 2:x}\r\n".encode() + body[: len(body) // 2] + b"\r\n")
        else:
            connection.sendall(body[: len(body) // 2])
        answer = connection.recv(4096)  # to the first byte of it: nothing more is sent
        assert answer.startswith(b"HTTP/1.1 408"), answer
    nothing_left(server)
    assert ask(server, "GET", record) == 302


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_an_upload_that_is_cut_leaves_nothing(server: Server, record: str, framing: str) -> None:
    body = form(part("attachment", b"x" * 600_000, "a.txt"))
    with begin(server, record, framing) as connection:
        if "chunked" in framing:
            connection.sendall(f"{len(body):x}\r\n".encode())
        connection.sendall(body[:500_000])
    nothing_left(server)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/v1{record.removesuffix('/attachment')}", headers=HEADERS)
    told = connection.getresponse().read()
    connection.close()
    assert sha256(b"former").hexdigest().encode() in told


def test_who_may_not_is_told_after_a_large_body(server: Server, record: str) -> None:
    """Clients that send everything before they listen hear the refusal, up to a size."""
    refused = form(part("attachment", b"x" * 5 * MIB, "a.txt"))
    assert ask(server, "POST", "/buckets/none/collections/c/records/r/attachment", refused) == 403


def test_a_large_file_takes_little_memory(server: Server) -> None:
    uploader = Uploader(server)
    uploader.send("PUT", "/buckets/b2")
    uploader.send("PUT", "/buckets/b2/collections/c")
    block = b"0123456789abcdef" * 4096
    path = "/buckets/b2/collections/c/records/warm/attachment"
    uploader.upload(path, lambda: iter((block,)), len(block))
    memory = Memory(ProcessTree(server.pid))
    count = 96 * MIB // len(block)
    path = "/buckets/b2/collections/c/records/large/attachment"
    uploader.upload(path, lambda: (block for _ in range(count)), count * len(block))
    assert memory.more() < 32 * MIB
