"""Many streams in one process: `python -m bench.listeners PORT STREAMS PATH`, driven by lines on its input.

It opens the streams, says `open`, and then for each line `N` says, when every stream has had N more events,
how many nanoseconds after the time in the event's field `sent` each arrived: `[p50, p99, worst, missing]`.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time

SECONDS = 120.0
_SENT = re.compile(rb'"sent":(\d+)')


class Crowd:
    """The clients of many streams."""

    def __init__(self, port: int, streams: int, path: str) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        # The client's ports of one address would not be enough for some machines.
        hosts = [f"127.0.0.{1 + n}" for n in range(8)]
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
        for n in range(streams):
            one = socket.create_connection(
                ("127.0.0.1", port), timeout=SECONDS, source_address=(hosts[n % len(hosts)], 0)
            )
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

    def drain(self) -> None:
        """Read whatever comes, as cheaply as can be, until this process is ended."""
        room = bytearray(1 << 20)
        while True:
            for number, _ in self._poll.poll():
                self._sockets[number].recv_into(room)

    def hear(self, events: int) -> list[int]:
        """How long each event of each stream took, in nanoseconds."""
        wanted = events * len(self._sockets)
        took: list[int] = []
        deadline = time.monotonic() + SECONDS
        while len(took) < wanted and time.monotonic() < deadline:
            for number, _ in self._poll.poll(1):
                data = self._sockets[number].recv(65536)
                now = time.monotonic_ns()
                if not data:
                    raise SystemExit("a stream was closed")
                took += [now - int(sent) for sent in _SENT.findall(data)]
        return took


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
