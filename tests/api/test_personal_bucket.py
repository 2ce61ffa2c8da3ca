"""The personal bucket: whose it is, when it comes to be, and what it costs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from msgspec.structs import replace

from kintoun.features.default_bucket import DefaultBucketSettings, PersonalBucket
from kintoun.settings import Protocol
from tests.support.inprocess import HOST, SECRET, App, Databases, opened, principal, settings_for

DEFAULT = "/buckets/default"
TASKS = f"{DEFAULT}/collections/tasks"

HMAC = "a secret of the tests"


def personal(user: str, secret: str = HMAC) -> str:
    """The id of a bucket in the words of protocol section 7."""
    digest = hmac.new(secret.encode(), user.encode(), hashlib.sha256).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


ALICE = personal(principal("alice"))


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    settings = settings_for(databases.url(engine))
    settings = replace(settings, sections={"default_bucket": DefaultBucketSettings(secret=HMAC)})
    async with opened(settings) as made:
        await made.bait()
        made.forget()
        yield made


class Statements:
    """Counts reads, transactions, and how often one of these fetches objects."""

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        store = app.application.composition.service.store
        self.reads = self.transactions = self.fetches = 0
        read, begin = store.read, store.engine.begin

        async def counted_read(wanted):
            self.reads += 1
            return await read(wanted)

        async def counted_begin():
            self.transactions += 1
            transaction = await begin()
            points = transaction.points

            async def counted_points(paths, principals):
                self.fetches += 1
                return await points(paths, principals)

            transaction.points = counted_points
            return transaction

        monkeypatch.setattr(store, "read", counted_read)
        monkeypatch.setattr(store.engine, "begin", counted_begin)

    def figures(self) -> tuple[int, int, int]:
        return self.reads, self.transactions, self.fetches


@pytest.mark.parametrize(
    ("secret", "user", "expected"),
    [
        ("", "account:alice", "73141b75-6d02-0c03-6aee-82ad1ea55d41"),
        ("abc", "basicauth:0123", "d833b2d5-41a0-d161-c4ce-69f01704318c"),
    ],
)
def test_ids_are_those_of_kinto(secret: str, user: str, expected: str) -> None:
    assert PersonalBucket(secret).bucket(user) == personal(user, secret) == expected
    assert UUID(expected)


async def test_the_root_view_names_it(app: App) -> None:
    assert (await app.ok("GET /"))["user"]["bucket"] == ALICE
    assert "user" not in (await app.ok("GET /", user=None))
    assert "default_bucket" in (await app.ok("GET /"))["capabilities"]


@pytest.mark.parametrize("request_", [f"GET {DEFAULT}", f"HEAD {DEFAULT}", f"GET {DEFAULT}/collections"])
async def test_the_first_look_makes_the_bucket(app: App, request_: str) -> None:
    response = await app.call(request_)
    assert response.status_code == 200
    assert app.events == [f"create /buckets/{ALICE}"]
    found = await app.ok(f"GET /buckets/{ALICE}")
    assert found == {"data": found["data"], "permissions": {"write": [principal("alice")]}}
    assert set(found["data"]) == {"id", "last_modified"}


@pytest.mark.parametrize(
    "request_", [f"GET {TASKS}", f"GET {TASKS}/records", f"HEAD {TASKS}/records", f"DELETE {TASKS}/records"]
)
async def test_the_first_look_makes_the_collection(app: App, request_: str) -> None:
    assert (await app.call(request_)).status_code == 200
    made = [f"create /buckets/{ALICE}", f"create /buckets/{ALICE}/collections/tasks"]
    assert app.events == made
    assert (await app.call(request_)).status_code == 200
    assert app.events == made


async def test_writes_make_what_they_need(app: App) -> None:
    first = await app.ok(f"POST {TASKS}/records", {"data": {"n": 1}})
    await app.ok(f"PUT {TASKS}/records/r2", {"data": {"n": 2}})
    await app.ok(f"PUT {DEFAULT}/groups/g", {"data": {"members": []}})
    bucket = f"/buckets/{ALICE}"
    assert app.events == [
        f"create {bucket}",
        f"create {bucket}/collections/tasks",
        f"create {bucket}/collections/tasks/records/{first['data']['id']}",
        f"create {bucket}/collections/tasks/records/r2",
        f"create {bucket}/groups/g",
    ]
    assert {change.user for change in app.changes} == {principal("alice")}
    assert (await app.ok(f"GET {TASKS}/records/r2")) == (
        await app.ok(f"GET {bucket}/collections/tasks/records/r2")
    )


async def test_a_record_may_be_called_as_its_collection(app: App) -> None:
    await app.ok(f"PUT {TASKS}/records/tasks", {"data": {}})
    assert len(app.events) == 3


async def test_what_is_there_is_not_made_again(app: App) -> None:
    await app.ok(f"PUT {TASKS}", {"data": {"title": "Tasks"}})
    before = await app.ok(f"GET {DEFAULT}")
    await app.ok(f"PUT {TASKS}/records/r", {"data": {}})
    await app.ok(f"DELETE {TASKS}/records/r")
    assert (await app.ok(f"GET {DEFAULT}")) == before
    assert (await app.ok(f"GET {TASKS}"))["data"]["title"] == "Tasks"


async def test_it_comes_back_after_a_deletion(app: App) -> None:
    await app.ok(f"PUT {TASKS}/records/r", {"data": {}})
    await app.ok(f"DELETE {DEFAULT}")
    assert (await app.call(f"GET /buckets/{ALICE}")).status_code == 403
    assert (await app.ok(f"GET {TASKS}/records")) == {"data": []}
    await app.ok(f"DELETE {TASKS}")
    assert (await app.ok(f"DELETE {TASKS}"))["data"]["deleted"], "made to be deleted"


async def test_an_empty_put_wipes_nothing(app: App) -> None:
    await app.ok(f"PUT {DEFAULT}", {"data": {"color": "red"}})
    await app.ok(f"PUT {TASKS}", {"data": {"title": "Tasks"}})
    for path in (DEFAULT, TASKS):
        before = (await app.ok(f"GET {path}"))["data"]
        after = (await app.ok(f"PUT {path}"))["data"]
        assert {**after, "last_modified": 0} == {**before, "last_modified": 0}
        assert (await app.ok(f"PATCH {path}"))["data"].keys() == before.keys()
    await app.ok("POST /batch", {"requests": [{"method": "PUT", "path": DEFAULT}]})
    assert (await app.ok(f"GET {DEFAULT}"))["data"]["color"] == "red"


async def test_the_id_in_the_body_may_be_the_alias(app: App) -> None:
    made = await app.ok(f"PUT {DEFAULT}", {"data": {"id": "default", "n": 1}})
    assert made["data"]["id"] == ALICE
    await app.ok(f"PATCH {DEFAULT}", {"data": {"id": "default", "n": 2}})
    await app.ok(f"PUT {DEFAULT}", {"data": {"id": ALICE, "n": 3}})
    assert (await app.call(f"PUT {DEFAULT}", {"data": {"id": "other"}})).status_code == 400
    # Elsewhere the word is a name like any other.
    await app.ok(f"POST {DEFAULT}/collections", {"data": {"id": "default"}})
    await app.ok(f"PUT {DEFAULT}/collections/default", {"data": {"id": "default"}})
    assert [c["id"] for c in (await app.ok(f"GET {DEFAULT}/collections"))["data"]] == ["default"]


async def test_nobody_makes_a_bucket_that_the_alias_hides(app: App) -> None:
    response = await app.call("POST /buckets", {"data": {"id": "default"}})
    assert response.status_code == 400
    assert response.json()["details"][0]["name"] == "data.id"
    assert app.events == []


async def test_it_is_for_authenticated_callers(app: App) -> None:
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        for path in (DEFAULT, TASKS):
            assert (await app.call(f"{method} {path}", user=None)).status_code == 401
    batch = {"requests": [{"path": f"{TASKS}/records"}]}
    [item] = (await app.ok("POST /batch", batch, user=None))["responses"]
    assert item["status"] == 401
    assert app.events == []
    preflight = {"Origin": "http://a", "Access-Control-Request-Method": "PUT"}
    response = await app.call(f"OPTIONS {DEFAULT}", user=None, headers=preflight)
    assert (response.status_code, app.events) == (200, [])


async def test_a_readonly_server_has_none(engine: str, databases: Databases) -> None:
    protocol = Protocol(userid_secret=SECRET, readonly=True)
    async with opened(settings_for(databases.url(engine), protocol=protocol)) as app:
        for request in (f"GET {DEFAULT}", f"HEAD {TASKS}/records", f"PUT {TASKS}"):
            assert (await app.call(request)).status_code == 405
        assert (await app.call(f"GET {DEFAULT}", user=None)).status_code == 401


async def test_ill_formed_collections(app: App) -> None:
    for request in (f"GET {DEFAULT}/collections/b@d", f"GET {DEFAULT}/collections/b@d/records"):
        response = await app.call(request)
        assert (response.status_code, response.json()["message"]) == (400, "path: Invalid collection id")
    assert (await app.call(f"GET {DEFAULT}/collections/{'x' * 600}")).status_code == 400
    assert (await app.call(f"PUT {DEFAULT}/collections/b@d")).status_code == 400
    assert (await app.call(f"GET {DEFAULT}/nothing")).status_code == 404


async def test_each_has_their_own(app: App) -> None:
    await app.ok(f"PUT {TASKS}/records/r", {"data": {"whose": "alice"}})
    assert (await app.ok(f"GET {TASKS}/records", user="bob")) == {"data": []}
    assert (await app.call(f"GET /buckets/{ALICE}", user="bob")).status_code == 403
    share = {"permissions": {"read": [principal("bob")]}}
    await app.ok(f"PATCH {TASKS}", share)
    shared = await app.ok(f"GET /buckets/{ALICE}/collections/tasks/records", user="bob")
    assert [record["whose"] for record in shared["data"]] == ["alice"]


async def test_pages_go_on_under_the_real_id(app: App) -> None:
    for n in range(3):
        await app.ok(f"PUT {TASKS}/records/r{n}", {"data": {"n": n}})
    response = await app.call(f"GET {TASKS}/records?_limit=2&_sort=n")
    following = response.headers["Next-Page"]
    assert following.startswith(f"http://{HOST}/v1/buckets/{ALICE}/collections/tasks/records?")
    assert [record["n"] for record in (await app.ok(f"GET {following}"))["data"]] == [2]
    token = following.partition("?")[2]
    assert [record["n"] for record in (await app.ok(f"GET {TASKS}/records?{token}"))["data"]] == [2]


async def test_schemas_hold(app: App) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    made = await app.ok(f"PUT {TASKS}", {"data": {"schema": schema}})
    record = await app.ok(f"POST {TASKS}/records", {"data": {"n": 1}})
    assert record["data"]["schema"] == made["data"]["last_modified"]
    assert (await app.call(f"POST {TASKS}/records", {"data": {"n": "one"}})).status_code == 400


async def test_in_batches(app: App) -> None:
    requests = [
        {"method": "PUT", "path": f"{TASKS}/records/r1", "body": {"data": {"n": 1}}},
        {"method": "PUT", "path": f"/v1{TASKS}/records/r2", "body": {"data": {"n": 2}}},
        {"path": f"{TASKS}/records?_sort=n"},
        {"path": "/buckets/default/collections/other"},
        {"path": f"{TASKS}/records/none"},
        {"method": "PUT", "path": f"{TASKS}/records/b@d", "body": {"data": {}}},
    ]
    answers = (await app.ok("POST /batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [201, 201, 200, 200, 404, 400]
    assert answers[0]["path"] == f"/v1{TASKS}/records/r1"
    assert [record["n"] for record in answers[2]["body"]["data"]] == [1, 2]
    bucket = f"/buckets/{ALICE}"
    assert app.events == [
        f"create {bucket}",
        f"create {bucket}/collections/tasks",
        f"create {bucket}/collections/tasks/records/r1",
        f"create {bucket}/collections/tasks/records/r2",
        f"create {bucket}/collections/other",
    ]


async def test_a_batch_of_several_callers(app: App) -> None:
    bob = {"Authorization": "Basic Ym9iOnB3"}
    requests = [
        {"method": "PUT", "path": f"{TASKS}/records/r", "body": {"data": {"whose": "alice"}}},
        {"method": "PUT", "path": f"{TASKS}/records/r", "body": {"data": {"whose": "bob"}}, "headers": bob},
    ]
    answers = (await app.ok("POST /batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [201, 201]
    for user in ("alice", "bob"):
        found = await app.ok(f"GET {TASKS}/records/r", user=user)
        assert found["data"]["whose"] == user


async def test_first_touches_at_once_make_one(app: App) -> None:
    async def touch(n: int) -> int:
        requests = (f"GET {TASKS}/records", f"PUT {TASKS}/records/r{n}", f"GET {DEFAULT}", f"GET {TASKS}")
        return (await app.call(requests[n % 4])).status_code

    assert set(await asyncio.gather(*map(touch, range(40)))) <= {200, 201}
    assert app.events.count(f"create /buckets/{ALICE}") == 1
    assert app.events.count(f"create /buckets/{ALICE}/collections/tasks") == 1
    assert len((await app.ok(f"GET {TASKS}/records"))["data"]) == 10


async def test_what_is_there_costs_nothing_more(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await app.ok(f"PUT {TASKS}/records/r", {"data": {}})
    counted = Statements(app, monkeypatch)

    async def cost(request: str, body: object = None) -> list[int]:
        before = counted.figures()
        assert (await app.call(request, body)).status_code in (200, 404)
        return [new - old for new, old in zip(counted.figures(), before, strict=True)]

    real = f"/buckets/{ALICE}"
    for below in ("", "/collections/tasks/records", "/collections/tasks/records/none"):
        expected = await cost(f"GET {real}{below}")
        assert await cost(f"GET {DEFAULT}{below}") == expected
        assert expected[1:] == [0, 0]
    record = "/collections/tasks/records/r"
    expected = await cost(f"PUT {real}{record}", {})
    assert await cost(f"PUT {DEFAULT}{record}", {}) == expected
    assert expected[1:] == [1, 1]
    for bucket in (real, DEFAULT):
        requests = [{"method": "PUT", "path": f"{bucket}{record}{n}"} for n in range(9)]
        assert (await cost("POST /batch", {"requests": requests}))[1:] == [1, 1]


async def test_who_gave_the_bucket_away_makes_nothing_in_it(app: App) -> None:
    await app.ok(f"PUT {DEFAULT}", {"permissions": {"write": [principal("bob")]}})
    await app.ok(f"PATCH /buckets/{ALICE}", {"permissions": {"write": []}}, user="bob")
    app.forget()
    for request, status in (
        (f"GET {TASKS}/records", 403),
        (f"PUT {TASKS}/records/r", 404),
        (f"GET {TASKS}", 403),
    ):
        assert (await app.call(request)).status_code == status
        assert (await app.call(request.replace("default", ALICE))).status_code == status
    assert app.events == []


async def test_credentials_that_turn_out_to_be_others(app: App) -> None:
    """An account that is deleted: its password is then just two words of basicauth."""
    await app.ok("PUT /accounts/carol", {"data": {"password": "pw"}}, user=None)
    account = (await app.ok("GET /", auth=("carol", "pw")))["user"]
    assert account["bucket"] == personal("account:carol")
    await app.ok(f"PUT {TASKS}/records/r", auth=("carol", "pw"))
    await app.ok("DELETE /accounts/carol", auth=("carol", "pw"))
    assert (await app.ok(f"GET {TASKS}/records", auth=("carol", "pw"))) == {"data": []}
    other = (await app.ok("GET /", auth=("carol", "pw")))["user"]
    assert other["id"] == principal("carol")
    assert f"create /buckets/{personal(principal('carol'))}/collections/tasks" in app.events
