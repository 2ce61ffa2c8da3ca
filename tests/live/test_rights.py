"""Streams show what their readers may see at that moment, and end with the right to it, on either engine."""

from __future__ import annotations

import pytest

from tests.live.client import Stream, stream
from tests.live.lists import C, R, names, put
from tests.support.inprocess import App, principal

pytestmark = pytest.mark.asyncio


async def expect_end(live: Stream, code: int) -> None:
    event = await live.next()
    assert (event.name, event.data["code"]) == ("end", code)
    await live.ended()


async def test_a_right_that_is_lost_ends_the_stream(app: App) -> None:
    async with stream(app, R, user=None) as anybody, stream(app, R) as owner:
        await put(app, "one")
        assert await names(anybody, 1) == ["one"]
        await app.ok("PATCH /buckets/b", {"permissions": {"read": []}})
        await put(app, "two")
        await expect_end(anybody, 401)
        assert await names(owner, 2) == ["one", "two"]


async def test_a_member_that_leaves_a_group_is_out(app: App) -> None:
    bob = principal("bob")
    await app.ok("PUT /buckets/b/groups/g", {"data": {"members": [bob]}})
    await app.ok("PATCH /buckets/b", {"permissions": {"read": ["/buckets/b/groups/g"]}})
    async with stream(app, R, user="bob") as live:
        await put(app, "one")
        assert await names(live, 1) == ["one"]
        await app.ok("PATCH /buckets/b/groups/g", {"data": {"members": []}})
        await put(app, "two")
        await expect_end(live, 403)


async def test_a_changed_password_ends_the_stream(app: App) -> None:
    await app.ok("PUT /accounts/carol", {"data": {"password": "first"}}, user=None)
    auth = ("carol", "first")
    async with stream(app, R, auth=auth) as live, stream(app, R, user=None) as other:
        await put(app, "one")
        assert await names(live, 1) == ["one"]
        await app.ok("PATCH /accounts/carol", {"data": {"password": "second"}}, auth=auth)
        await expect_end(live, 401)
        await put(app, "two")
        assert await names(other, 2) == ["one", "two"]


async def test_the_end_of_a_collection_ends_its_streams(app: App) -> None:
    async with stream(app, R) as live:
        await app.ok(f"DELETE {C}")
        await expect_end(live, 404)


async def test_a_collection_made_again_is_another(app: App) -> None:
    await put(app, "one")
    async with stream(app, R) as live:
        await app.ok(
            "POST /batch",
            {
                "requests": [
                    {"method": "DELETE", "path": C},
                    {"method": "PUT", "path": C},
                    {"method": "PUT", "path": f"{R}/new"},
                ]
            },
        )
        assert (await live.next()).name == "reset"
        assert await names(live, 1) == ["new"]


async def test_objects_of_ones_own(app: App) -> None:
    bob = principal("bob")
    await app.ok("PATCH /buckets/b", {"permissions": {"read": []}})
    await app.ok(f"PUT {R}/mine", {"data": {}, "permissions": {"read": [bob]}})
    await app.ok(f"PUT {R}/hidden", {"data": {}})
    await app.ok(f"PUT {R}/kept", {"data": {}, "permissions": {"read": [bob]}})
    async with stream(app, f"{R}?_since=0", user="bob") as live:
        assert await names(live, 2) == ["mine", "kept"]
        await app.ok(f"PATCH {R}/hidden", {"data": {"n": 1}})
        await app.ok(f"PATCH {R}/hidden", {"permissions": {"read": [bob]}})
        assert await names(live, 1) == ["hidden"]
        await app.ok(f"PATCH {R}/hidden", {"permissions": {"read": []}})
        event = await live.next()
        assert (event.name, event.data["id"]) == ("left", "hidden")
        await app.ok(f"DELETE {R}/mine")
        event = await live.next()
        assert (event.name, event.data["id"], event.data["deleted"]) == ("message", "mine", True)


