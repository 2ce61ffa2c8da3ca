"""A real Kinto, filled through HTTP with everything that it can keep, and the questions to ask of it."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx

SETTINGS = {
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.userid_hmac_secret": "of the old server",
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.default_bucket kinto.plugins.history",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.experimental_collection_schema_validation": "true",
    "kinto.experimental_permissions_endpoint": "true",
    "kinto.batch_max_requests": "100",
}
ALICE, BOB, CAROL = ("alice", "pässword"), ("bob", "x" * 60), ("carol", "pw")
STRANGER = ("stranger", "basic")
USERS = (None, ALICE, BOB, CAROL, STRANGER)

RECORDS = 120

Auth = tuple[str, str] | None


def on(uri: str) -> dict[str, str]:
    """The settings that put every backend of a Kinto into one database."""
    settings = dict(SETTINGS)
    for backend in ("storage", "permission", "cache"):
        settings[f"kinto.{backend}_backend"] = f"kinto.core.{backend}.postgresql"
        settings[f"kinto.{backend}_url"] = uri
    return settings


class Client:
    """Sends requests to one server."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)

    def send(self, request: str, body: Any = None, auth: Auth = None, **headers: str) -> httpx.Response:
        """The answer to a request such as `PUT /buckets/b`."""
        method, _, path = request.partition(" ")
        return self._http.request(method, path, json=body, auth=auth, headers=headers)

    def ok(self, request: str, body: Any = None, auth: Auth = ALICE) -> Any:
        """The JSON of an answer that must be a success."""
        answer = self.send(request, body, auth)
        assert answer.is_success, f"{request}: {answer.status_code} {answer.text}"
        return answer.json()

    def close(self) -> None:
        self._http.close()


def fill(client: Client) -> None:
    """Write what a Kinto has after a life: accounts, groups, rights, schemas, deletions of every kind."""
    chance = random.Random(26)
    for name, password in (ALICE, BOB, CAROL):
        client.ok(f"PUT /accounts/{name}", {"data": {"password": password, "langue": "français"}}, None)
    client.ok("DELETE /accounts/carol", auth=CAROL)
    client.ok("PUT /buckets/main", {"data": {"title": "é"}, "permissions": {"read": ["system.Everyone"]}})
    client.ok("PUT /buckets/main/groups/editors", {"data": {"members": ["account:bob", "account:nobody"]}})
    client.ok("PUT /buckets/main/groups/former", {"data": {"members": ["account:bob"]}})
    client.ok("DELETE /buckets/main/groups/former")
    rights = {"record:create": ["/buckets/main/groups/editors"], "read": ["system.Authenticated"]}
    schema = {"type": "object", "properties": {"n": {"type": "number"}}}
    client.ok("PUT /buckets/main/collections/c", {"data": {"schema": schema}, "permissions": rights})
    client.ok("PUT /buckets/main/collections/empty", {"data": {"cache_expires": 60}})
    client.ok("GET /buckets/main/collections/empty/records")
    client.ok("PUT /buckets/main/collections/never-read")
    _fill_records(client, chance)
    for _ in range(2):  # deleted, made again, deleted again
        client.ok("PUT /buckets/main/collections/gone")
        client.ok("PUT /buckets/main/collections/gone/records/r", {"data": {"n": 1}})
        client.ok("DELETE /buckets/main/collections/gone")
    client.ok("PUT /buckets/main/collections/again")
    client.ok("PUT /buckets/main/collections/again/records/old", {"data": {"n": 1}})
    client.ok("DELETE /buckets/main/collections/again")
    client.ok("PUT /buckets/main/collections/again")
    client.ok("PUT /buckets/main/collections/again/records/new", {"data": {"n": 2}})
    client.ok("PUT /buckets/private")
    client.ok("PUT /buckets/private/collections/c", {"permissions": {"write": ["account:bob"]}})
    client.ok("PUT /buckets/private/collections/c/records/secret", {"data": {"n": 9}}, BOB)
    client.ok("PUT /buckets/removed")
    client.ok("PUT /buckets/removed/groups/g", {"data": {"members": ["account:alice"]}})
    client.ok("PUT /buckets/removed/collections/c")
    client.ok("PUT /buckets/removed/collections/c/records/r", {"data": {"n": 1}})
    client.ok("DELETE /buckets/removed")
    client.ok("PUT /buckets/default/collections/tasks/records/one", {"data": {"done": False}}, STRANGER)
    client.ok("PUT /buckets/default/collections/tasks/records/two", {"data": {"done": True}}, ALICE)


