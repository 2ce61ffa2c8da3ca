"""The adapter between ASGI and the server's own requests and answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from kintoun.http.answers import Answer, Streamed, error_answer
from kintoun.http.incoming import ENDED_EARLY, Incoming
from kintoun.http.limits import Base, Limits
from kintoun.http.patience import Patience
from kintoun.http.ready import Ready
from kintoun.http.requests import Request
from kintoun.http.wire import Wire, complete
from kintoun.model.errors import INVALID_PARAMETERS, ProtocolError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Respond = Callable[[Request], Awaitable[Answer]]


class Adapter:
    """Serves ASGI's `http` connections with `respond`, which never raises."""

    def __init__(
        self,
        respond: Respond,
        wire: Wire,
        limits: Limits,
        base: Base,
        streams: Callable[[str], bool],
        *,
        ready: Ready | None = None,
    ) -> None:
        self._respond = respond
        self._ready = ready
        self._streams = streams
        self._wire = wire
        self._limits = limits
        self._base = base
        self._patience = Patience(limits.seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await self.at_once(scope, send):
            return
        request = Request(scope["method"], "/")
        try:
            request = await self._request(scope, receive)
            answer = await self._respond(request)
            if request.incoming is not None:
                await request.incoming.drain()
        except ProtocolError as error:
            answer = error_answer(error)
        await send(_start(answer, complete(self._wire, request, answer)))
        if isinstance(answer, Streamed):
            try:
                if request.method != "HEAD":
                    await _pass_on(answer, receive, send)
            finally:
                await answer.stream.aclose()
        body = b"" if request.method == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def at_once(self, scope: Scope, send: Send) -> bool:
        """Send the answer to a request if it is ready; whether it was."""
        ready = self._ready
        if ready is None or (path := decoded(_raw_path(scope))) not in ready.paths:
            return False
        if scope["method"] != "GET":
            return False
        began = time.perf_counter()
        reply = ready.find(path, scope["query_string"].decode("latin-1"), _fields(scope))
        if reply is None:
            return False
        await send(_start(reply.answer, reply.headers))
        await send({"type": "http.response.body", "body": reply.answer.body})
        ready.note(reply, time.perf_counter() - began)
        return True

    async def _request(self, scope: Scope, receive: Receive) -> Request:
        limits = self._limits
        headers = limits.read_headers(_fields(scope))
        raw_path = _raw_path(scope)
        query = scope["query_string"]
        limits.check_url(len(raw_path) + len(query))
        body = b""
        path = decoded(raw_path)
        streamed = self._streams(path)
        if not streamed and limits.expects_body(scope["method"], headers):
            try:
                body = await self._patience.wait(self._body(receive))
            except TimeoutError:
                raise limits.too_slow() from None
        client = scope.get("client")
        request = Request(
            scope["method"],
            path,
            query,
            headers,
            body,
            base=self._base.of(scope.get("scheme", "http"), headers),
            peer=client[0] if client else None,
        )
        if streamed:
            request.incoming = Incoming(_chunks(receive), headers, limits, self._patience)
        return request

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in _chunks(receive):
            size += len(part)
            self._limits.check_body(size)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _fields(scope: Scope) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


def _raw_path(scope: Scope) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.partition(b"?")[0]


def _start(answer: Answer, headers: list[tuple[str, str]]) -> dict[str, Any]:
    encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
    return {"type": "http.response.start", "status": answer.status, "headers": encoded}


async def _pass_on(answer: Streamed, receive: Receive, send: Send) -> None:
    """Send a body as it comes, until it ends or its client goes."""

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task = asyncio.current_task()
    assert task is not None, "requests are served in tasks"

    def leave(_: object) -> None:
        task.cancel()

    gone = asyncio.ensure_future(left())
    gone.add_done_callback(leave)
    try:
        async for part in answer.stream:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except asyncio.CancelledError:
        if not gone.done() or task.uncancel():
            raise  # somebody else wants it to end
    finally:
        gone.remove_done_callback(leave)
        gone.cancel()


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProtocolError(400, INVALID_PARAMETERS, ENDED_EARLY)
        yield message.get("body", b"")
        more = message.get("more_body", False)


def decoded(raw_path: bytes | str) -> str:
    """The path, percent-decoded as a whole: an encoded slash separates segments (protocol section 1.1)."""
    return unquote_to_bytes(raw_path).decode("utf-8", "replace")
