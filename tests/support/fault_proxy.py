"""A proxy between a client and a server of the tests, that breaks connections when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 64 * 1024


class FaultProxy:
    """Passes on what both sides send to `port` on 127.0.0.1.

    `cut_up` and `cut_down` are how many more bytes pass to and from the server before a connection is broken;
    None: as many as come. After `times` faults all is well again. `faults` counts them.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self.cut_up: int | None = None
        self.cut_down: int | None = None
        self.times = 1_000_000
        self.faults = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, upwriter = await asyncio.open_connection("127.0.0.1", self._target)
        ways = (
            asyncio.ensure_future(self._pass(reader, upwriter, self.cut_up)),
            asyncio.ensure_future(self._pass(upstream, writer, self.cut_down)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (writer, upwriter):
                each.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None
    ) -> None:
        with suppress(ConnectionError):
            while part := await reader.read(CHUNK):
                if most is not None and self.faults < self.times:
                    most -= len(part)
                    if most < 0:
                        self.faults += 1
                        return
                writer.write(part)
                await writer.drain()


@asynccontextmanager
async def fault_proxy(port: int) -> AsyncIterator[FaultProxy]:
    """A proxy before the server at `port`."""
    proxy = FaultProxy(port)
    proxy._server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    try:
        yield proxy
    finally:
        proxy._server.close()
