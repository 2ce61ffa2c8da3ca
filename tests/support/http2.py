"""One request over HTTP/2 without TLS, by a client that takes no more than it says (RFC 9113)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
STREAM = 1
INDEXED_200 = 0x88

_FRAME = struct.Struct("!BHBBL")


class Frame(NamedTuple):
    """A frame as it arrived."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Exchange:
    """A GET request and its answer. Windows have their first size, 65,535 bytes, until they are opened."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str], timeout: float) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        fields = {":method": "GET", ":scheme": "http", ":path": path, ":authority": f"127.0.0.1:{port}"}
        block = b"".join(_literal(name, value) for name, value in {**fields, **headers}.items())
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._send(SETTINGS, 0, 0, b"")
        self._send(HEADERS, END_STREAM | END_HEADERS, STREAM, block)

    def open_windows(self, size: int) -> None:
        """Allow the server to send so much more."""
        for stream in (0, STREAM):
            self._send(WINDOW_UPDATE, 0, stream, struct.pack("!L", size))

    def data(self) -> Iterator[bytes]:
        """What is sent of the body, to its end. The answer must be a 200."""
        while True:
            frame = self._next()
            assert frame.kind != GOAWAY, f"the server gave up: {frame.payload!r}"
            if frame.kind == HEADERS:
                assert frame.payload[0] == INDEXED_200, "another status than 200"
            elif frame.kind == DATA:
                yield frame.payload
            elif frame.kind in (SETTINGS, PING) and not frame.flags & ACK:
                self._send(frame.kind, ACK, 0, frame.payload if frame.kind == PING else b"")
            if frame.stream == STREAM and frame.kind in (DATA, HEADERS) and frame.flags & END_STREAM:
                return

    def close(self) -> None:
        self._socket.close()

    def _next(self) -> Frame:
        high, low, kind, flags, stream = _FRAME.unpack(self._read(_FRAME.size))
        return Frame(kind, flags, stream, self._read(high << 16 | low))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            assert more, "the connection was closed"
            data += more
        return data

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = _FRAME.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream)
        self._socket.sendall(head + payload)


def _literal(name: str, value: str) -> bytes:
    """A header field that is not indexed (RFC 7541 section 6.2.2), of less than 127 bytes each."""
    parts = name.encode(), value.encode()
    assert all(len(part) < 127 for part in parts)
    return b"\0" + b"".join(bytes((len(part),)) + part for part in parts)
