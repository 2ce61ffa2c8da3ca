"""Many streams in one process: `python -m bench.listeners PORT STREAMS PATH`, driven by lines on its input.

It opens the streams, says `open`, and then for each line `N` says, when every stream has had N more events,
how many nanoseconds after the time in the event's field `sent` each arrived: `[p50, p99, worst, missing]`.

An event has arrived when the kernel has it at the client's end of the connection, as the kernel itself tells
(`SO_TIMESTAMPNS`). Clients have machines of their own; here one process is all of them, on the cores that the
server has too. So it reads now and then what came meanwhile, and when it does so counts for nothing.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

SECONDS = 120.0
BETWEEN_READS = 0.1
_SENT = b'"sent":'
_STAMPED = 35
"""SO_TIMESTAMPNS, for which Python has no name."""
_STAMP = struct.Struct("=qq")


class Crowd:
    """The clients of many streams."""

    def __init__(self, port: int, streams: int, path: str) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._room = bytearray(1 << 20)
        # The client's ports of one address would not be enough for some machines.
        hosts = [f"127.0.0.{1 + n}" for n in range(8)]
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
        for n in range(streams):
            one = socket.create_connection(
                ("127.0.0.1", port), timeout=SECONDS, source_address=(hosts[n % len(hosts)], 0)
            )
            one.setsockopt(socket.SOL_SOCKET, _STAMPED, 1)
            one.sendall(request)
            one.setblocking(False)
            self._sockets[one.fileno()] = one
            self._poll.register(one, select.EPOLLIN)
            if n % 200 == 199:
                self._until_begun(n + 1)
        self._until_begun(streams)

    _begun = 0

    def _until_begun(self, streams: int) -> None:
        """Wait until as many streams have sent their first bytes."""
        deadline = time.monotonic() + SECONDS
        while self._begun < streams and time.monotonic() < deadline:
            for number, _ in self._poll.poll(1):
                data = self._sockets[number].recv(65536)
                if b"HTTP/1.1 200" not in data and b"HTTP/1.1" in data:
                    raise SystemExit(f"refused: {data[:300]!r}")
                self._begun += b"retry:" in data
        if self._begun < streams:
            raise SystemExit(f"only {self._begun} of {streams} streams began")

    def _ready(self) -> Iterator[socket.socket]:
        """Whoever was sent something meanwhile."""
        time.sleep(BETWEEN_READS)
        for number, _ in self._poll.poll(1, len(self._sockets)):
            yield self._sockets[number]

    def drain(self) -> None:
        """Read whatever comes, until this process is ended."""
        while True:
            for one in self._ready():
                one.recv_into(self._room)

    def hear(self, events: int) -> list[int]:
        """How long each event of each stream took, in nanoseconds."""
        wanted = events * len(self._sockets)
        took: list[int] = []
        deadline = time.monotonic() + SECONDS
        while len(took) < wanted and time.monotonic() < deadline:
            for one in self._ready():
                size, about, _, _ = one.recvmsg_into((self._room,), 64)
                if not size:
                    raise SystemExit("a stream was closed")
                took += self._heard(size, about[0][2])
        return took

    def _heard(self, size: int, stamp: bytes) -> Iterator[int]:
        seconds, nanoseconds = _STAMP.unpack(stamp)
        at = self._room.find(_SENT, 0, size)
        while at >= 0:
            at += len(_SENT)
            sent = int(self._room[at : self._room.index(b",", at)])
            yield seconds * 1_000_000_000 + nanoseconds - sent
            at = self._room.find(_SENT, at, size)


def main() -> None:
    port, streams, path = sys.argv[1:4]
    crowd = Crowd(int(port), int(streams), path)
    print("open", flush=True)
    for line in sys.stdin:
        if line.strip() == "drain":
            crowd.drain()
        wanted = int(line)
        took = sorted(crowd.hear(wanted))
        missing = wanted * int(streams) - len(took)
        said = [took[len(took) // 2], took[int(len(took) * 0.99)], took[-1]] if took else [0, 0, 0]
        print(json.dumps([*said, missing]), flush=True)


if __name__ == "__main__":
    main()