async def test_what_of_ones_own_was_lost_while_away(app: App) -> None:
    readable = {"data": {}, "permissions": {"read": [principal("bob")]}}
    await app.ok("PATCH /buckets/b", {"permissions": {"read": []}})
    for name in ("kept", "taken", "deleted"):
        await app.ok(f"PUT {R}/{name}", readable)
    async with stream(app, f"{R}?_since=0", user="bob") as live:
        assert await names(live, 3) == ["kept", "taken", "deleted"]
    place = {"Last-Event-ID": live.id}
    async with stream(app, R, user="bob", headers=place) as again:
        await app.ok(f"PATCH {R}/kept", {"data": {"n": 1}})
        assert await names(again, 1) == ["kept"]
    await app.ok(f"PATCH {R}/taken", {"permissions": {"read": []}})
    await app.ok(f"DELETE {R}/deleted")
    async with stream(app, R, user="bob", headers=place) as again:
        assert (await again.next()).name == "reset"
        assert await names(again, 1) == ["kept"]
        await app.ok(f"PUT {R}/more", readable)
        assert await names(again, 1) == ["more"]


async def test_who_comes_to_see_all_starts_over(app: App) -> None:
    bob = principal("bob")
    await app.ok("PATCH /buckets/b", {"permissions": {"read": []}})
    await app.ok(f"PUT {R}/hidden", {"data": {}})
    await app.ok(f"PUT {R}/mine", {"data": {}, "permissions": {"read": [bob]}})
    async with stream(app, f"{R}?_since=0", user="bob") as live:
        assert await names(live, 1) == ["mine"]
        await app.ok(f"PATCH {C}", {"permissions": {"read": [bob]}})
        assert (await live.next()).name == "reset"
        assert await names(live, 2) == ["hidden", "mine"]
        await app.ok(f"PATCH {C}", {"permissions": {"read": []}})
        assert (await live.next()).name == "reset"
        assert await names(live, 1) == ["mine"]


async def test_objects_shared_with_a_group_come_and_go_with_it(app: App) -> None:
    bob, group = principal("bob"), "/buckets/b/groups/g"
    await app.ok("PATCH /buckets/b", {"permissions": {"read": []}})
    await app.ok(f"PUT {group}", {"data": {"members": []}})
    await app.ok(f"PUT {R}/shared", {"data": {}, "permissions": {"read": [group]}})
    await app.ok(f"PUT {R}/mine", {"data": {}, "permissions": {"read": [bob]}})
    async with stream(app, f"{R}?_since=0", user="bob") as live:
        assert await names(live, 1) == ["mine"]
        await app.ok(f"PATCH {group}", {"data": {"members": [bob]}})
        assert (await live.next()).name == "reset"
        assert await names(live, 2) == ["shared", "mine"]
        await app.ok(f"PATCH {group}", {"data": {"members": []}})
        assert (await live.next()).name == "reset"
        assert await names(live, 1) == ["mine"]


@pytest.mark.parametrize("how", ["PATCH", "DELETE"])
async def test_the_last_object_of_ones_own_ends_the_stream(app: App, how: str) -> None:
    await app.ok("PATCH /buckets/b", {"permissions": {"read": []}})
    await app.ok(f"PUT {R}/mine", {"data": {}, "permissions": {"read": [principal("bob")]}})
    async with stream(app, f"{R}?_since=0", user="bob") as live:
        assert await names(live, 1) == ["mine"]
        await app.ok(f"{how} {R}/mine", {"permissions": {"read": []}} if how == "PATCH" else None)
        assert (await app.call(f"GET {R}", user="bob")).status_code == 403
        await expect_end(live, 403)
    async with stream(app, R, user="bob") as again:
        assert again.status == 403


async def test_too_many_objects_of_ones_own(app: App) -> None:
    bob = principal("bob")
    await app.ok("PATCH /buckets/b", {"permissions": {"read": []}})
    for n in range(6):
        await app.ok(f"PUT {R}/r{n}", {"data": {}, "permissions": {"read": [bob]}})
    async with stream(app, R, user="bob") as live:
        await expect_end(live, 400)
