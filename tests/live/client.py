"""A client of streams within this process: it reads events, and can go at any time."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.support.inprocess import HOST, App

SECONDS = 60.0


class Event(NamedTuple):
    """One event. `id` is the last id that was seen, with it or before it; `whole` is whether it bore one."""

    name: str
    data: Any
    id: str
    whole: bool


class Reader:
    """Parses what a stream sends."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.id = ""
        self.retry = 0
        self.comments = 0
        self._rest = ""
        self._name, self._data, self._bears = "message", list[str](), False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        field, _, value = line.partition(": ")
        if not line:
            if self._data:
                data = json.loads("\n".join(self._data))
                self.events.put_nowait(Event(self._name, data, self.id, self._bears))
            self._name, self._data, self._bears = "message", [], False
        elif not field:
            self.comments += 1
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self.id, self._bears = value, True
        elif field == "retry":
            self.retry = int(value)
        else:
            raise AssertionError(f"no field of an event: {line}")


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
