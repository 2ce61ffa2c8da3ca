"""Lists as they were, snapshots, and restoring (beyond the protocol)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.test_history import WITH_HISTORY, B, C, H, R
from tests.support.inprocess import App, Databases, opened, principal, settings_for


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    async with opened(settings_for(databases.url(engine, "history"), features=[*WITH_HISTORY])) as made:
        await made.bait()
        for path in (B, C):
            await made.ok(f"PUT {path}")
        made.forget()
        yield made


async def listed(app: App, query: str = "", **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await app.ok(f"GET {R}{query}", **arguments))["data"]
    return found


async def present(app: App, path: str = R) -> int:
    """The list's timestamp."""
    return int((await app.call(f"HEAD {path}")).headers["ETag"].strip('"'))


# Whatever is done: the state that is read at a time later is the one that was read then.

NAMES = st.sampled_from(("a", "b", "c", "d"))
BODIES = st.fixed_dictionaries({"n": st.integers(0, 3)}, optional={"t": st.sampled_from(("x", "y"))})
READERS = st.sampled_from(([], ["system.Everyone"], [principal("bob")]))
PAST = st.integers(1, 10**12)
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, BODIES, READERS),
    st.tuples(st.just("patch"), NAMES, BODIES),
    st.tuples(st.just("permit"), NAMES, READERS),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("date"), NAMES, PAST),
    st.tuples(st.just("clear"), st.integers(0, 3)),
    st.tuples(st.just("batch"), st.lists(st.tuples(NAMES, BODIES, st.booleans()), max_size=4)),
)


async def take(app: App, step: tuple[Any, ...]) -> None:
    kind, *rest = step
    if kind == "put":
        name, body, readers = rest
        await app.call(f"PUT {R}/{name}", {"data": body, "permissions": {"read": readers}})
    elif kind == "patch":
        await app.call(f"PATCH {R}/{rest[0]}", {"data": rest[1]})
    elif kind == "permit":
        await app.call(f"PATCH {R}/{rest[0]}", {"permissions": {"read": rest[1]}})
    elif kind == "delete":
        await app.call(f"DELETE {R}/{rest[0]}")
    elif kind == "date":
        await app.call(f"PUT {R}/{rest[0]}", {"data": {"last_modified": rest[1]}})
    elif kind == "clear":
        await app.call(f"DELETE {R}?n={rest[0]}")
    else:
        requests = [
            {
                "method": "PUT",
                "path": f"{R}/{name}",
                "body": {"data": body},
                "headers": {} if good else {"If-Match": '"1"'},
            }
            for name, body, good in rest[0]
        ]
        await app.ok("POST /batch", {"requests": requests})


QUERIES = ("", "?_since=0", "?n=1&_sort=t,-n", "?_limit=2&_sort=-n", "?_fields=n&min_n=1")


async def seen(app: App, query: str, at: str = "", user: str | None = "alice") -> tuple[str, str]:
    """A list as a caller sees it, all pages of it, and its ETag."""
    join = "&" if "?" in query else "?"
    url = f"{R}{query}{join + at if at else ''}"
    objects: list[Any] = []
    etag = ""
    while url:
        response = await app.call(f"GET {url}", user=user)
        if response.status_code != 200:
            return str(response.status_code), response.headers.get("ETag", "")
        objects += response.json()["data"]
        etag = response.headers["ETag"]
        url = response.headers.get("Next-Page", "")
    return json.dumps(objects), etag


async def holds(app: App, steps: list[tuple[Any, ...]]) -> None:
    states: dict[str, dict[Any, Any]] = {}
    for step in [None, *steps]:
        if step is not None:
            await take(app, step)
        state: dict[Any, Any] = {query: await seen(app, query) for query in QUERIES}
        state["anyone"] = await seen(app, "", user=None)
        state["total"] = (await app.call(f"HEAD {R}?n=1")).headers["Total-Objects"]
        states[state[""][1].strip('"')] = state
    for time, state in states.items():
        at = f"_at={time}"
        for query in QUERIES:
            assert await seen(app, query, at) == state[query], (time, query, steps)
        if state["anyone"][0] != "401":
            past = await seen(app, "", at, user=None)
            # Whoever sees nothing of it now is told nothing of it at all.
            assert past in (state["anyone"], ("401", "")), (time, steps)
        assert (await app.call(f"HEAD {R}?n=1&{at}")).headers["Total-Objects"] == state["total"]
        unchanged = await app.call(f"GET {R}?{at}", headers={"If-None-Match": f'"{time}"'})
        assert unchanged.status_code == 304


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_state_at_any_time_is_the_one_that_was_read_then(engine: str, databases: Databases) -> None:
    url = databases.url(engine, "history")

    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(STEPS, min_size=1, max_size=10))
    def run(steps: list[tuple[Any, ...]]) -> None:
        async def go() -> None:
            async with opened(settings_for(url, features=[*WITH_HISTORY])) as app:
                for path in (B, C):
                    await app.ok(f"PUT {path}")
                await holds(app, steps)

        asyncio.run(go())

    run()


