"""Streamed answers: whole, no faster than they are read, and closed whoever ends them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from kintoun.app import create_app
from kintoun.http.answers import Streamed
from kintoun.http.streaming import Streams
from kintoun.settings import Settings
from tests.live.streaming_app import CHUNK, CHUNKS, Body, Streaming, storage
from tests.support.ports import free_port

SECONDS = 60.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port()
    command = ["-m", "granian", "--interface", "rsgi", "--port", str(number), "--no-ws"]
    process = subprocess.Popen([sys.executable, *command, "tests.live.streaming_app:application"])
    try:
        until(lambda: reachable(number))
        yield number
    finally:
        process.terminate()
        process.wait(SECONDS)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def state(port: int) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/v1/state").json()
    return told


def ask(port: int, name: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    connection.sendall(f"GET /v1/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def test_a_stream_arrives_whole_and_is_closed(port: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{port}/v1/three")
    assert answer.text == "onetwothree"
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-length" not in answer.headers
    until(lambda: state(port)["closed"].count("three") == 1)


def test_a_head_reads_nothing_and_closes(port: int) -> None:
    before = state(port)["closed"].count("large")
    answer = httpx.head(f"http://127.0.0.1:{port}/v1/large")
    assert answer.content == b""
    assert answer.headers["content-length"] == str(CHUNKS * len(CHUNK))
    assert state(port)["closed"].count("large") == before + 1


def test_a_stream_waits_for_its_reader(port: int) -> None:
    before = state(port)["sent"]
    with closing(ask(port, "large")) as connection:
        sent = [-1, before]
        while sent[-1] != sent[-2] or sent[-1] == before:  # it comes to a halt
            time.sleep(0.3)
            sent.append(state(port)["sent"])
        assert sent[-1] - before < CHUNKS / 4, "the rest waits in the memory of the server"
        received = 0
        while received < CHUNKS * len(CHUNK):
            received += len(connection.recv(1 << 20))
    assert state(port)["sent"] == before + CHUNKS


def test_a_client_that_goes_ends_its_stream(port: int) -> None:
    before = state(port)["closed"].count("forever")
    with closing(ask(port, "forever")) as connection:
        while b"begun" not in connection.recv(4096):
            pass
        assert state(port)["closed"].count("forever") == before
    until(lambda: state(port)["closed"].count("forever") == before + 1)


def test_a_client_that_goes_without_reading_ends_its_stream(port: int) -> None:
    before = state(port)["closed"].count("large")
    with closing(ask(port, "large")) as connection:
        connection.recv(4096)
    until(lambda: state(port)["closed"].count("large") == before + 1)


def test_what_breaks_off_does_not_look_complete(port: int) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/v1/breaks")
    assert state(port)["closed"][-1] == "breaks"


class Conversation:
    """One request to an ASGI application, of a client that goes when it is told to."""

    def __init__(self, path: str, method: str = "GET") -> None:
        self.path, self.method = path, method
        self.gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []

    async def run(self, application: Any) -> bytes:
        path = f"/v1/{self.path}"
        scope = {"type": "http", "http_version": "1.1", "method": self.method, "scheme": "http", "path": path}
        scope |= {"query_string": b"", "headers": [(b"host", b"localhost")], "client": None}
        await application(scope, self.receive, self.send)
        return b"".join(message.get("body", b"") for message in self.sent)

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message.get("body") == b"begun":
            self.gone.set()


@pytest.fixture
def served() -> tuple[Any, Streaming]:
    plugin = Streaming()
    return create_app(Settings(storage=storage), plugin), plugin


@pytest.mark.asyncio
async def test_asgi_streams(served: tuple[Any, Streaming]) -> None:
    application, plugin = served
    three = Conversation("three")
    assert await three.run(application) == b"onetwothree"
    assert [m.get("more_body", False) for m in three.sent[1:]] == [True, True, True, False]
    assert await Conversation("three", "HEAD").run(application) == b""
    assert plugin.closed == ["three", "three"]


@pytest.mark.asyncio
async def test_asgi_notices_that_a_client_goes(served: tuple[Any, Streaming]) -> None:
    application, plugin = served
    async with asyncio.timeout(SECONDS):
        await Conversation("forever").run(application)
    assert plugin.closed == ["forever"]


@pytest.mark.asyncio
async def test_asgi_lets_the_server_see_what_breaks_off(served: tuple[Any, Streaming]) -> None:
    application, plugin = served
    with pytest.raises(RuntimeError, match="of the test"):
        await Conversation("breaks").run(application)
    assert plugin.closed == ["breaks"]


class Connection:
    """A connection under RSGI, whose client goes when it is told to."""

    http_version, server, client = "1.1", "127.0.0.1:80", "127.0.0.1:50000"

    def __init__(self) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Connection:
        return self

    def client_disconnect(self) -> asyncio.Future[None]:
        return self.gone

    async def send_bytes(self, data: bytes) -> None:
        self.begun.set()


@pytest.mark.asyncio
async def test_a_client_that_goes_while_its_worker_ends_is_no_error() -> None:
    plugin, streams, connection = Streaming(), Streams(), Connection()
    body = Body(plugin, "forever", plugin.forever())
    answer = Streamed(200, body, media_type="text/plain", endless=True)
    task = asyncio.ensure_future(streams.send(connection, connection, answer, []))
    async with asyncio.timeout(SECONDS):
        await connection.begun.wait()
        connection.gone.set_result(None)
        streams.end()
        await task
    assert plugin.closed == ["forever"]
