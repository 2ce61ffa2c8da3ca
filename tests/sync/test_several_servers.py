"""Several servers on one PostgreSQL are one: what is changed on one counts at once on every other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kintoun
from tests.sync.clients import Run
from tests.sync.world import judge, kill_and_restart, settings

WORKERS = 2
LOOKS = 4
"""Connections that are made to one server to meet each of its workers."""

SECONDS = 2.0
ALICE, BOB = ("alice", "of the accounts"), ("bob", "who is not alice")


class Answer(NamedTuple):
    status: int
    etag: str | None
    body: Any


class Servers:
    """The servers `a` and `b`, as somebody uses them who never comes back on the same connection."""

    def __init__(self, a: Server, b: Server) -> None:
        self.a, self.b = a, b

    def ask(
        self,
        server: Server,
        request: str,
        body: Any = None,
        auth: tuple[str, str] | None = ALICE,
        **headers: str,
    ) -> Answer:
        method, _, path = request.partition(" ")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = httpx.request(
            method, server.url + path, json=body, auth=auth, headers=named, timeout=30, trust_env=False
        )
        return Answer(reply.status_code, reply.headers.get("ETag"), reply.json() if reply.content else None)

    def write(self, request: str, body: Any = None, auth: tuple[str, str] | None = ALICE) -> Answer:
        """A write on A, which must succeed."""
        answer = self.ask(self.a, request, body, auth)
        assert answer.status in (200, 201), answer
        return answer

    def each(
        self, request: str, body: Any = None, auth: tuple[str, str] | None = ALICE, **headers: str
    ) -> list[Answer]:
        """The answers of B's workers."""
        return [self.ask(self.b, request, body, auth, **headers) for _ in range(LOOKS)]

    def told(self, request: str, *arguments: Any, **headers: str) -> set[int]:
        """The statuses of B's answers."""
        return {answer.status for answer in self.each(request, *arguments, **headers)}


@pytest.fixture(scope="module")
def servers(postgres: Postgres) -> Iterator[Servers]:
    ini = {
        **settings(postgres.create_database()),
        "kinto.includes": "kinto.plugins.accounts",
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
        "kinto.account_create_principals": "system.Everyone",
        "kinto.experimental_collection_schema_validation": "true",
    }
    with start_kintoun(ini, workers=WORKERS) as a, start_kintoun(ini, workers=WORKERS) as b:
        both = Servers(a, b)
        for name, password in (ALICE, BOB):
            both.write(f"PUT /accounts/{name}", {"data": {"password": password}}, None)
        yield both


@pytest.fixture
def home(servers: Servers, request: pytest.FixtureRequest) -> str:
    """A collection of the test's own, which both servers have seen."""
    bucket = f"/buckets/{request.function.__name__.replace('_', '-')}"
    servers.write(f"PUT {bucket}")
    servers.write(f"PUT {bucket}/collections/c")
    servers.write(f"PUT {bucket}/collections/c/records/r", {"data": {"n": 1}})
    assert servers.told(f"GET {bucket}/collections/c/records/r") == {200}
    return f"{bucket}/collections/c"


def test_a_permission(servers: Servers, home: str) -> None:
    record = f"{home}/records/r"
    assert servers.told(f"GET {record}", None, BOB) == {403}
    servers.write(f"PATCH {home}", {"permissions": {"read": ["account:bob"]}})
    assert servers.told(f"GET {record}", None, BOB) == {200}
    servers.write(f"PATCH {home}", {"permissions": {"read": []}})
    assert servers.told(f"GET {record}", None, BOB) == {403}
    assert servers.told(f"GET {home}/records", None, BOB) == {403}


def test_a_group(servers: Servers, home: str) -> None:
    group = f"{home.rpartition('/collections')[0]}/groups/g"
    servers.write(f"PUT {group}", {"data": {"members": ["account:bob"]}})
    servers.write(f"PATCH {home}", {"permissions": {"write": [group]}})
    assert servers.told(f"PUT {home}/records/x", {"data": {}}, BOB) <= {200, 201}
    servers.write(f"PUT {group}", {"data": {"members": []}})
    assert servers.told(f"PUT {home}/records/y", {"data": {}}, BOB) == {403}  # he owns what he made before
    servers.write(f"PUT {group}", {"data": {"members": ["account:bob"]}})
    assert servers.told(f"GET {home}/records/r", None, BOB) == {200}
    servers.write(f"DELETE {group}")
    assert servers.told(f"GET {home}/records/r", None, BOB) == {403}


