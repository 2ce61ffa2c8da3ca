"""HTTP/1.1 over one connection, with nothing hidden: no retry, no pool, no redirect.

The history must show each request exactly once. Ordinary clients send an idempotent request again when a
kept-alive connection breaks, which would make one recorded write two.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class ConnectionLost(Exception):
    """The answer did not arrive; whether the request was carried out is unknown."""


class NotConnected(Exception):
    """The server could not be reached; the request was certainly not carried out."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer. Header names are in lower case; ``body`` is parsed JSON, or None."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def etag(self) -> int | None:
        value = self.headers.get("etag", "").strip('"')
        return int(value) if value.isdecimal() else None


class Connection:
    """One client's connection, opened on first use and again after it broke."""

    def __init__(self, url: str, user: str, *, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._prefix = parts.path.rstrip("/")
        self._auth = "Basic " + base64.b64encode(f"{user}:secret".encode()).decode()
        self._timeout = timeout
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None and _usable(self._reader):
            return self._reader, self._writer
        await self.close()
        try:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 26)
        except OSError as error:
            raise NotConnected(str(error)) from error
        return self._reader, self._writer

    def encode(self, method: str, path: str, headers: dict[str, str], sent: Any) -> bytes:
        """The bytes of a request; ``path`` is relative to the API root or an absolute URL of the server."""
        if path.startswith("http"):
            parts = urlsplit(path)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
        else:
            target = self._prefix + path
        body = b"" if sent is None else json.dumps(sent).encode()
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"Authorization: {self._auth}", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, sent: Any = None
    ) -> Reply:
        """Send one request and wait for its answer.

        Raises `NotConnected` when nothing was sent and `ConnectionLost` when no whole answer came back.
        """
        reader, writer = await self._open()
        try:
            async with asyncio.timeout(self._timeout):
                writer.write(self.encode(method, path, headers or {}, sent))
                await writer.drain()
                return await read_reply(reader, with_body=method != "HEAD")
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            await self.close()
            raise ConnectionLost(f"{type(error).__name__}: {error}") from error


def _usable(reader: asyncio.StreamReader) -> bool:
    return not reader.at_eof() and reader.exception() is None


async def read_reply(reader: asyncio.StreamReader, *, with_body: bool = True) -> Reply:
    """Read one answer. Raises EOFError when the connection ends early, ValueError when it is not HTTP."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.rstrip().split("\r\n")
    status = int(first.split(" ", 2)[1])
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)
    }
    body = b""
    if with_body and status not in (204, 304):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _read_chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    is_json = "json" in headers.get("content-type", "")
    return Reply(status, headers, json.loads(body) if body and is_json else None)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readline()
    return b"".join(parts)
