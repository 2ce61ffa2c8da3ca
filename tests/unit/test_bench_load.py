"""The load generator: reading answers, and a run against a real socket."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from bench.load import Answer, Plan, run_load
from bench.workloads import WORKLOADS, Request, World, select

WORLD = World(url="http://127.0.0.1:9/v1", records=10_000, etag='"9"', before_diff='"5"')


def feed(answer: Answer, message: bytes, size: int) -> list[bool]:
    return [answer.feed(message[start : start + size]) for start in range(0, len(message), size)]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "message",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 503 Busy\r\ncontent-length:5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nETag: "5"\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_is_whole_with_its_last_byte_and_not_before(message: bytes, size: int) -> None:
    answer = Answer(head_only=False)
    verdicts = feed(answer, message, size)
    assert verdicts == [False] * (len(verdicts) - 1) + [True]
    assert answer.status == int(message[9:12])


def test_a_head_answer_has_no_body_whatever_its_length_says() -> None:
    assert Answer(head_only=True).feed(b"HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n")


def test_an_answer_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        Answer(head_only=False).feed(b"HTTP/1.1 200 OK\r\n\r\n")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = 503 if self.path == "/busy" else 200
        self.send_response(status)
        self.send_header("Content-Length", "3")
        if self.path == "/close":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"abc")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_run_counts_answers_errors_and_closed_connections(port: int) -> None:
    requests = [Request("GET", path).encode("localhost") for path in ("/", "/busy", "/close")]
    result = run_load(Plan("127.0.0.1", port, connections=3, seconds=0.3, requests=requests))
    assert result.completed == sum(result.statuses.values()) > 3
    assert result.lost == 0
    assert result.errors == result.wrong == result.statuses["503"] > 0
    assert result.first_error is not None
    assert result.first_error.endswith("abc")
    assert result.p50 is not None
    assert result.p99 is not None
    assert 0 < result.p50 <= result.p99


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="refused"):
        run_load(Plan("127.0.0.1", 9, connections=1, seconds=0.1, requests=["GET / HTTP/1.1\r\n\r\n"]))


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.key)
def test_every_workload_builds_complete_messages(workload: object) -> None:
    for request in workload.requests(WORLD):  # type: ignore[attr-defined]
        head, _, body = request.encode("127.0.0.1:9").partition("\r\n\r\n")
        assert head.startswith(f"{request.method} /v1/")
        assert bool(body) == (request.method in ("PUT", "POST"))
        if body:
            assert f"Content-Length: {len(body.encode())}" in head


def test_select_takes_variants_and_refuses_strangers() -> None:
    assert [workload.key for workload in select(["W6", "W1a"])] == ["W1a", "W6a", "W6b"]
    assert [workload.key for workload in select(["W1"])] == ["W1", "W1a"]
    assert len(select([])) == len(WORKLOADS)
    with pytest.raises(KeyError):
        select(["W12"])
