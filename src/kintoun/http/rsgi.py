"""The adapter between RSGI, Granian's own interface, and the server's requests and answers.

It does what `asgi` does for some twenty microseconds less: one call carries the whole answer.
"""

from __future__ import annotations

from typing import Any

from kintoun.http.answers import error_answer
from kintoun.http.asgi import Base, Limits, Respond
from kintoun.http.requests import Request
from kintoun.http.wire import Wire, complete
from kintoun.model.errors import INVALID_PARAMETERS, REQUEST_TOO_LARGE, ProtocolError, invalid


class Adapter:
    """Serves RSGI's `http` connections with `respond`, which never raises."""

    def __init__(self, respond: Respond, wire: Wire, limits: Limits, base: Base) -> None:
        self._respond = respond
        self._wire = wire
        self._limits = limits
        self._base = base

    async def __call__(self, scope: Any, protocol: Any) -> None:
        request = _UNREAD
        try:
            request = await self._request(scope, protocol)
            answer = await self._respond(request)
        except ProtocolError as error:
            answer = error_answer(error)
        headers = complete(self._wire, request, answer)
        if answer.body and request.method != "HEAD" and answer.status != 304:
            protocol.response_bytes(answer.status, headers, answer.body)
        else:
            protocol.response_empty(answer.status, headers)

    async def _request(self, scope: Any, protocol: Any) -> Request:
        headers: dict[str, str] = {}
        most = self._limits.header
        for name, value in scope.headers.items():
            if len(value) > most:
                raise invalid("header", name, f"{name} is longer than {most} bytes")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        # Granian has percent-decoded the path already: decoding it again would read `%252F` as a slash.
        path, query = scope.path, scope.query_string
        if len(path) + len(query) > self._limits.url:
            raise ProtocolError(414, INVALID_PARAMETERS, f"The URL is longer than {self._limits.url} bytes.")
        if (not path.isascii() and "\ufffd" in path) or "\0" in path:
            # The replacement character is what Granian puts for bytes that are no UTF-8.
            raise ProtocolError(400, INVALID_PARAMETERS, "Invalid URL path.")
        headers.setdefault("host", scope.authority or "")
        body = b""
        if "content-length" in headers or "transfer-encoding" in headers:
            body = await self._body(headers, protocol)
        return Request(
            scope.method,
            path,
            query.encode(),
            headers,
            body,
            base=self._base.of(scope.scheme, headers),
            peer=scope.client,
        )

    async def _body(self, headers: dict[str, str], protocol: Any) -> bytes:
        length = headers.get("content-length")
        if length is not None and length.isdigit():
            if int(length) > self._limits.body:
                raise self._too_large()
            whole: bytes = await protocol()
            return whole
        parts: list[bytes] = []
        size = 0
        async for part in protocol:
            size += len(part)
            if size > self._limits.body:
                raise self._too_large()
            parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> ProtocolError:
        return ProtocolError(
            413, REQUEST_TOO_LARGE, f"The request body is larger than {self._limits.body} bytes."
        )


_UNREAD = Request("GET", "/")