# Where the history does not reach back


async def refused(app: App, time: int, path: str = R) -> str:
    response = await app.call(f"GET {path}?_at={time}")
    assert response.status_code == 400, response.text
    (detail,) = response.json()["details"]
    assert detail["name"] == "_at"
    description: str = detail["description"]
    return description


async def test_what_was_purged_is_not_silently_missing(app: App) -> None:
    await app.ok(f"PUT {R}/a", {"data": {"n": 1}})
    first = await present(app)
    await app.ok(f"PUT {R}/a", {"data": {"n": 2}})
    second = await present(app)
    await app.ok(f"PUT {R}/b")
    third = await present(app)
    await app.ok(f"PUT {R}/b")
    assert [item["n"] for item in await listed(app, f"?_at={first}")] == [1]
    purged = (await app.ok(f"GET {H}?record_id=a&action=update"))["data"][0]["id"]
    await app.ok(f'DELETE {H}?id="{purged}"')
    assert await refused(app, first) == f"The history of this list is complete since {second} only"
    assert [item["n"] for item in await listed(app, f"?_at={second}")] == [2]
    await app.ok(f"DELETE {H}?record_id=b&action=update")
    assert (
        await refused(app, third) == f"The history of this list is complete since {await present(app)} only"
    )
    assert len(await listed(app, f"?_at={await present(app)}")) == 2


async def test_the_timestamp_that_is_named_is_served(app: App) -> None:
    for n in range(4):
        await app.ok(f"PUT {R}/a", {"data": {"n": n}})
    await app.ok(f"DELETE {H}?target.data.n=1")
    named = int((await refused(app, 1)).split("since ")[1].split(" ")[0])
    assert [item["n"] for item in await listed(app, f"?_at={named}")] == [1]


async def test_before_there_was_anything(app: App) -> None:
    await app.ok(f"PUT {R}/a")
    assert await listed(app, "?_at=0") == []
    assert (await app.call(f"HEAD {R}?_at=1")).headers["Total-Objects"] == "0"


async def test_a_time_to_come_is_now(app: App) -> None:
    await app.ok(f"PUT {R}/a")
    assert await listed(app, "?_at=9999999999999") == await listed(app)


async def test_a_collection_that_was_deleted_since(app: App) -> None:
    await app.ok(f"PUT {R}/a")
    before = await present(app)
    await app.ok(f"DELETE {C}")
    await app.ok(f"PUT {C}")
    await app.ok(f"PUT {R}/b")
    after = await present(app)
    await app.ok(f"PUT {R}/c")
    await refused(app, before)
    assert [item["id"] for item in await listed(app, f"?_at={after}")] == ["b"]


@pytest.mark.parametrize("value", ["abc", "-1", "", "1.5x", "null", "{}", "[1]", "9" * 30])
async def test_times_that_are_none(app: App, value: str) -> None:
    response = await app.call(f"GET {R}?_at={value}")
    assert response.status_code == 400, response.text
    assert response.json()["details"][0]["name"] == "_at"


async def test_lists_without_a_history(app: App) -> None:
    for path in ("/accounts", H):
        response = await app.call(f"GET {path}?_at=5", auth=("alice", "pw"))
        assert response.status_code in (400, 401), response.text
    assert (await app.call(f"GET {H}?_at=5")).json()["details"][0]["name"] == "_at"


async def test_lists_of_every_kind(app: App) -> None:
    group = f"{B}/groups"
    await app.ok(f"PUT {group}/g", {"data": {"members": ["x"]}})
    times = {path: await present(app, path) for path in (group, f"{B}/collections", "/buckets")}
    await app.ok(f"PUT {group}/g", {"data": {"members": []}})
    await app.ok(f"PUT {B}/collections/d")
    await app.ok(f"PATCH {B}", {"data": {"a": 1}})
    past = {path: (await app.ok(f"GET {path}?_at={time}"))["data"] for path, time in times.items()}
    assert past[group][0]["members"] == ["x"]
    assert [item["id"] for item in past[f"{B}/collections"]] == ["c"]
    assert [item.get("a") for item in past["/buckets"]] == [None]