def _fill_records(client: Client, chance: random.Random) -> None:
    records = "/buckets/main/collections/c/records"
    values: list[Any] = [
        0,
        -1,
        1.5,
        1e-7,
        2.0,
        1e17,
        True,
        False,
        None,
        "é\U0001f600",
        [],
        [1, {"a": "b"}],
        {},
    ]
    requests = []
    for n in range(RECORDS):
        data = {
            "n": n,
            "value": chance.choice(values),
            "nested": {"k": chance.choice(values)},
            "t": f"t{n % 7}",
        }
        body: dict[str, Any] = {"data": data}
        if n % 5 == 0:
            body["permissions"] = {"read": [chance.choice(["account:bob", "system.Everyone"])]}
        requests.append({"method": "PUT", "path": f"{records}/r{n}", "body": body})
    for start in range(0, RECORDS, 100):
        answers = client.ok("POST /batch", {"requests": requests[start : start + 100]})
        assert {answer["status"] for answer in answers["responses"]} == {201}
    client.ok(f"POST {records}", {"data": {"n": 1}}, BOB)
    client.ok(f"PUT {records}/past", {"data": {"n": 1, "last_modified": 1_400_000_000_000}})
    client.ok(f"PUT {records}/before-1970", {"data": {"n": 1, "last_modified": -5}})
    client.ok(f"PATCH {records}/r3", {"data": {"more": "x"}})
    for n in range(7, RECORDS, 11):
        client.ok(f"DELETE {records}/r{n}")
    client.ok(f"DELETE {records}?t=t6")
    client.ok(f"PUT {records}/r7", {"data": {"n": 7, "again": True}})


QUERIES = (
    "",
    "?_since=0",
    "?_limit=9",
    "?_sort=n",
    "?_sort=-value,n&_limit=30",
    "?value=true",
    "?min_n=50&_fields=n,value",
    "?has_value=true&not_t=t1",
    "?like_t=t2",
    "?_since=1400000000000&deleted=true",
    "?_before=1400000000001",
)


def lists(client: Client) -> list[str]:
    """The path of every list that the old server has."""
    buckets = ["main", "private", *(_personal(client, user) for user in (STRANGER, ALICE))]
    paths = ["/buckets"]
    for bucket in buckets:
        paths += [f"/buckets/{bucket}/{name}" for name in ("collections", "groups", "history")]
        for user in (ALICE, STRANGER):
            answer = client.send(f"GET /buckets/{bucket}/collections", auth=user)
            found = answer.json().get("data", []) if answer.is_success else []
            paths += [f"/buckets/{bucket}/collections/{each['id']}/records" for each in found]
    return list(dict.fromkeys(paths))


def _personal(client: Client, user: Auth) -> str:
    name: str = client.ok("GET /", auth=user)["user"]["bucket"]
    return name


def shown(answer: httpx.Response) -> Any:
    """What must be the same in the answers of both servers to a read."""
    etag, total = answer.headers.get("ETag"), answer.headers.get("Total-Objects")
    more = "Next-Page" in answer.headers
    return answer.status_code, etag, total, more, _ordered(answer.json() if answer.content else None)


def _ordered(value: Any) -> Any:
    """JSON whose principals are in one order, so that only their sets are compared."""
    if isinstance(value, dict) and "permissions" in value:
        grants = value["permissions"]
        if isinstance(grants, dict):
            grants = {name: sorted(principals) for name, principals in grants.items()}
        value = {**value, "permissions": grants}
    return json.loads(json.dumps(value, sort_keys=True))
