"""The same bad input, and bad HTTP, over a socket to a real server and all that stands in it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.profile import examples
from tests.fuzz.served import SECONDS
from tests.fuzz.test_bad_input import EVERYTHING, problem
from tests.support.servers import Server, start_kintoun

ALICE = b"Authorization: Basic YWxpY2U6cHc=\r\n"
R = b"/v1/buckets/b/collections/c/records"
SHORT, LONG = examples(short=60, long=3000)

BY_HTTP = {"raw bytes in a query", "nul in a quoted value", "nul in a nested value", "long url", "long path"}
"""What the HTTP layer may refuse before the application sees it, in its own words."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    ini = {
        "multiauth.policies": "basicauth",
        "kinto.userid_hmac_secret": "fuzz",
        "kinto.cors_origins": "http://good.example",
    }
    started = start_kintoun(ini)
    try:
        for path in (b"/v1/buckets/b", b"/v1/buckets/b/collections/c", R + b"/there"):
            status, _ = ask(started, b"PUT", path)
            assert status == 201
        yield started
        assert "Traceback" not in started.log(), started.log()[-4000:]
        assert "unexpected error" not in started.log(), started.log()[-4000:]
    finally:
        started.stop()


def ask(
    server: Server, method: bytes, target: bytes, headers: bytes = b"", body: bytes = b""
) -> tuple[int, bytes]:
    """The status and the body of the answer to one request on a connection of its own; status 0: hung up."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    head = b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % (method, target)
    return raw(server, head + ALICE + headers + length + b"\r\n" + body, SECONDS)


def raw(server: Server, sent: bytes, seconds: float = 0.4) -> tuple[int, bytes]:
    """The answer to bytes. After `seconds` of silence the server waits for more: that is status 0 too."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        # A server that has heard enough may hang up; what it said before that is still there.
        with suppress(OSError):
            connection.sendall(sent)
        with suppress(OSError):
            while part := connection.recv(65536):
                received += part
    if not received.startswith(b"HTTP/1."):
        return 0, b""
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def alive(server: Server) -> None:
    assert ask(server, b"GET", b"/v1/__lbheartbeat__") == (200, b"{}")


def test_every_bad_input_is_refused_over_the_wire(server: Server) -> None:
    wrong = []
    for bad in EVERYTHING:
        headers = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in bad.headers)
        status, body = ask(server, bad.method.encode(), bad.target, headers, bad.body)
        if bad.id in BY_HTTP and (status == 0 or 400 <= status < 500):
            continue
        said = problem(bad, status, _json(body))
        if said is not None:
            wrong.append(f"{bad.id}: {said}")
    assert not wrong, "\n".join(wrong)
    alive(server)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return {"code": 0, "errno": 0, "message": repr(body[:100]), "details": []}


ODD = {
    "bytes in a header": b"GET /v1/ HTTP/1.1\r\nHost: localhost\r\nX-Odd: \xff\xfe\r\n\r\n",
    "bytes in credentials": b"GET /v1/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic \xff\r\n\r\n",
    "bytes in a tag": b'GET %s HTTP/1.1\r\nHost: localhost\r\nIf-Match: "\xff"\r\n\r\n' % R,
    "nul in a header": b"GET /v1/ HTTP/1.1\r\nHost: localhost\r\nX-Odd: a\0b\r\n\r\n",
    "a folded header": b"GET /v1/ HTTP/1.1\r\nHost: localhost\r\nX-Odd: a\r\n b\r\n\r\n",
    "many headers": b"GET /v1/ HTTP/1.1\r\nHost: localhost\r\n" + b"X-Odd: a\r\n" * 500 + b"\r\n",
    "two lengths": b"PUT %s/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}" % R,
    "a negative length": b"PUT %s/x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n{}" % R,
    "a length in words": b"PUT %s/x HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\n{}" % R,
    "a huge length": b"PUT %s/x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n{}" % R,
    "a length and chunks": b"PUT %s/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" % R
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "broken chunks": b"PUT %s/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n" % R,
    "an unfinished body": b"PUT %s/x HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{}" % R,
    "no host": b"GET /v1/ HTTP/1.1\r\n\r\n",
    "an odd host": b'GET /v1/ HTTP/1.1\r\nHost: "<script>\r\n\r\n',
    "http 1.0": b"GET /v1/ HTTP/1.0\r\n\r\n",
    "an absolute url": b"GET http://elsewhere.example/v1/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "connect": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no path": b"GET HTTP/1.1\r\n\r\n",
    "a bare line": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a fragment": b"GET /v1/#x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a percent sign": b"GET /v1/% HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an encoded slash twice": b"GET /v1/buckets/b%252Fcollections HTTP/1.1\r\nHost: localhost\r\n"
    + ALICE
    + b"\r\n",
    "a chunked body": b"PUT %s/y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" % R
    + ALICE
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_http_is_answered_or_cut_off(server: Server, name: str) -> None:
    status, _ = raw(server, ODD[name])
    assert status < 500
    alive(server)


def anything(server: Server, most: int) -> None:
    """A request with bytes changed anywhere."""
    whole = (
        b"PUT %s/there?_fields=a HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n" % R
        + ALICE
        + b'Content-Type: application/json\r\nIf-Match: "1"\r\nContent-Length: 22\r\n\r\n'
        + b'{"data":{"title":"x"}}'
    )

    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=most <= SHORT,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.integers(0, len(whole)), st.binary(max_size=3)), min_size=1, max_size=4))
    def answered(changes: list[tuple[int, bytes]]) -> None:
        sent = whole
        for place, insert in changes:
            sent = sent[:place] + insert + sent[place + 1 :]
        status, _ = raw(server, sent)
        assert status < 500

    answered()
    alive(server)


def test_a_garbled_request_is_answered_or_cut_off(server: Server) -> None:
    anything(server, SHORT)


@pytest.mark.fuzz
def test_a_garbled_request_is_answered_or_cut_off_for_long(server: Server) -> None:
    anything(server, LONG)
