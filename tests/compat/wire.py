"""Requests and answers on the wire, without a client library that would tidy up what we want to see."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Request:
    """One request as it is sent; `target` is the raw request target, `/v1` included."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    chunked: bool = False

    def __str__(self) -> str:
        lines = [f"{self.method} {self.target}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name != "Authorization"]
        if self.body is not None:
            lines.append(self.body[:600].decode("utf-8", "backslashreplace"))
        return "\n".join(lines)


@dataclass(frozen=True)
class Answer:
    """One answer; header names in lower case, in the order of the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, None when it is absent."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        """The decoded body; the text itself when it is not JSON, None when it is empty."""
        if not self.raw:
            return None
        try:
            return json.loads(self.raw)
        except ValueError:
            return self.raw.decode("utf-8", "backslashreplace")

    @property
    def errno(self) -> int | None:
        """The `errno` of an error body (protocol section 1.4)."""
        body = self.json
        return body.get("errno") if isinstance(body, dict) else None

    @property
    def timestamp(self) -> int | None:
        """The integer inside the ETag."""
        etag = (self.header("etag") or "").strip('"')
        return int(etag) if etag.isdigit() else None

    def __str__(self) -> str:
        shown = ("etag", "next-page", "location", "allow", "cache-control", "content-type")
        lines = [str(self.status)]
        lines += [f"{name}: {value}" for name, value in self.headers if name in shown]
        lines.append(self.raw[:700].decode("utf-8", "backslashreplace"))
        return "\n".join(lines)


class _Lenient(http.client.HTTPConnection):
    """Sends whatever target it is given: ill-formed requests are part of what we compare."""

    def _validate_path(self, url: str) -> None:
        """Accept control characters, which the base class refuses."""

    def _encode_request(self, request: str) -> bytes:
        return request.encode("utf-8", "surrogateescape")


class Client:
    """A kept-alive connection to one server."""

    def __init__(self, root: str) -> None:
        self.root = root
        parts = urlsplit(root)
        self._connection = _Lenient(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)

    def send(self, request: Request) -> Answer:
        """Send and read the whole answer, once more on a new connection when the kept one had been closed."""
        try:
            return self._send(request)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            return self._send(request)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, request: Request) -> Answer:
        connection = self._connection
        connection.putrequest(request.method, request.target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value.encode("utf-8"))
        if request.chunked:
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(_chunks(request.body or b""), encode_chunked=True)
        else:
            if request.body is not None:
                connection.putheader("Content-Length", str(len(request.body)))
            elif request.method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", "0")
            connection.endheaders(request.body)
        response = connection.getresponse()
        raw = response.read()
        headers = tuple((name.lower(), value) for name, value in response.getheaders())
        return Answer(response.status, headers, raw)


def _chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 7):
        yield body[start : start + 7]
