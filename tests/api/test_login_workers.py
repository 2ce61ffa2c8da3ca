"""Several workers are one: what one of them learns of a password or a token counts in all."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kintoun

WORKERS = 2
TRIES = 24
"""New connections, so many that both workers get some: which of them takes one is chance."""

INI = {
    "kinto.includes": "kinto.plugins.accounts",
    "kinto.userid_hmac_secret": "of the tests",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.bucket_create_principals": "system.Authenticated",
}


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    storage = {}
    if request.param == "postgresql":
        storage = {
            "kinto.storage_backend": "kinto.core.storage.postgresql",
            "kinto.storage_url": postgres.create_database(),
        }
    with start_kintoun({**INI, **storage}, workers=WORKERS) as running:
        yield running


def send(
    server: Server, method: str, path: str, authorization: str | None, body: Any = None
) -> tuple[int, Any]:
    """The status and the JSON of an answer, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Connection": "close"}
    if authorization is not None:
        headers["Authorization"] = authorization
    content = None
    if body is not None:
        content = json.dumps(body)
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, f"/v1{path}", content, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def statuses(server: Server, path: str, authorization: str) -> Counter[int]:
    return Counter(send(server, "GET", path, authorization)[0] for _ in range(TRIES))


def test_a_new_password_counts_in_every_worker(server: Server) -> None:
    old, new = basic("ann", "old"), basic("ann", "new")
    assert send(server, "PUT", "/accounts/ann", None, {"data": {"password": "old"}})[0] == 201
    assert statuses(server, "/accounts/ann", old) == {200: TRIES}
    assert send(server, "PATCH", "/accounts/ann", old, {"data": {"password": "new"}})[0] == 200
    assert statuses(server, "/accounts/ann", new) == {200: TRIES}
    # Once refused, it is looked at at most ten times; the limit is the same answer from both workers.
    told = statuses(server, "/accounts/ann", old)
    assert told[200] == 0
    assert set(told) <= {401, 429}
    assert statuses(server, "/accounts/ann", new) == {200: TRIES}


def test_a_revoked_token_counts_in_no_worker(server: Server) -> None:
    owner = basic("bea", "secret")
    assert send(server, "PUT", "/accounts/bea", None, {"data": {"password": "secret"}})[0] == 201
    assert send(server, "PUT", "/buckets/hers", owner)[0] == 201
    body = {"data": {"name": "n", "scopes": ["read:/"]}}
    status, made = send(server, "POST", "/accounts/bea/tokens", owner, body)
    assert status == 201
    bearer = f"Bearer {made['data']['token']}"
    assert statuses(server, "/buckets/hers", bearer) == {200: TRIES}
    assert send(server, "DELETE", f"/accounts/bea/tokens/{made['data']['id']}", owner)[0] == 200
    assert statuses(server, "/buckets/hers", bearer) == {401: TRIES}


def test_wrong_passwords_are_counted_for_all_workers_together(server: Server) -> None:
    assert send(server, "PUT", "/accounts/eve", None, {"data": {"password": "secret"}})[0] == 201
    told = [send(server, "GET", "/accounts/eve", basic("eve", f"wrong {n}"))[0] for n in range(TRIES)]
    assert told == [401] * 10 + [429] * (TRIES - 10)
    assert statuses(server, "/accounts/eve", basic("eve", "secret")) == {429: TRIES}
