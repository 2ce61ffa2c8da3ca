"""An application that streams, for servers that load it as `tests.live.streaming_app:application`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from tempfile import TemporaryDirectory
from typing import Any

from kintoun.app import create_app
from kintoun.http.answers import Answer, Streamed, json_answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.plugin import Plugin, Registry
from kintoun.settings import Settings, Storage

CHUNK = b"0123456789abcdef" * 4096
CHUNKS = 2000


class Streaming(Plugin):
    """Endpoints of which each streams in its own way, and one that tells what became of them."""

    name = "streaming"

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.closed: list[str] = []
        self.sent = 0

    def setup(self, registry: Registry, settings: Any) -> None:
        for name in ("three", "large", "forever", "breaks"):
            registry.endpoint(Endpoint(name, f"/{name}", {"GET": self.stream, "HEAD": self.stream}))
        registry.endpoint(Endpoint("state", "/state", {"GET": self.state}))

    async def stream(self, context: Any, request: Request) -> Answer:
        name = request.path.rpartition("/")[2]
        length = CHUNKS * len(CHUNK) if name == "large" else None
        body = Body(self, name, getattr(self, name)())
        return Streamed(200, body, media_type="text/plain", length=length, endless=name == "forever")

    async def state(self, context: Any, request: Request) -> Answer:
        return json_answer({"begun": self.begun, "closed": self.closed, "sent": self.sent})

    async def three(self) -> AsyncGenerator[bytes, None]:
        for part in (b"one", b"two", b"three"):
            await asyncio.sleep(0)
            yield part

    async def large(self) -> AsyncGenerator[bytes, None]:
        for _ in range(CHUNKS):
            self.sent += 1
            yield CHUNK

    async def forever(self) -> AsyncGenerator[bytes, None]:
        yield b"begun"
        await asyncio.Event().wait()

    async def breaks(self) -> AsyncGenerator[bytes, None]:
        yield b"not all"
        raise RuntimeError("of the test")


class Body:
    """A stream that tells when it is begun and closed."""

    def __init__(self, plugin: Streaming, name: str, parts: AsyncGenerator[bytes, None]) -> None:
        self._plugin = plugin
        self._name = name
        self._parts = parts
        plugin.begun.append(name)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._parts)

    async def aclose(self) -> None:
        await self._parts.aclose()
        self._plugin.closed.append(self._name)


plugin = Streaming()
directory = TemporaryDirectory(prefix="kintoun-streaming-")
storage = Storage(url=f"sqlite:{directory.name}/db.sqlite")
application = create_app(Settings(storage=storage), plugin)
