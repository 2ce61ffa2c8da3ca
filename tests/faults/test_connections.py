"""Bad connections, cut in the middle of a request or endlessly slow, harm nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.sync.clients import Client, Load, Run
from tests.sync.wire import Connection, read_reply
from tests.sync.world import ENGINES, judge, serving

CUTTERS = 4
SLOW_CONNECTIONS = 100
PATIENCE = 2.0
"""Seconds within which everybody else is answered."""


@pytest.mark.parametrize("engine", ENGINES)
async def test_connections_are_cut(engine: str, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=2) as server:
        run = Run(server.url, Load(pagers=0))

        async def cut_connections() -> None:
            deadline = time.monotonic() + 2
            await asyncio.gather(*(cut_until(run, number, deadline) for number in range(CUTTERS)))

        await run.go(cut_connections)
        judge(run, server)
        assert any(op.labels.get("cut") for op in run.history.operations)
        assert "Traceback" not in server.log(), server.log()[-3000:]


async def cut_until(run: Run, number: int, deadline: float) -> None:
    """Send requests and hang up: in the headers, in the body, or before the answer."""
    dice = random.Random(number)
    client = Client(run, f"cutter-{number}")
    while time.monotonic() < deadline:
        path, sent, method = client.path(client.any_id()), client.data(), "PUT"
        if dice.random() < 0.5:
            method, path = "POST", "/batch"
            items = [client.path(client.any_id()) for _ in range(5)]
            sent = {"requests": [{"method": "PUT", "path": item, "body": client.data()} for item in items]}
        whole = Connection(run.url, "alice").encode(method, path, {}, sent)
        part = whole if dice.random() < 0.3 else whole[: dice.randrange(1, len(whole))]
        operation = run.history.invoke(
            client.name, method, path, user="alice", sent=sent, labels={"cut": True, "unsent": part != whole}
        )
        await hang_up_after(run.url, part, dice.random() * 0.005)
        run.history.lose(operation, f"hung up after {len(part)} of {len(whole)} bytes")
        await asyncio.sleep(dice.random() * 0.02)


async def hang_up_after(url: str, part: bytes, seconds: float) -> None:
    host, port = url.split("/")[2].split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(part)
    await writer.drain()
    await asyncio.sleep(seconds)
    writer.transport.abort()


@pytest.mark.parametrize("engine", ENGINES)
async def test_slow_connections_hold_nobody_up(engine: str, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=1) as server:
        run = Run(server.url, Load(pause=0.02))

        async def crawl() -> None:
            async with slow_connections(server.port):
                await asyncio.sleep(2)

        await run.go(crawl)
        judge(run, server)
        waits = [op.answered - op.invoked for op in run.history.operations if op.answered is not None]
        assert len(waits) > 100
        assert max(waits) / 1e9 < PATIENCE


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_body_that_crawls_is_refused(framing: str) -> None:
    with configured("[limits]\nbody_seconds = 1\n") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"PUT /v1/buckets/slow HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        begin = time.monotonic()
        answer = asyncio.create_task(read_reply(reader))
        while not answer.done():
            assert time.monotonic() - begin < 10
            writer.write(b" " if "Length" in framing else b"1\r\n \r\n")
            await asyncio.sleep(0.1)
        writer.transport.abort()
        assert answer.result().status == 408
        assert 0.9 < time.monotonic() - begin < 5


@contextlib.contextmanager
def configured(toml: str) -> Iterator[Server]:
    """A server with a configuration file of its own."""
    directory = Path(tempfile.mkdtemp(prefix="kintoun-"))
    (directory / "kintoun.toml").write_text(toml)
    program = [
        str(Path(sys.executable).parent / "kintoun"),
        "serve",
        "--data",
        str(directory),
        "--host",
        "127.0.0.1",
    ]
    server = Server(lambda port: [*program, "--port", str(port)], directory, {})
    try:
        yield server.start()
    finally:
        server.close()


@contextlib.asynccontextmanager
async def slow_connections(port: int) -> AsyncIterator[None]:
    """Many connections, half of them crawling through the headers and half through the body of a request."""
    tasks = [asyncio.create_task(crawl_along(port, number % 2 == 0)) for number in range(SLOW_CONNECTIONS)]
    try:
        yield
        assert not [task for task in tasks if task.done() and task.exception() is not None]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def crawl_along(port: int, in_headers: bool) -> None:
    """One byte at a time, until the server has had enough of it."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PUT /v1/buckets/sync/collections/main/records/slow HTTP/1.1\r\nHost: localhost\r\n")
        if not in_headers:
            writer.write(b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
        while True:
            writer.write(b"X" if in_headers else b" ")
            try:
                await writer.drain()
            except OSError:
                return
            await asyncio.sleep(0.1)
    finally:
        writer.transport.abort()
