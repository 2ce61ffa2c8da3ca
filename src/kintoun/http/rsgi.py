"""The adapter between RSGI, Granian's own interface, and the server's requests and answers.

It does what `asgi` does for some twenty microseconds less: one call carries the whole answer, if it is not
streamed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from granian._granian import RSGIProtocolClosed as ProtocolClosed

from kintoun.http.answers import Answer, Streamed, error_answer
from kintoun.http.asgi import Respond
from kintoun.http.incoming import Incoming
from kintoun.http.limits import Base, Limits
from kintoun.http.patience import Patience
from kintoun.http.ready import Ready
from kintoun.http.requests import Request
from kintoun.http.streaming import Streams
from kintoun.http.wire import Wire, complete
from kintoun.model.errors import ProtocolError


class Adapter:
    """Serves RSGI's `http` connections with `respond`, which never raises."""

    def __init__(
        self,
        respond: Respond,
        wire: Wire,
        limits: Limits,
        base: Base,
        streams: Callable[[str], bool],
        *,
        refuse: Callable[[ProtocolError], Answer] = error_answer,
        ready: Ready | None = None,
    ) -> None:
        """`refuse` makes the answer to a request that is not read: it is longer or slower than it may be.
        What is `ready` is sent without asking `respond`.
        """
        self._respond = respond
        self._ready = ready
        self._refuse = refuse
        self._streams = streams
        self._wire = wire
        self._limits = limits
        self._base = base
        self._patience = Patience(limits.seconds)
        self.streams = Streams()
        self.closing = False
        self.last_answers = 0
        """How many answers said so."""

    async def __call__(self, scope: Any, protocol: Any) -> None:
        request = _UNREAD
        try:
            request = await self._request(scope, protocol)
            answer = await self._respond(request)
            if request.incoming is not None:
                await request.incoming.drain()
        except ProtocolError as error:
            answer = self._refuse(error)
        except ProtocolClosed:
            return
        headers = complete(self._wire, request, answer)
        if self.closing:
            self.last_answers += 1
            if scope.http_version != "2":
                headers.append(("Connection", "close"))
        if isinstance(answer, Streamed):
            if scope.method != "HEAD" and answer.file is None:
                await self.streams.send(scope, protocol, answer, headers)
                return
            await answer.stream.aclose()
            if scope.method != "HEAD" and answer.file is not None:
                path, start, stop = answer.file
                with suppress(ProtocolClosed):
                    protocol.response_file_range(answer.status, headers, path, start, stop)
                return
        try:
            if answer.body and scope.method != "HEAD" and answer.status != 304:
                protocol.response_bytes(answer.status, headers, answer.body)
            else:
                protocol.response_empty(answer.status, headers)
        except ProtocolClosed:
            pass  # a client that has hung up waits for no answer

    def at_once(self, scope: Any, protocol: Any) -> bool:
        """Send the answer to a request if it is ready; whether it was. Any thread may call it."""
        ready = self._ready
        if ready is None or not ready.paths or self.closing:
            return False
        if (path := scope.path) not in ready.paths or scope.method != "GET":
            return False
        began = time.perf_counter()
        reply = ready.find(path, scope.query_string, scope.headers.items())
        if reply is None:
            return False
        answer = reply.answer
        try:
            if answer.body:
                protocol.response_bytes(answer.status, reply.headers, answer.body)
            else:
                protocol.response_empty(answer.status, reply.headers)
        except ProtocolClosed:
            pass
        ready.note(reply, time.perf_counter() - began)
        return True

    def close(self) -> None:
        """From now on every answer is the last one of its connection: the worker is about to end."""
        self.closing = True
        self.streams.end()

    async def _request(self, scope: Any, protocol: Any) -> Request:
        limits = self._limits
        headers = limits.read_headers(scope.headers.items())
        # Granian has percent-decoded the path already: decoding it again would read `%252F` as a slash.
        path, query = scope.path, scope.query_string
        limits.check_url(len(path) + len(query))
        if "host" not in headers:
            headers["host"] = scope.authority or ""
        body = b""
        streamed = self._streams(path)
        if not streamed and limits.expects_body(scope.method, headers):
            try:
                body = await self._patience.wait(self._body(headers, protocol))
            except TimeoutError:
                raise limits.too_slow() from None
        request = Request(
            scope.method,
            path,
            query.encode(),
            headers,
            body,
            base=self._base.of(scope.scheme, headers),
            peer=scope.client,
        )
        if streamed:
            request.incoming = Incoming(_chunks(protocol), headers, limits, self._patience)
        return request

    async def _body(self, headers: dict[str, str], protocol: Any) -> bytes:
        if "content-length" in headers:
            whole: bytes = await protocol()
            return whole
        parts: list[bytes] = []
        size = 0
        async for part in protocol:
            size += len(part)
            self._limits.check_body(size)
            parts.append(part)
        return b"".join(parts)


async def _chunks(protocol: Any) -> AsyncIterator[bytes]:
    async for chunk in protocol:
        yield chunk


_UNREAD = Request("GET", "/")