def test_a_password(servers: Servers) -> None:
    carol, changed = ("carol", "the first one"), ("carol", "another one")
    servers.write("PUT /accounts/carol", {"data": {"password": carol[1]}}, None)
    assert servers.told("GET /accounts/carol", None, carol) == {200}
    servers.write("PATCH /accounts/carol", {"data": {"password": changed[1]}}, carol)
    assert servers.told("GET /accounts/carol", None, carol) == {401}
    assert servers.told("GET /accounts/carol", None, changed) == {200}
    servers.write("DELETE /accounts/carol", None, changed)
    assert servers.told("GET /accounts/carol", None, changed) == {401}


def test_a_schema(servers: Servers, home: str) -> None:
    record = f"PUT {home}/records/s"
    assert servers.told(record, {"data": {"n": "text"}}) <= {200, 201}
    numbers = {"type": "object", "properties": {"n": {"type": "integer"}}}
    servers.write(f"PUT {home}", {"data": {"schema": numbers}})
    assert servers.told(record, {"data": {"n": "text"}}) == {400}
    assert servers.told(record, {"data": {"n": 2}}) == {200}
    texts = {"type": "object", "properties": {"n": {"type": "string"}}}
    servers.write(f"PUT {home}", {"data": {"schema": texts}})
    assert servers.told(record, {"data": {"n": 2}}) == {400}
    servers.write(f"PUT {home}", {"data": {}})
    assert servers.told(record, {"data": {"n": 2}}) == {200}


def test_a_list(servers: Servers, home: str) -> None:
    records = f"{home}/records"
    (tag,) = {answer.etag for answer in servers.each(f"GET {records}")}
    assert tag is not None
    assert servers.told(f"GET {records}", If_None_Match=tag) == {304}
    for n in range(3):
        written = servers.write(f"PUT {records}/r", {"data": {"n": n}})
        for answer in servers.each(f"GET {records}", If_None_Match=tag):
            assert (answer.status, answer.etag) == (200, written.etag)
            assert [record["n"] for record in answer.body["data"]] == [n]
        tag = str(written.etag)
    servers.write(f"DELETE {records}")
    for answer in servers.each(f"GET {records}?_since={tag}"):
        assert [record.get("deleted") for record in answer.body["data"]] == [True]


def test_a_parent(servers: Servers, home: str) -> None:
    bucket = home.rpartition("/collections")[0]
    tags = {answer.etag for answer in servers.each(f"GET {home}/records")}
    servers.write(f"PATCH {bucket}", {"permissions": {"read": ["account:bob"]}})
    assert servers.told(f"GET {home}/records/r", None, BOB) == {200}
    servers.write(f"DELETE {home}")
    assert servers.told(f"PUT {home}/records/r", {"data": {}}) == {404}
    assert servers.told(f"GET {home}/records") == {404}
    servers.write(f"DELETE {bucket}")
    assert servers.told(f"PUT {home}/records/r", {"data": {}}) <= {403, 404}
    servers.write(f"PUT {bucket}")
    servers.write(f"PUT {home}")
    assert servers.told(f"GET {home}/records/r", None, BOB) == {403}
    for answer in servers.each(f"GET {home}/records"):
        assert answer.body["data"] == []
        assert answer.etag not in tags


@pytest.mark.parametrize("campaign", [False, pytest.param(True, marks=pytest.mark.campaign)])
async def test_no_change_is_missed(campaign: bool, postgres: Postgres) -> None:
    """Every client goes from server to server, and each server is killed once."""
    seconds = 30 * SECONDS if campaign else SECONDS
    ini = settings(postgres.create_database())
    with start_kintoun(ini, workers=WORKERS) as a, start_kintoun(ini, workers=WORKERS) as b:
        run = Run(a.url, others=(b.url,), seed=2)

        async def kill_each() -> None:
            for server in (a, b):
                await asyncio.sleep(seconds / 3)
                await kill_and_restart(server, run.history)
            await asyncio.sleep(seconds / 3)

        await run.go(kill_each)
        judge(run, a)
