"""A client that follows a list by its stream of changes, and is checked as if it had polled.

What a stream sends up to an id is what a poll with ``_since`` would have been answered that was asked for
when the stream was opened. So it is written down as one, and judged by the same clauses.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic_ns

import httpx

from tests.support.events import Reader
from tests.sync.clients import READING, RECONNECT, Client

SILENCE = 0.05
"""Seconds after which a client that hears nothing looks at whether the run is over."""


class _Copy:
    """The local copy of a client: how far it is, and what it has heard of what comes next."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.etag = 0
        self.sync = client.run.token(f"copy-{client.name}")
        self.heard: dict[str, object] = {}
        self.confirmed = False
        """Whether a stream that was opened after the last write has told how far it is."""

    def take(self, reader: Reader, opened: int) -> None:
        """Apply what is whole, and write it down."""
        while not reader.events.empty():
            event = reader.events.get_nowait()
            assert event is not None, "a reader does not end by itself"
            assert event.name == "message", f"{self.client.name} was sent {event}"
            self.heard.pop(event.data["id"], None)
            self.heard[event.data["id"]] = event.data
            if event.whole:
                self.reach(event.id, opened)
        self.reach(reader.id, opened)

    def reach(self, place: str, opened: int) -> None:
        """Everything up to an id has been sent."""
        client, history = self.client, self.client.run.history
        final = history.quiet is not None and opened > history.quiet and not self.confirmed
        if not place or "-" in place or (int(place.strip('"')) == self.etag and not final):
            return
        etag, since, self.confirmed = int(place.strip('"')), self.etag, final
        path = f"{client.home}?_since=%22{since}%22" if since else client.home
        labels = {"listing": client.run.listing(), "sync": self.sync, "page": 0, "stream": True}
        operation = history.invoke(client.name, "GET", path, user=client.user, labels=labels, at=opened)
        history.answer(operation, 200, {"data": list(self.heard.values())}, etag=etag)
        self.heard.clear()
        self.etag = etag
        client.run.progress.set()


async def listen(client: Client) -> None:
    """Follow the list until all is quiet, over streams that are cut or not read now and then."""
    copy = _Copy(client)
    url = client.random.choice((client.run.url, *client.run.others))
    credentials = base64.b64encode(f"{client.user}:secret".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Accept": "text/event-stream"}
    async with httpx.AsyncClient(timeout=30) as wire:
        while True:
            place = {"Last-Event-ID": f'"{copy.etag}"'} if copy.etag else {}
            path = f"{url}{client.home}" + ("" if copy.etag else "?_since=0")
            copy.heard.clear()  # what was not whole is sent again
            try:
                async with _opened(wire, path, {**headers, **place}) as (chunks, opened):
                    if await _follow(client, copy, chunks, opened):
                        return
            except httpx.TransportError:
                await asyncio.sleep(RECONNECT)


@asynccontextmanager
async def _opened(
    wire: httpx.AsyncClient, url: str, headers: dict[str, str]
) -> AsyncIterator[tuple[AsyncIterator[bytes], int]]:
    opened = monotonic_ns()
    async with wire.stream("GET", url, headers=headers) as answer:
        if answer.status_code != 200:
            await answer.aread()
            if answer.status_code == 503:
                raise httpx.ReadError("not now")
            raise AssertionError(f"a stream was answered {answer.status_code}: {answer.text}")
        yield answer.aiter_bytes(), opened


async def _follow(client: Client, copy: _Copy, chunks: AsyncIterator[bytes], opened: int) -> bool:
    """Read a stream until it ends or is cut; returns whether the copy is complete."""
    reader, dice = Reader(), client.random
    cut_after = dice.expovariate(1.0)
    reading = asyncio.ensure_future(anext(chunks))
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while True:
            done, _ = await asyncio.wait([reading], timeout=SILENCE)
            if done:
                reader.feed(reading.result())
                copy.take(reader, opened)
                reading = asyncio.ensure_future(anext(chunks))
                if dice.random() < 0.02:
                    await asyncio.sleep(dice.random() * 0.5)
            if client.run.history.quiet is not None:
                reply = await client.call("HEAD", client.home)
                if reply is not None and reply.status == 200 and reply.etag == copy.etag:
                    return copy.confirmed
            elif loop.time() - began > cut_after:
                return False
    except StopAsyncIteration:
        return False
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


READING["listeners"] = listen
