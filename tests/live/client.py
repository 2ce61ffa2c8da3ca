"""A client of streams within this process: it reads events, and can go at any time."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from tests.support.events import Event, Reader
from tests.support.inprocess import HOST, App

SECONDS = 60.0


class Stream(Reader):
    """One open stream."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.held = asyncio.Event()
        """Whether the client reads; it does until this is cleared."""
        self.held.set()
        self._gone = asyncio.Event()
        self._answered = asyncio.Event()

    async def answered(self) -> Stream:
        async with asyncio.timeout(SECONDS):
            await self._answered.wait()
        return self

    async def next(self) -> Event:
        """The next event."""
        async with asyncio.timeout(SECONDS):
            event = await self.events.get()
        assert event is not None, "the stream has ended"
        return event

    async def ended(self) -> None:
        """Wait for the end; nothing more may come."""
        async with asyncio.timeout(SECONDS):
            assert await self.events.get() is None

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self.headers = {name.lower(): value for name, value in self.headers.items()}
            return
        self._answered.set()
        await self.held.wait()
        if self.status == 200:
            self.feed(message.get("body", b""))
        else:
            self.body += message.get("body", b"")
        if not message.get("more_body"):
            self.events.put_nowait(None)

    def go(self) -> None:
        self._gone.set()


@asynccontextmanager
async def stream(
    app: App,
    path: str,
    *,
    user: str | None = "alice",
    auth: tuple[str, str] | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Stream]:
    """A stream at `path`, which ends with the block."""
    sent = {"Host": HOST, "Accept": "text/event-stream", **(headers or {})}
    if auth is not None or user is not None:
        name, password = auth or (user, "pw")
        sent["Authorization"] = "Basic " + b64encode(f"{name}:{password}".encode()).decode()
    raw_path, _, query = quote(f"/v1{path}", safe="/?%:@!$&'()*+,;=~-._").partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http",
        "path": raw_path, "raw_path": raw_path.encode(), "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 50000),
    }  # fmt: skip
    client = Stream()
    task = asyncio.ensure_future(app.application(scope, client.receive, client.send))
    try:
        await client.answered()
        yield client
    finally:
        client.held.set()
        client.go()
        async with asyncio.timeout(SECONDS):
            await task
