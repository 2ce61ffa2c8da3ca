"""The adapter between ASGI and the server's own requests and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from kintoun.http.answers import Answer, error_answer
from kintoun.http.requests import Request
from kintoun.http.wire import Wire, complete
from kintoun.model.errors import (
    INVALID_PARAMETERS,
    REQUEST_TOO_LARGE,
    ProtocolError,
    invalid,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Respond = Callable[[Request], Awaitable[Answer]]


class Limits:
    """The most that a request may send, in bytes."""

    __slots__ = ("body", "header", "url")

    def __init__(self, body: int, url: int, header: int) -> None:
        self.body = body
        self.url = url
        self.header = header


class Adapter:
    """Serves ASGI's `http` connections with `respond`, which never raises."""

    def __init__(self, respond: Respond, wire: Wire, limits: Limits, base: Base) -> None:
        self._respond = respond
        self._wire = wire
        self._limits = limits
        self._base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request("GET", "/")
        try:
            request = await self._request(scope, receive)
            answer = await self._respond(request)
        except ProtocolError as error:
            answer = error_answer(error)
        await self._send(request, answer, send)

    async def _request(self, scope: Scope, receive: Receive) -> Request:
        headers: dict[str, str] = {}
        most = self._limits.header
        for raw_name, raw_value in scope["headers"]:
            name = raw_name.decode("latin-1")
            if len(raw_value) > most:
                raise invalid("header", name, f"{name} is longer than {most} bytes")
            value = raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raw_path = scope.get("raw_path") or scope["path"].encode()
        raw_path, _, _ = raw_path.partition(b"?")
        query = scope["query_string"]
        if len(raw_path) + len(query) > self._limits.url:
            raise ProtocolError(414, INVALID_PARAMETERS, f"The URL is longer than {self._limits.url} bytes.")
        client = scope.get("client")
        return Request(
            scope["method"],
            decoded(raw_path),
            query,
            headers,
            await self._body(headers, receive),
            base=self._base.of(scope.get("scheme", "http"), headers),
            peer=client[0] if client else None,
        )

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limits.body:
            raise self._too_large()
        if (not length or length == "0") and "transfer-encoding" not in headers:
            return b""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ProtocolError(400, INVALID_PARAMETERS, "The request ended before its body did.")
            part = message.get("body", b"")
            size += len(part)
            if size > self._limits.body:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> ProtocolError:
        return ProtocolError(
            413, REQUEST_TOO_LARGE, f"The request body is larger than {self._limits.body} bytes."
        )

    async def _send(self, request: Request, answer: Answer, send: Send) -> None:
        headers = [
            (name.encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in complete(self._wire, request, answer)
        ]
        body = b"" if request.method == "HEAD" else answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Base:
    """What absolute URLs begin with: the deployment's own scheme and host, or those of the request."""

    def __init__(self, scheme: str | None, host: str | None) -> None:
        self._scheme = scheme
        self._host = host

    def of(self, scheme: str, headers: dict[str, str]) -> str:
        host = self._host or headers.get("host") or "localhost"
        if not host.isprintable() or not host.isascii():
            raise invalid("header", "Host", "Invalid host")
        return f"{self._scheme or scheme}://{host}"


def decoded(raw_path: bytes | str) -> str:
    """The path, percent-decoded as a whole: an encoded slash separates segments (protocol section 1.1)."""
    try:
        path = unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        path = "\0"
    if "\0" in path:
        raise ProtocolError(400, INVALID_PARAMETERS, "Invalid URL path.")
    return path
