"""Who sees which entries, for every grant at the time of the change and every caller (protocol 10.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kintoun.settings import Protocol
from tests.security.rights import PERMISSIONS
from tests.support.inprocess import (
    BAIT,
    FEATURES,
    MALLORY,
    SECRET,
    App,
    Databases,
    opened,
    principal,
    settings_for,
)

B = "/buckets/b"
H = f"{B}/history"
TEAM = "/buckets/teams/groups/team"
PATHS = {
    "bucket": B,
    "collection": f"{B}/collections/c",
    "group": f"{B}/groups/g",
    "record": f"{B}/collections/c/records/r",
}
BELOW = {
    "bucket": {"bucket", "collection", "group", "record"},
    "collection": {"collection", "record"},
    "group": {"group"},
    "record": {"record"},
}
GRANTS = [(kind, permission) for kind in PATHS for permission in PERMISSIONS[kind]]
CALLERS = [
    ("system.Everyone", None, True),
    ("system.Authenticated", "carol", True),
    ("system.Authenticated", None, False),
    (principal("carol"), "carol", True),
    (principal("carol"), "stranger", False),
    (TEAM, "carol", True),
]


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    settings = settings_for(databases.url(engine, "history"), features=[*FEATURES, "history"])
    async with opened(settings) as made:
        mine = {"permissions": {"write": [principal(MALLORY)]}, "data": {"bait": BAIT}}
        for path in ("/buckets/bait", "/buckets/bait/collections/c", f"/buckets/bait/groups/{BAIT}"):
            await made.ok(f"PUT {path}", mine, user=MALLORY)
        await made.ok("PUT /buckets/teams", {"permissions": {"write": [principal("alice")]}})
        await made.ok(f"PUT {TEAM}", {"data": {"members": [principal("carol")]}})
        yield made


async def write_all(app: App, **permissions: dict[str, list[str]]) -> None:
    """Write every object once, with these permissions."""
    for kind, path in PATHS.items():
        given = dict(permissions.get(kind, {}))
        if kind == "bucket":
            given["write"] = [*given.get("write", []), principal("alice")]
        data = {"members": []} if kind == "group" else {}
        await app.ok(f"PUT {path}", {"data": data, "permissions": given or {"read": []}})


async def visible(app: App, user: str | None) -> set[str] | None:
    """Which entries a caller sees, as kind and number of the change; None for a refusal."""
    response = await app.call(f"GET {H}?_sort=last_modified", user=user)
    if response.status_code in (401, 403):
        assert response.status_code == (403 if user else 401)
        assert (await app.call(f"HEAD {H}", user=user)).status_code == response.status_code
        return None
    entries = response.json()["data"]
    head = await app.call(f"HEAD {H}", user=user)
    assert head.headers["Total-Objects"] == str(len(entries))
    return {f"{entry['resource_name']} {entry['action']}" for entry in entries}


@pytest.mark.parametrize(("on", "permission"), GRANTS)
async def test_entries_are_seen_by_who_could_read_the_object_then(app: App, on: str, permission: str) -> None:
    for holder, user, meets in CALLERS:
        if (await app.call(f"GET {B}")).status_code == 200:
            await app.ok(f"DELETE {B}")
        await write_all(app)
        await write_all(app, **{on: {permission: [holder]}})  # type: ignore[arg-type]
        now = {f"{kind} update" for kind in BELOW[on]} if meets and permission in ("read", "write") else set()
        if on == "bucket" and now:
            now = {f"{kind} {action}" for kind in PATHS for action in ("create", "update")}
        assert (await visible(app, user)) == (now or None), (on, permission, holder, user)
        # The permission is taken away: what was told stays told, what comes is not.
        await write_all(app)
        later = {f"{kind} update" for kind in BELOW[on]} if now else set()
        if on == "bucket" and now:
            later = {f"{kind} update" for kind in PATHS}
        assert (await visible(app, user)) == (later or None), (on, permission, holder, user)
        assert (await visible(app, "alice")) is not None


async def test_without_explicit_permissions_the_bucket_alone_decides(
    engine: str, databases: Databases
) -> None:
    protocol = Protocol(userid_secret=SECRET, explicit_permissions=False)
    settings = settings_for(
        databases.url(engine, "history"), features=[*FEATURES, "history"], protocol=protocol
    )
    async with opened(settings) as app:
        await write_all(app, collection={"write": ["system.Everyone"]}, record={"read": ["system.Everyone"]})
        assert await visible(app, None) is None
        assert await visible(app, "carol") is None
        await write_all(app, bucket={"read": [principal("carol")]})
        seen = await visible(app, "carol")
        assert seen is not None
        assert len(seen) == 8, "whatever there was before"


async def test_a_deletion_is_not_told_to_the_readers_of_the_object_alone(app: App) -> None:
    await write_all(app, record={"read": ["system.Everyone"]})
    await app.ok(f"DELETE {PATHS['record']}")
    assert await visible(app, None) == {"record create"}
    await write_all(app, collection={"read": ["system.Everyone"]})
    await app.ok(f"DELETE {PATHS['record']}")
    found = (await app.ok(f"GET {H}?action=delete", user=None))["data"]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("setting", "user", "reads", "purges"),
    [
        ("history_read", "carol", True, False),
        ("history_write", "carol", True, True),
        ("history_read", "stranger", False, False),
        ("bucket_read", "carol", False, False),
        ("record_read", "carol", False, False),
    ],
)
async def test_settings(
    engine: str, databases: Databases, setting: str, user: str, reads: bool, purges: bool
) -> None:
    access = {"bucket_create": [principal("alice")], setting: [principal("carol")]}
    url = databases.url(engine, "history")
    async with opened(settings_for(url, features=[*FEATURES, "history"], access=access)) as app:
        await write_all(app)
        assert (await app.call(f"GET {H}", user=user)).status_code == (200 if reads else 403)
        assert (await app.call(f"DELETE {H}", user=user)).status_code == (200 if purges else 403)


@pytest.mark.parametrize("permission", ["read", "write", "collection:create", "group:create"])
async def test_only_writers_of_the_bucket_purge(app: App, permission: str) -> None:
    await write_all(app, bucket={permission: [principal("carol")]}, record={"write": [principal("carol")]})
    allowed = permission == "write"
    assert (await app.call(f"DELETE {H}", user="carol")).status_code == (200 if allowed else 403)
    assert (await app.call(f"DELETE {H}", user=None)).status_code == 401
    assert ((await app.ok(f"GET {H}"))["data"] == []) is allowed


async def test_nothing_is_told_of_what_is_not_there(app: App) -> None:
    for path in ("/buckets/none/history", "/buckets/none/snapshot/collections/c@5"):
        assert (await app.call(f"GET {path}", user="carol")).status_code == 403
        assert (await app.call(f"GET {path}", user=None)).status_code == 401
        there = path.replace("none", "bait")
        assert (await app.call(f"GET {there}", user="carol")).status_code == 403
        assert (await app.call(f"GET {there}", user=None)).status_code == 401


async def test_lists_of_the_past_show_what_could_be_read_then(app: App) -> None:
    records = f"{B}/collections/c/records"
    await write_all(app)
    await app.ok(f"PUT {records}/a", {"data": {"n": 1}, "permissions": {"read": [principal("carol")]}})
    await app.ok(f"PUT {records}/b", {"data": {"n": 1}})
    time = int((await app.call(f"HEAD {records}")).headers["ETag"].strip('"'))
    await app.ok(f"PUT {records}/a", {"data": {"n": 2}, "permissions": {"read": []}})
    await app.ok(f"PUT {records}/b", {"data": {"n": 2}, "permissions": {"read": [principal("carol")]}})
    past = await app.ok(f"GET {records}?_at={time}", user="carol")
    assert [(item["id"], item["n"]) for item in past["data"]] == [("a", 1)]
    now = await app.ok(f"GET {records}", user="carol")
    assert [(item["id"], item["n"]) for item in now["data"]] == [("b", 2)]
    assert (await app.call(f"GET {records}?_at={time}", user="stranger")).status_code == 403
