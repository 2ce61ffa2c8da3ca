"""Who follows a published collection is told which state of it there is, on either engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.live.client import Stream, stream
from tests.signing.desk import DESTINATION, PREVIEW, SOURCE, Desk, at_desk
from tests.support.inprocess import Databases, principal

pytestmark = pytest.mark.asyncio

R = f"{DESTINATION}/records"


@pytest_asyncio.fixture
async def desk(engine: str, databases: Databases, tmp_path: Path) -> AsyncIterator[Desk]:
    async with at_desk(databases.url(engine), tmp_path, features=("history", "live")) as made:
        await made.open()
        yield made


async def summary(desk: Desk, place: str = DESTINATION) -> dict[str, Any]:
    """What is to be told of the manifest that is served."""
    manifest = (await desk.metadata(place))["manifest"]
    return {name: manifest[name] for name in ("version", "timestamp", "expires")}


async def told(live: Stream) -> dict[str, Any]:
    event = await live.next()
    assert event.name == "manifest"
    data: dict[str, Any] = event.data
    return data


async def test_it_is_told_at_first_and_with_each_publication(desk: Desk) -> None:
    async with stream(desk.app, R, user=None) as live:
        first = await told(live)
        assert first == await summary(desk)
        await desk.put("r1", n=1)
        await desk.put("r2", n=1)
        await desk.publish()
        event = await live.next()
        assert (event.name, event.data, event.whole) == ("manifest", await summary(desk), False)
        assert event.data["version"] > first["version"]
        records = [await live.next(), await live.next()]
        assert [record.whole for record in records] == [False, True], "all of it arrives together"
        assert int(live.id.strip('"')) == event.data["timestamp"]


async def test_one_that_is_renewed_is_told_though_no_record_moves(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    async with stream(desk.app, R, user=None) as live:
        before = await told(live)
        await desk.status("to-resign")
        event = await live.next()
        assert (event.name, event.data, event.whole) == ("manifest", await summary(desk), True)
        assert event.data["version"] > before["version"]
        place = live.id
    async with stream(desk.app, R, user=None, headers={"Last-Event-ID": place}) as again:
        assert await told(again) == event.data


async def test_who_was_away_is_told_after_what_it_missed(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    async with stream(desk.app, f"{R}?_since=0", user=None) as live:
        record = await live.next()
        assert record.data["id"] == "r1"
        assert await told(live) == await summary(desk)


async def test_several_lists_and_the_light_form(desk: Desk) -> None:
    lists = f"list={R}&list={PREVIEW}/records"
    async with (
        stream(desk.app, f"/__live__?{lists}", user=None) as named,
        stream(desk.app, f"/__live__?{lists}&form=timestamps", user=None) as light,
    ):
        for place in (DESTINATION, PREVIEW):
            assert await told(named) == {"list": f"{place}/records", "data": await summary(desk, place)}
            assert (await light.next()).data["version"] == (await summary(desk, place))["version"]
        await desk.put("r1", n=1)
        await desk.status("to-review")
        assert (await told(named))["list"] == f"{PREVIEW}/records"
        assert (await named.next()).data["data"]["id"] == "r1"
        moved = (await light.next()).data
        preview = await summary(desk, PREVIEW)
        assert moved == {
            "list": f"{PREVIEW}/records",
            "last_modified": preview["timestamp"],
            "version": preview["version"],
        }


async def test_who_sees_only_some_records_is_not_told(desk: Desk) -> None:
    """The metadata of a collection is not for them; and what only looks like a manifest is none."""
    forged = (await desk.metadata(DESTINATION))["manifest"]
    await desk.put("r1", n=1)
    mine = {"permissions": {"read": [principal("eve")]}}
    await desk.ok(f"PATCH {SOURCE}/records/r1", mine)
    await desk.ok("PUT /buckets/plain", {"permissions": {"read": ["system.Everyone"]}}, user="admin")
    await desk.ok("PUT /buckets/plain/collections/c", {"data": {"manifest": {"version": 1}}}, user="admin")
    async with (
        stream(desk.app, f"{SOURCE}/records?_since=0", user="eve") as own,
        stream(desk.app, "/buckets/plain/collections/c/records", user=None) as plain,
    ):
        assert (await own.next()).data["id"] == "r1"
        await desk.ok(f"PATCH {SOURCE}", {"data": {"manifest": forged}})
        await desk.put("r1", n=2)
        assert (await own.next()).data["n"] == 2
        await desk.ok("PUT /buckets/plain/collections/c/records/one", {"data": {}}, user="admin")
        assert (await plain.next()).data["id"] == "one"