async def test_tokens_belong_to_their_time(app: App) -> None:
    for name in "abc":
        await app.ok(f"PUT {R}/{name}")
    now = await present(app)
    next_page = (await app.call(f"GET {R}?_at={now}&_limit=1")).headers["Next-Page"]
    assert (await app.call(f"GET {next_page}")).status_code == 200
    assert (await app.call(f"GET {next_page.replace(str(now), str(now - 1))}")).status_code == 400


# Snapshots


async def test_a_snapshot_is_the_list_as_it_was(app: App) -> None:
    for name in "abc":
        await app.ok(f"PUT {R}/{name}", {"data": {"n": 1}})
    then, time = await listed(app), await present(app)
    await app.ok(f"PUT {R}/a", {"data": {"n": 2}})
    await app.ok(f"DELETE {R}/b")
    url = f"{B}/snapshot/collections/c@{time}"
    response = await app.call(f"GET {url}")
    assert response.json() == {"data": then}
    assert "ETag" not in response.headers
    assert (await app.call(f"HEAD {url}")).status_code == 200
    assert (await app.call(f"GET {url}", user="bob")).status_code == 403
    assert (await app.call(f"GET {url}", user=None)).status_code == 401
    entry = (await app.ok(f"GET {H}?record_id=a&action=update"))["data"][0]
    of_entry = (await app.ok(f"GET {B}/snapshot/collections/c@{entry['last_modified']}"))["data"]
    assert {item["id"]: item["n"] for item in of_entry}["a"] == 2


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("c@abc", 400),
        ("c@-1", 400),
        ("c@1.5", 400),
        ('c@"1"', 400),
        ("c@" + "9" * 40, 400),
        ("c@", 400),
        ("c", 404),
        ("a.b@5", 404),
        ("zz@5", 200),
        ("c@99999999999999", 200),
    ],
)
async def test_what_a_snapshot_can_be_of(app: App, name: str, status: int) -> None:
    response = await app.call(f"GET {B}/snapshot/collections/{name}")
    assert response.status_code == status, response.text
    if status == 400:
        assert response.json()["details"][0]["name"] == "timestamp"


async def test_a_snapshot_that_cannot_be_known_is_refused(app: App) -> None:
    await app.ok(f"PUT {R}/a")
    time = await present(app)
    await app.ok(f"PUT {R}/a")
    await app.ok(f"DELETE {H}")
    assert (await app.call(f"GET {B}/snapshot/collections/c@{time}")).status_code == 400


async def test_a_bucket_made_anew_had_nothing_before(app: App) -> None:
    await app.ok(f"PUT {R}/a")
    await app.ok(f"DELETE {B}")
    await app.ok(f"PUT {B}")
    time = await present(app, f"{B}/collections")
    await app.ok(f"PUT {B}/collections/c")
    await app.ok(f"PUT {R}/b")
    url = f"{B}/snapshot/collections/c@"
    assert (await app.ok(f"GET {url}1234"))["data"] == []
    assert (await app.ok(f"GET {url}{time}"))["data"] == []
    time = await present(app)
    await app.ok(f"DELETE {B}/collections/c")
    await app.ok(f"PUT {B}/collections/c")
    # What the former collection held is known no more.
    assert (await app.call(f"GET {url}{time}")).status_code == 400


async def test_a_snapshot_in_what_cannot_be_is_of_nothing(app: App) -> None:
    response = await app.call("GET /buckets/*/snapshot/collections/c@42")
    assert response.status_code == 404
    assert response.json()["details"] == {"id": "*", "resource_name": "bucket"}


# Restoring


async def restore(app: App, path: str, time: int, **arguments: Any) -> Any:
    return await app.call(f"POST {path}/restore", {"data": {"at": time}}, **arguments)


async def test_a_record_is_restored(app: App) -> None:
    readers = {"read": [principal("bob")]}
    await app.ok(f"PUT {R}/a", {"data": {"n": 1}, "permissions": readers})
    one = await present(app)
    await app.ok(f"PUT {R}/a", {"data": {"n": 2}, "permissions": {}})
    two = await present(app)
    answer = await restore(app, f"{R}/a", one)
    assert answer.status_code == 200
    assert answer.json()["data"]["n"] == 1
    assert answer.json()["data"]["last_modified"] > two
    assert (await restore(app, f"{R}/a", one)).json() == answer.json()  # as it was
    await app.ok(f"DELETE {R}/a")
    answer = await restore(app, f"{R}/a", one)
    assert answer.status_code == 201
    assert answer.json()["permissions"]["read"] == readers["read"]
    answer = await restore(app, f"{R}/a", one - 1)
    assert answer.json()["data"]["deleted"] is True
    told = [entry["action"] for entry in (await app.ok(f"GET {H}?record_id=a"))["data"]]
    assert told == ["delete", "create", "delete", "update", "update", "create"]
    assert (await restore(app, f"{R}/zz", one)).status_code == 404


