"""What the kernel knows of this process's connections: whether a client takes what it is sent.

Granian's own interface takes whatever it is given into memory, and tells nothing of how much of it has left.
But as long as the kernel has room for a connection, the server below us has handed on all that it had.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_SKMEMINFO = 7
_ESTABLISHED = 1 << 1

_HEADER = struct.Struct("=IHHII")
_ASK = struct.Struct("=BBBxI")
_PORTS = struct.Struct("!HH16s16s")
_REST_OF_ID = struct.Struct("=III")
_SENT = struct.Struct("=60xI4xI")
"""Of the answer: how many bytes the other end has not acknowledged, and the inode."""
_ATTRIBUTE = struct.Struct("=HH")
_MEMORY = struct.Struct("=12xI4xI")
"""Of the attribute that tells of a socket's memory: its limit for what is sent, and what is queued."""

_BODY_BYTES = 72
_FROM = slice(8, 24)
"""Where the answer has the address at our end."""


class State(NamedTuple):
    """A connection.

    `writable` is whether the kernel takes more for it, `unacknowledged` how many bytes the other end has not
    taken yet.
    """

    writable: bool
    unacknowledged: int
    inode: int


class Connections:
    """Asks Linux about the connections of this process, one at a time."""

    def __init__(self) -> None:
        self._link: socket.socket | None = None
        self._addresses: list[bytes] = []
        """Our own addresses, as far as connections were found under them."""
        with suppress(OSError, AttributeError):
            self._link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
            self._link.setblocking(False)

    def look(self, server: str, client: str) -> State | None:
        """A connection by `host:port` of both ends; None when there is none, or the system does not tell.

        The address of the server may be the one that it listens on for all of its addresses.
        """
        if self._link is None:
            return None
        port, (host, peer_port) = _split(server)[1], _split(client)
        peer = ip_address(host.partition("%")[0])
        family = socket.AF_INET if peer.version == 4 else socket.AF_INET6
        for own in self._addresses:
            identity = _PORTS.pack(port, peer_port, own, peer.packed)
            for _, state in self._ask(self._link, family, identity, 0):
                return state
        identity = _PORTS.pack(port, peer_port, b"", b"")
        for own, state in self._ask(self._link, family, identity, _DUMP):
            if own not in self._addresses:
                self._addresses.append(own)
            return state
        return None

    def cut(self, state: State) -> None:
        """End a connection, with what the server still has for it."""
        name = f"socket:[{state.inode}]"
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()) == name:
                    with socket.socket(fileno=os.dup(int(entry.name))) as connection:
                        connection.shutdown(socket.SHUT_RDWR)
                    return

    def _ask(
        self, link: socket.socket, family: int, identity: bytes, dump: int
    ) -> Iterator[tuple[bytes, State]]:
        ask = _ASK.pack(family, socket.IPPROTO_TCP, 1 << (_SKMEMINFO - 1), _ESTABLISHED)
        body = ask + identity + _REST_OF_ID.pack(0, 0xFFFFFFFF, 0xFFFFFFFF)
        with suppress(OSError):
            link.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST | dump, 0, 0) + body)
            found = []
            while True:
                answer = link.recv(65536)
                at = 0
                while at < len(answer):
                    size, kind = _HEADER.unpack_from(answer, at)[:2]
                    if kind not in (_ERROR, _DONE):
                        found.append(_read(answer[at + _HEADER.size : at + size]))
                    if kind in (_ERROR, _DONE) or not dump:
                        yield from found
                        return
                    at += (size + 3) & ~3


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _read(body: bytes) -> tuple[bytes, State]:
    limit = queued = 0
    at = _BODY_BYTES
    while at < len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _SKMEMINFO:
            limit, queued = _MEMORY.unpack_from(body, at + _ATTRIBUTE.size)
        at += (size + 3) & ~3
    # So the kernel itself decides whether it wakes who waits to write.
    return body[_FROM], State(limit - queued >= queued // 2, *_SENT.unpack_from(body))
