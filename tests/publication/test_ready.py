"""What is ready is answered at the edge, byte for byte as it would be otherwise, and seen by all who look."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintoun.app import Application, create_app
from kintoun.features.publication import lifetimes
from kintoun.features.publication.settings import PublicationSettings
from kintoun.features.rates import RatesSettings
from kintoun.http import ready as ready_answers
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.plugin import Plugin, Registry
from kintoun.resources import presentation
from kintoun.resources.context import Context
from kintoun.settings import EndOfService, Http, Policy, Server, Settings
from tests.publication.test_changesets import CHANGESET, PLACE, publish
from tests.support.inprocess import FEATURES, HOST, App, Databases, exchange, opened, settings_for
from tests.support.servers import start_kintoun

MONITOR = "/buckets/monitor/collections/changes/changeset"
HARMLESS = {
    "Accept-Encoding": ("gzip", "gzip, deflate, br, zstd", "identity", "", "gzip;q=0, *"),
    "If-None-Match": ("TAG", 'W/"other"', "*", '"x", TAG', "nonsense"),
    "Accept": ("application/json", "text/html"),
    "If-Modified-Since": ("Mon, 23 Nov 2026 16:29:05 GMT",),
    "If-Match": ('"1"',),
    "User-Agent": ("Mozilla/5.0", "curl/8"),
    "Range": ("bytes=0-9",),
    "Origin": ("https://page.example", "https://other.example"),
}
OTHERS = {
    "Authorization": ("Basic YWxpY2U6cHc=", "Bearer nothing", ""),
    "Host": (HOST, "other.example:80", "tab\tbed", "größe"),
    "Content-Length": ("0",),
    "X-Padding": ("x", "x" * 9000),
    **HARMLESS,
}


def headers_of(known: dict[str, tuple[str, ...]]) -> st.SearchStrategy[list[tuple[str, str]]]:
    one = st.sampled_from([(name, value) for name, values in known.items() for value in values])
    return st.lists(one, max_size=3)


questions = st.one_of(
    st.tuples(
        st.just("GET"),
        st.sampled_from((f"{PLACE}/changeset", MONITOR)),
        st.sampled_from(("?_expected=0", "?_expected=17", "?_limit=1&_expected=%C3%A9")),
        headers_of(HARMLESS),
    ),
    st.tuples(
        st.sampled_from(("GET", "HEAD", "PUT", "OPTIONS")),
        st.sampled_from((f"{PLACE}/changeset", MONITOR, f"{PLACE}/records", "/buckets/none/changeset")),
        st.sampled_from(("?_expected=0", "?_expected=%221%22", "", "?_expected=0&_since=1")),
        headers_of(OTHERS),
    ),
)


@pytest_asyncio.fixture(params=["*", "https://page.example"])
async def lasting(request: pytest.FixtureRequest, engine: str, databases: Databases) -> AsyncIterator[App]:
    """An application whose answers say until when they may be kept, and ask clients to come less often."""
    chosen = settings_for(
        databases.url(engine),
        features=[*FEATURES, "metrics", "publication"],
        sections={"publication": PublicationSettings(resources=["/buckets/main"])},
        cache_expires={"record": 60, "main.c.record_maximum": 3600},
        http=Http(backoff_seconds=30, cors_origins=[request.param]),
    )
    async with opened(chosen) as made:
        await publish(made, *(f"r{n}" for n in range(12)))
        yield made


Told = tuple[int, list[tuple[str, str]], bytes]


class Protocol:
    """What RSGI servers hand over to be answered with."""

    told: Told

    async def __call__(self) -> bytes:
        return b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.told = status, list(headers), body

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.told = status, list(headers), b""


async def by_rsgi(
    application: Application, method: str, url: str, headers: Any, *, short: bool
) -> Told | None:
    """The answer to a request; None when it is not one that is ready."""
    path, _, query = url.partition("?")
    fields = [(name.lower(), value) for name, value in headers if value.isascii()]
    if not any(name == "host" for name, _ in fields):
        fields.append(("host", HOST))
    scope = SimpleNamespace(
        method=method,
        path=path,
        query_string=query,
        headers=SimpleNamespace(items=lambda: list(fields)),
        authority=None,
        scheme="http",
        client="127.0.0.1:50000",
        http_version="1.1",
    )
    protocol = Protocol()
    if short:
        return protocol.told if application.__rsgi__.at_once(scope, protocol) else None
    await application.__rsgi__(scope, protocol)
    return protocol.told


async def by_asgi(application: Application, method: str, url: str, headers: Any) -> Told:
    answer = await exchange(application, method, url.encode(), headers)
    told = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw]
    assert isinstance(answer.stream, httpx.ByteStream), "its body is all there, and compressed as it was"
    return answer.status_code, told, b"".join(answer.stream)


async def test_both_ways_are_the_same(lasting: App, monkeypatch: pytest.MonkeyPatch) -> None:
    application = lasting.application
    ready = application.composition.service.ready
    for module in (lifetimes, presentation):
        monkeypatch.setattr(module, "now", lambda: 1_795_000_000_000)
    monkeypatch.setattr(ready_answers, "SECONDS", 1e9)
    tags = {}
    for path in (PLACE + "/changeset", MONITOR):
        for _ in range(3):
            answer = await lasting.call(f"GET {path}?_expected=0", user=None)
        tags[path] = answer.headers["ETag"]
    taken = 0

    async def compare(method: str, path: str, query: str, headers: list[tuple[str, str]]) -> None:
        nonlocal taken
        url = f"/v1{path}{query}"
        sent = [(name, value.replace("TAG", tags.get(path, "TAG"))) for name, value in headers]
        with monkeypatch.context() as patch:
            patch.setattr(application._asgi, "_ready", None)
            whole = await by_asgi(application, method, url, sent)
            again = await by_asgi(application, method, url, sent)
            assert again == whole
        assert await by_asgi(application, method, url, sent) == whole
        if all(value.isascii() for _, value in sent):
            ordinary = await by_rsgi(application, method, url, sent, short=False)
            short = await by_rsgi(application, method, url, sent, short=True)
            if short is not None:
                taken += 1
                assert short == ordinary

    # One event loop for all of them: the application lives in it.
    loop = asyncio.get_running_loop()

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(questions)
    def all_of_them(question: Any) -> None:
        asyncio.run_coroutine_threadsafe(compare(*question), loop).result(60)

    await asyncio.to_thread(all_of_them)
    assert taken > 10
    ready.forget()


async def test_who_looks_is_told_of_it(lasting: App) -> None:
    for _ in range(3):
        await lasting.ok(f"GET {CHANGESET}", user=None)
    before = await counts(lasting)
    for _ in range(20):
        await lasting.ok(f"GET {CHANGESET}", user=None)
    told = await counts(lasting)
    assert told["requests"] == before["requests"] + 20
    assert told["durations"] == before["durations"] + 20
    assert told["ready"] > before["ready"]
    assert sum(told[how] - before[how] for how in ("ready", "kept", "made")) == 20


async def counts(app: App) -> dict[str, float]:
    text = (await app.call("GET /__metrics__")).text
    found = {how: number(text, rf'changesets_total{{how="{how}"}}') for how in ("ready", "kept", "made")}
    of_requests = r'{method="get",endpoint="changeset",status="200"}'
    found["requests"] = number(text, "request_summary_total" + of_requests)
    found["durations"] = number(text, r'request_duration_seconds_count{method="get",endpoint="changeset"}')
    return found


def number(text: str, series: str) -> float:
    found = re.search(f"{re.escape(series)} (.*)", text, re.IGNORECASE)
    return float(found[1]) if found else 0.0


class Looking(Plugin):
    """Looks at every request in one of the ways in which a feature can."""

    name = "looking"

    def __init__(self, how: str) -> None:
        self.how = how
        self.seen = 0

    def setup(self, registry: Registry, _settings: Any) -> None:
        if self.how == "gate":
            registry.gate(self._gate)
        elif self.how == "observe":
            registry.observe(lambda *_: self._look())
        else:
            registry.around(self._around)

    def _look(self) -> None:
        self.seen += 1

    async def _gate(self, _context: Context, _request: Request) -> None:
        self._look()

    def _around(self, respond: Any) -> Any:
        async def wrapped(request: Request) -> Answer:
            self._look()
            answer: Answer = await respond(request)
            return answer

        return wrapped


@pytest.mark.parametrize("how", ["gate", "observe", "around"])
async def test_whoever_looks_at_requests_sees_them_all(engine: str, databases: Databases, how: str) -> None:
    looking = Looking(how)
    chosen = settings_for(databases.url(engine), features=[*FEATURES, "publication"])
    async with opened(chosen, looking) as app:
        await publish(app, "a")
        before = looking.seen
        for _ in range(10):
            await app.ok(f"GET {CHANGESET}", user=None)
        assert looking.seen == before + 10


@pytest.mark.parametrize(
    "changes",
    [
        {"server": Server(request_ids=True)},
        {"server": Server(access_log=True)},
        {"http": Http(backoff_seconds=1, backoff_percentage=50)},
        {"end_of_service": EndOfService(date="2999-01-01")},
        {"features": ["accounts", "rates"], "sections": {"rates": RatesSettings(address_per_minute=5)}},
    ],
)
def test_where_answers_differ_or_are_watched_none_takes_the_short_way(changes: dict[str, Any]) -> None:
    assert create_app(chosen_settings(**changes)).composition.sees_every_request()


def test_otherwise_they_do() -> None:
    features = ["accounts", "metrics", "publication", "signing"]
    assert not create_app(chosen_settings(features=features)).composition.sees_every_request()


def chosen_settings(**changes: Any) -> Settings:
    defaults = {"features": ["accounts"], "policies": [Policy(name="account", use="account")]}
    return settings_for("sqlite::memory:", **{**defaults, **changes})


async def test_a_worker_that_ends_says_so_with_every_answer(lasting: App) -> None:
    application = lasting.application
    for _ in range(3):
        await lasting.ok(f"GET {CHANGESET}", user=None)
    url = f"/v1{CHANGESET}"
    sent = [("Accept-Encoding", "gzip")]
    while await by_rsgi(application, "GET", url, sent, short=True) is None:
        await by_rsgi(application, "GET", url, sent, short=False)
    application.__rsgi__.closing = True
    assert await by_rsgi(application, "GET", url, sent, short=True) is None
    told = await by_rsgi(application, "GET", url, sent, short=False)
    assert told is not None
    assert ("Connection", "close") in told[1]
    application.__rsgi__.closing = False


def test_a_server_sends_the_same_either_way() -> None:
    ini = {
        "kinto.includes": "kinto_remote_settings.changes kinto.plugins.prometheus",
        "kinto.userid_hmac_secret": "of the tests",
        "kinto.bucket_create_principals": "system.Everyone",
        "kinto.changes.resources": "/buckets/main",
    }
    with start_kintoun(ini) as server, socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        put = '{"permissions":{"read":["system.Everyone"],"write":["system.Everyone"]}}'
        said(connection, "PUT", "/v1/buckets/main", ("Content-Type: application/json",), put)
        said(connection, "PUT", f"/v1{PLACE}")
        for n in range(20):
            body = json.dumps({"data": {"n": n, "text": "größe"}})
            said(connection, "PUT", f"/v1{PLACE}/records/r{n}", ("Content-Type: application/json",), body)
        for path in (CHANGESET, f"{MONITOR}?_expected=0"):
            for headers in ((), ("Accept-Encoding: gzip, zstd",), ("If-None-Match: *",)):
                # What announces a body is answered the ordinary way.
                ordinary = said(connection, "GET", f"/v1{path}", (*headers, "Content-Length: 0"))
                for _ in range(10):
                    assert said(connection, "GET", f"/v1{path}", headers) == ordinary
        text = said(connection, "GET", "/v1/__metrics__").decode()
        assert number(text, 'changesets_total{how="ready"}') > 30


def said(
    connection: socket.socket, method: str, path: str, headers: tuple[str, ...] = (), body: str = ""
) -> bytes:
    """All that a server sends to a request, but for the time of day."""
    content = body.encode()
    length = (f"Content-Length: {len(content)}",) if content or method == "PUT" else ()
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: server.example", *headers, *length, "", ""))
    connection.sendall(head.encode() + content)
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    told, _, rest = received.partition(b"\r\n\r\n")
    length_told = re.search(rb"content-length: (\d+)", told)
    most = 0 if b" 304 " in told.splitlines()[0] or length_told is None else int(length_told[1])
    while len(rest) < most:
        rest += connection.recv(65536)
    lines = [line for line in told.split(b"\r\n") if not line.startswith((b"date:", b"expires:"))]
    return b"\r\n".join((*lines, b"", rest))