async def test_a_collection_is_restored(app: App) -> None:
    for name in "abc":
        await app.ok(f"PUT {R}/{name}", {"data": {"n": 1}})
    then, time = await listed(app), await present(app)
    await app.ok(f"PATCH {C}", {"data": {"title": "new"}})
    await app.ok(f"PUT {R}/a", {"data": {"n": 2}})
    await app.ok(f"DELETE {R}/b")
    await app.ok(f"PUT {R}/d", {"data": {"n": 1}})
    app.forget()
    answer = await restore(app, C, time)
    assert answer.status_code == 200, answer.text
    told = answer.json()["data"]
    assert (told["restored"], told["deleted"]) == (2, 1)
    assert answer.headers["ETag"] == f'"{told["last_modified"]}"'
    now = {item["id"]: item["n"] for item in await listed(app)}
    assert now == {item["id"]: item["n"] for item in then}
    # The collection had not been changed yet at a time before its title.
    assert sorted(app.events) == [f"create {R}/b", f"delete {R}/d", f"update {C}", f"update {R}/a"]
    unchanged = next(item for item in await listed(app) if item["id"] == "c")
    assert unchanged in then


async def test_restoring_is_a_write_like_any_other(app: App) -> None:
    await app.ok(f"PUT {R}/a", {"data": {"n": 1}})
    time = await present(app)
    await app.ok(f"PUT {R}/a", {"data": {"n": "text"}})
    stale = {"If-Match": '"1"'}
    assert (await restore(app, f"{R}/a", time, headers=stale)).status_code == 412
    assert (await restore(app, C, time, headers=stale)).status_code == 412
    good = {"If-Match": f'"{await present(app)}"'}
    await app.ok(f"PUT {C}", {"data": {"schema": {"properties": {"n": {"type": "string"}}}}})
    answer = await restore(app, f"{R}/a", time, headers=good)
    assert answer.status_code == 400, answer.text
    assert answer.json()["details"][0]["name"] == "n"
    answers = await app.ok(
        "POST /batch",
        {
            "requests": [
                {"method": "DELETE", "path": f"{R}/a"},
                {"method": "PUT", "path": C, "body": {"data": {}}},
                {"method": "POST", "path": f"{R}/a/restore", "body": {"data": {"at": time}}},
            ]
        },
    )
    assert [answer["status"] for answer in answers["responses"]] == [200, 200, 201]
    assert [item["n"] for item in await listed(app)] == [1]


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"data": {}},
        {"data": {"at": "1"}},
        {"data": {"at": -1}},
        {"data": {"at": True}},
        {"data": {"at": 1.5}},
        {"data": {"at": 1, "x": 1}},
        {"data": {"at": 1}, "permissions": {}},
        {"data": {"at": 10**30}},
        [],
    ],
)
async def test_bodies_that_restore_nothing(app: App, body: Any) -> None:
    await app.ok(f"PUT {R}/a")
    for path in (C, f"{R}/a"):
        response = await app.call(f"POST {path}/restore", body)
        assert response.status_code == 400, response.text
        assert response.json()["details"][0]["location"] == "body"


async def test_only_writers_restore_and_only_what_they_could_see(app: App) -> None:
    bob = principal("bob")
    await app.ok(f"PUT {R}/a", {"data": {"secret": "old"}})
    secret = await present(app)
    await app.ok(f"PUT {R}/a", {"data": {}, "permissions": {"write": [bob]}})
    shared = await present(app)
    await app.ok(f"PATCH {R}/a", {"data": {"n": 1}})
    assert (await restore(app, f"{R}/a", secret, user="bob")).status_code == 403
    assert (await restore(app, f"{R}/a", shared, user="bob")).status_code == 200
    assert (await restore(app, f"{R}/a", shared, user="carol")).status_code == 403
    assert (await restore(app, f"{R}/a", shared, user=None)).status_code == 401
    assert (await restore(app, C, shared, user="bob")).status_code == 403
    await app.ok(f"PATCH {C}", {"permissions": {"record:create": [bob]}})
    await app.ok(f"DELETE {R}/a")
    # To create is not to see what was deleted.
    assert (await restore(app, f"{R}/a", shared, user="bob")).status_code == 403
    assert (await restore(app, "/buckets/bait/collections/c", shared)).status_code == 403
