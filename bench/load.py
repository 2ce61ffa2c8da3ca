"""The load generator: a closed loop of keep-alive connections, with a process and a CPU account of its own.

It reads one plan (JSON) from standard input and writes one result (JSON) to standard output. When the time is
up it sends nothing more but waits for what is under way: every request whose CPU was counted is counted too.
"""

from __future__ import annotations

import json
import random
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle

from bench.stats import percentile

DRAIN_SECONDS = 60.0
READ_BYTES = 256 * 1024
KEPT_BYTES = 2000
"""How much of an answer is kept to show it when it is wrong."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """What to send. Requests are complete HTTP/1.1 messages, sent in turn in a shuffled order."""

    host: str
    port: int
    connections: int
    seconds: float
    requests: list[str]
    wanted: int = 200
    """The status of a right answer."""
    shuffle_seed: int = 0


@dataclass
class LoadResult:
    """What came back, times in seconds. *wrong* answers had another status, *lost* requests no answer."""

    seconds: float = 0.0
    completed: int = 0
    wrong: int = 0
    lost: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    p50: float | None = None
    p99: float | None = None
    first_error: str | None = None
    generator_cpu: float = 0.0

    @property
    def errors(self) -> int:
        """Requests without the answer that was wanted."""
        return self.lost + self.wrong

    @property
    def per_second(self) -> float:
        return self.completed / self.seconds if self.seconds else 0.0


def run_load(plan: Plan) -> LoadResult:
    """Run *plan* in a child process. Raises RuntimeError with its message when the generator itself fails."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        timeout=plan.seconds + DRAIN_SECONDS + 30,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.strip()[-500:]}")
    return LoadResult(**json.loads(done.stdout))


class Answer:
    """One answer being read: knows when it is complete."""

    __slots__ = ("buffer", "chunked", "head_only", "remaining", "status")

    def __init__(self, head_only: bool) -> None:
        self.head_only = head_only
        self.buffer = b""
        self.status = 0
        self.remaining: int | None = None
        self.chunked = False

    def feed(self, data: memoryview | bytes) -> bool:
        """Take what arrived; True once the answer is whole. Raises ValueError when it is no HTTP answer."""
        if self.remaining is not None:
            self.remaining -= len(data)
            if len(self.buffer) < KEPT_BYTES:
                self.buffer += bytes(data[:KEPT_BYTES])
            return self.remaining <= 0
        self.buffer += bytes(data)
        if self.chunked:
            return self.buffer.endswith(b"0\r\n\r\n")
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        return self._read_head(self.buffer[: end + 2], len(self.buffer) - end - 4)

    def _read_head(self, head: bytes, body_so_far: int) -> bool:
        self.status = int(head[9:12])
        if self.head_only or self.status in (204, 304):
            return True
        length = _LENGTH.search(head)
        if length:
            self.remaining = int(length[1]) - body_so_far
            return self.remaining <= 0
        if _CHUNKED.search(head):
            self.chunked = True
            return self.buffer.endswith(b"0\r\n\r\n")
        raise ValueError("an answer with neither a length nor chunks")

    def closes(self) -> bool:
        return bool(_CLOSE.search(self.buffer))


class Connection:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("answer", "plan", "sock", "started")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sock = self._open()
        self.answer: Answer | None = None
        self.started = 0.0

    def _open(self) -> socket.socket:
        sock = socket.create_connection((self.plan.host, self.plan.port), timeout=DRAIN_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)  # a timeout would cost a poll() before every read and write
        return sock

    def reopen(self) -> None:
        self.sock.close()
        self.sock = self._open()

    def send(self, message: bytes) -> None:
        self.answer = Answer(message.startswith(b"HEAD "))
        self.started = time.perf_counter()
        sent = self.sock.send(message)
        if sent < len(message):  # larger than the socket's buffer
            self.sock.settimeout(DRAIN_SECONDS)
            self.sock.sendall(message[sent:])
            self.sock.setblocking(False)


class Generator:
    """The loop over all connections."""

    def __init__(self, plan: Plan) -> None:
        messages = [text.encode("latin-1") for text in plan.requests]
        random.Random(plan.shuffle_seed).shuffle(messages)
        self.messages: Iterator[bytes] = cycle(messages)
        self.plan = plan
        self.poll = select.epoll()
        self.by_fd: dict[int, Connection] = {}
        self.result = LoadResult()
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.memory = memoryview(bytearray(READ_BYTES))

    def run(self) -> LoadResult:
        for _ in range(self.plan.connections):
            self._register(Connection(self.plan))
        begin = time.perf_counter()
        stop = begin + self.plan.seconds
        for connection in self.by_fd.values():
            connection.send(next(self.messages))
        busy = len(self.by_fd)
        while busy and time.perf_counter() < stop + DRAIN_SECONDS:
            for fd, _event in self.poll.poll(1.0):
                connection = self.by_fd[fd]
                if connection.answer is not None and self._receive(connection):
                    if time.perf_counter() < stop:
                        connection.send(next(self.messages))
                    else:
                        connection.answer = None
                        busy -= 1
        self.result.lost += busy
        return self._finish(time.perf_counter() - begin)

    def _register(self, connection: Connection) -> None:
        self.by_fd[connection.sock.fileno()] = connection
        self.poll.register(connection.sock.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection) -> bool:
        """Read what is there; True when the connection may send again."""
        answer = connection.answer
        assert answer is not None
        try:
            received = connection.sock.recv_into(self.memory)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            received = 0
        if not received:
            self.result.lost += 1
            self._reconnect(connection)
            return True
        if not answer.feed(self.memory[:received]):
            return False
        self.latencies.append(time.perf_counter() - connection.started)
        self.statuses[answer.status] += 1
        if answer.status != self.plan.wanted and self.result.first_error is None:
            self.result.first_error = answer.buffer[:KEPT_BYTES].decode("latin-1")
        if answer.closes():
            self._reconnect(connection)
        return True

    def _reconnect(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        self.poll.unregister(fd)
        del self.by_fd[fd]
        connection.reopen()
        self._register(connection)

    def _finish(self, elapsed: float) -> LoadResult:
        ordered = sorted(self.latencies)
        self.result.seconds = elapsed
        self.result.completed = len(ordered)
        self.result.wrong = sum(n for status, n in self.statuses.items() if status != self.plan.wanted)
        self.result.statuses = {str(status): n for status, n in sorted(self.statuses.items())}
        if ordered:
            self.result.p50 = percentile(ordered, 0.50)
            self.result.p99 = percentile(ordered, 0.99)
        self.result.generator_cpu = time.process_time()
        return self.result


if __name__ == "__main__":
    json.dump(asdict(Generator(Plan(**json.load(sys.stdin))).run()), sys.stdout)
