"""Reload and stop under load: no request is refused, and none breaks off."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes import SECONDS, Serving

MOST_REQUESTS = 200_000
"""Of one load: a bound that is never reached, lest a mistake runs for ever."""


class Load:
    """Clients that ask one after the other, over connections that they keep and over new ones.

    `outcomes` counts what became of their requests: `answered`, `told to close`, `refused` (no connection
    came about), `broken` (a connection that did come about ended before its answer).
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.outcomes: Counter[str] = Counter()
        self.ended = False

    async def keep(self, pause: float) -> None:
        """Use a connection for as long as the server lets one."""
        while not self.ended:
            connection = await self._connect()
            if connection is None:
                continue
            while not self.ended and await self._ask(*connection, close=False):  # noqa: ASYNC110
                await asyncio.sleep(pause)
            connection[1].close()

    async def renew(self) -> None:
        """Use each connection once."""
        while not self.ended:
            connection = await self._connect()
            if connection is not None:
                await self._ask(*connection, close=True)
                connection[1].close()
            await asyncio.sleep(0.002)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            async with asyncio.timeout(SECONDS):
                return await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            self.outcomes["refused"] += 1
            await asyncio.sleep(0.02)
            return None

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, close: bool) -> bool:
        """Make one request; returns whether the connection can be used again."""
        self.ended |= self.outcomes["answered"] > MOST_REQUESTS
        line = b"Connection: close\r\n" if close else b""
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n")
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                (length,) = [each for each in head.split(b"\r\n") if each.startswith(b"content-length:")]
                await reader.readexactly(int(length.partition(b":")[2]))
        except (OSError, EOFError, TimeoutError):
            self.outcomes["broken"] += 1
            return False
        assert head.startswith(b"http/1.1 200"), head
        self.outcomes["answered"] += 1
        if b"connection: close" in head and not close:
            self.outcomes["told to close"] += 1
            return False
        return not close

    async def during(self, work: asyncio.Future[None]) -> None:
        """Go on until some work is done."""
        clients = [self.keep(pause) for pause in (0, 0, 0.003, 0.003, 0.02, 0.02)]
        clients += [self.renew() for _ in range(4)]
        tasks = [asyncio.ensure_future(client) for client in clients]
        try:
            await work
        finally:
            self.ended = True
            await asyncio.gather(*tasks)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    (tmp_path / "kintoun.toml").write_text('[project]\nname = "before"\n')
    serving = Serving(tmp_path, "--data", "d", "--workers", "2")
    try:
        yield serving.ready()
    finally:
        serving.kill()


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.05)


def name_of(server: Serving) -> str:
    name: str = httpx.get(f"{server.url}/", timeout=SECONDS).json()["project_name"]
    return name


async def test_a_reload_takes_up_the_configuration_and_breaks_no_request(
    server: Serving, tmp_path: Path
) -> None:
    before = {worker.pid for worker in server.workers()}
    load = Load(server.port)

    async def reload() -> None:
        await until(lambda: load.outcomes["answered"] > 50)
        (tmp_path / "kintoun.toml").write_text('[project]\nname = "after"\n')
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: len(server.workers()) == 2 and before.isdisjoint(w.pid for w in server.workers()))
        answered = load.outcomes["answered"]
        await until(lambda: load.outcomes["answered"] > answered + 50)

    await load.during(asyncio.ensure_future(reload()))
    assert load.outcomes["refused"] == load.outcomes["broken"] == 0, load.outcomes
    assert load.outcomes["told to close"] > 0
    assert {name_of(server) for _ in range(8)} == {"after"}
    assert server.stop() == 0


async def test_a_configuration_that_is_wrong_is_not_taken_up(server: Serving, tmp_path: Path) -> None:
    before = {worker.pid for worker in server.workers()}
    (tmp_path / "kintoun.toml").write_text('[project]\nnam = "after"\n')
    server.process.send_signal(signal.SIGHUP)
    await until(lambda: "the configuration was not reloaded" in server.log.read_text())
    assert "[project] nam" in server.log.read_text()
    assert {worker.pid for worker in server.workers()} == before
    assert name_of(server) == "before"
    (tmp_path / "kintoun.toml").write_text('[project]\nname = "mended"\n[server]\nbacklog = 300\n')
    server.process.send_signal(signal.SIGHUP)
    await until(lambda: before.isdisjoint(worker.pid for worker in server.workers()))
    assert "these settings of the server need a restart" in server.log.read_text()
    await until(lambda: name_of(server) == "mended")
    assert server.stop() == 0


async def test_whoever_was_let_in_is_answered_before_it_stops(server: Serving) -> None:
    load = Load(server.port)

    async def stop() -> None:
        await until(lambda: load.outcomes["answered"] > 50)
        server.process.send_signal(signal.SIGTERM)
        await until(lambda: server.process.poll() is not None)
        await until(lambda: load.outcomes["refused"] > 0)

    await load.during(asyncio.ensure_future(stop()))
    assert server.process.returncode == 0
    assert load.outcomes["broken"] == 0, load.outcomes
    assert load.outcomes["told to close"] > 0
    assert "in time" not in server.log.read_text()


async def test_an_idle_connection_does_not_keep_it_from_stopping(server: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert server.stop() == 0
    assert await reader.read() == b""
    writer.close()
