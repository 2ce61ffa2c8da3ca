"""Readers of a real server that stop reading: what waits is bounded, and they go on where they were."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from kintoun.http.streaming import MULTIPLEXED_BYTES
from tests.support.configurations import configuration
from tests.support.events import Event, Reader
from tests.support.http2 import Exchange
from tests.support.servers import Server, start_configured

AUTH = ("alice", "pw")
RECORDS = "/buckets/b/collections/c/records"
SECONDS = 60.0
LARGE = "x" * 500_000
EVENT_STREAM = {"Accept": "text/event-stream"}

FEATURES = ("basicauth", "live", "metrics")
SECTIONS = """\
[live]
heartbeat_seconds = 1
stalled_seconds = 2
buffer_bytes = 65536
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_configured(configuration(FEATURES, SECTIONS)) as started:
        put(started, "/buckets/b", {"permissions": {"read": ["system.Everyone"]}})
        put(started, "/buckets/b/collections/c")
        yield started


def put(server: Server, path: str, body: object = None) -> None:
    answer = httpx.put(f"{server.url}{path}", json=body or {}, auth=AUTH, timeout=SECONDS)
    answer.raise_for_status()


def write(server: Server, numbers: range) -> None:
    with httpx.Client(auth=AUTH, timeout=SECONDS) as client:
        for n in numbers:
            body = {"data": {"n": n, "text": LARGE}}
            client.put(f"{server.url}{RECORDS}/r{n % 20}", json=body).raise_for_status()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def open_streams(server: Server) -> int:
    text = httpx.get(f"{server.url}/__metrics__", timeout=SECONDS).text
    found = re.search(r"^kintoun_live_streams(?:{.*})? (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(float(found[1]))


def memory(server: Server) -> int:
    """The bytes that the processes of a server hold at their peak."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if server.pid in (int(lines["Pid"]), int(lines["PPid"])) and "VmHWM" in lines:
                total += int(lines["VmHWM"].split()[0]) * 1024
    return total


class Copy(Reader):
    """What a client has of the list."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, int] = {}
        self._heard: list[Event] = []

    def take(self) -> None:
        """Apply what arrived whole."""
        while not self.events.empty():
            event = self.events.get_nowait()
            assert event is not None
            self._heard.append(event)
            if event.whole:
                self.records |= {each.data["id"]: each.data["n"] for each in self._heard}
                self._heard.clear()

    def resume(self, server: Server) -> None:
        """Connect anew, and go on until this is the list as it is now. What came in part is forgotten."""
        self._heard.clear()
        self.cut()
        listed = httpx.get(f"{server.url}{RECORDS}?_fields=n", timeout=SECONDS)
        wanted = {each["id"]: each["n"] for each in listed.json()["data"]}
        headers = EVENT_STREAM | ({"Last-Event-ID": self.id} if self.id else {})
        url = f"{server.url}{RECORDS}" + ("" if self.id else "?_since=0")
        with httpx.stream("GET", url, headers=headers, timeout=SECONDS) as answer:
            assert answer.status_code == 200
            parts = answer.iter_bytes()
            while self.records != wanted:
                self.feed(next(parts))
                self.take()


def stalling(server: Server) -> http.client.HTTPResponse:
    """A stream over a connection with little room, that has begun."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    one.settimeout(SECONDS)
    one.connect(("127.0.0.1", server.port))
    connection.sock = one
    connection.request("GET", f"/v1{RECORDS}?_since=0", headers=EVENT_STREAM)
    answer = connection.getresponse()
    assert answer.status == 200
    return answer


def test_who_does_not_read_is_cut_off_and_goes_on_without_a_gap(server: Server) -> None:
    write(server, range(20))
    before = memory(server)
    with closing(stalling(server)) as answer:
        write(server, range(100, 160))
        until(lambda: open_streams(server) == 0)
        # Without a bound what was committed, 40 MB, waits for this one reader, and more than once.
        assert memory(server) - before < 20e6
        copy = Copy()
        with suppress(http.client.IncompleteRead, ConnectionResetError):
            while part := answer.read1(65536):
                copy.feed(part)
    copy.take()
    copy.resume(server)


def test_over_http2_a_stream_ends_before_too_much_waits(server: Server) -> None:
    write(server, range(20))
    copy = Copy()
    copy.resume(server)
    until(lambda: open_streams(server) == 0)
    headers = {"accept": "text/event-stream", "last-event-id": copy.id}
    with closing(Exchange(server.port, f"/v1{RECORDS}", headers, SECONDS)) as exchange:
        until(lambda: open_streams(server) == 1)
        write(server, range(200, 210))
        until(lambda: open_streams(server) == 0)
        exchange.open_windows(1 << 26)
        received = 0
        for part in exchange.data():
            received += len(part)
            copy.feed(part)
    assert received <= MULTIPLEXED_BYTES + 2 * len(LARGE)
    copy.take()
    assert copy.records["r0"] == 200, "what was sent arrived"
    copy.resume(server)
