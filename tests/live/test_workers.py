"""Streams of real servers: a worker that is replaced or stopped ends them, and they go on elsewhere."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.events import Event, Reader
from tests.support.servers import Server, start_kintoun

AUTH = ("alice", "pw")
RECORDS = "/buckets/b/collections/c/records"
SECONDS = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    ini = {
        "kinto.includes": "kinto.plugins.live",
        "multiauth.policies": "basicauth",
        "kinto.userid_hmac_secret": "of the tests",
        "kinto.bucket_create_principals": "system.Authenticated",
    }
    with start_kintoun(ini, workers=2) as started:
        for path in ("/buckets/b", "/buckets/b/collections/c"):
            put(started, path)
        yield started


def put(server: Server, path: str) -> None:
    httpx.put(f"{server.url}{path}", auth=AUTH, timeout=SECONDS).raise_for_status()


class Following(Reader):
    """A stream that is read when it is asked for."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self._bytes = answer.iter_bytes()

    def next(self) -> Event:
        while self.events.empty():
            self.feed(next(self._bytes))
        event = self.events.get_nowait()
        assert event is not None
        return event

    def ends(self) -> None:
        """Read to the end, which comes by itself."""
        for data in self._bytes:
            self.feed(data)


@contextmanager
def following(server: Server, place: str = "") -> Iterator[Following]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": place} if place else {})
    with httpx.stream("GET", f"{server.url}{RECORDS}", auth=AUTH, headers=headers, timeout=SECONDS) as answer:
        assert answer.status_code == 200
        yield Following(answer)


def test_every_worker_sends_what_any_worker_commits(server: Server) -> None:
    with (
        following(server) as one,
        following(server) as two,
        following(server) as three,
        following(server) as four,
    ):
        for n in range(4):
            put(server, f"{RECORDS}/r{n}")
            assert {each.next().data["id"] for each in (one, two, three, four)} == {f"r{n}"}


def test_a_reload_ends_streams_and_they_go_on(server: Server) -> None:
    with following(server) as live:
        put(server, f"{RECORDS}/before")
        event = live.next()
        assert event.data["id"] == "before"
        os.kill(server.pid, signal.SIGHUP)
        live.ends()
    put(server, f"{RECORDS}/meanwhile")
    with following(server, live.id) as again:
        assert again.next().data["id"] == "meanwhile"


def test_a_stop_does_not_wait_for_streams(server: Server) -> None:
    with following(server) as live:
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        live.ends()
        server.stop()
        assert time.monotonic() - began < SECONDS / 2
    assert "did not stop in time" not in server.log()
