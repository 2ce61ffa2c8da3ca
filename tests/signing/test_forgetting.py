"""Forgetting a user: whoever edited, asked, reviewed, signed, or made what is published, on every engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from kintoun.features.signing.state import State, state_in, state_path
from kintoun.storage.rows import Wanted
from tests.signing.desk import DESTINATION, PREVIEW, SOURCE, Desk, at_desk, path_of
from tests.support.inprocess import Databases, principal

OPERATOR = {"user-data_delete": [principal("operator")]}


@pytest_asyncio.fixture
async def desk(engine: str, databases: Databases, tmp_path: Path) -> AsyncIterator[Desk]:
    async with at_desk(databases.url(engine), tmp_path, features=("history",), access=OPERATOR) as made:
        await made.open()
        yield made


async def forget(desk: Desk, user: str) -> None:
    await desk.ok(f"DELETE /__user_data__/{principal(user)}", user="operator")


async def state(desk: Desk) -> State:
    return state_in((await desk.store.read(Wanted(points=(state_path(path_of(SOURCE)),)))).points[0])


async def stored(desk: Desk, user: str) -> list[tuple[str, ...]]:
    """The objects that still name a user; those whose parent is gone are reclaimed later."""
    rows = await desk.store.fetch(
        "SELECT o.id, o.body, o.grants FROM object o JOIN clock k ON k.list = o.list WHERE o.deleted = 0"
    )
    return [tuple(row) for row in rows if principal(user) in "".join(row)]


async def test_an_editor_is_forgotten_and_their_work_is_published_by_others(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.ok(f"PATCH {SOURCE}/records/r1", {"permissions": {"write": [principal("both")]}})
    await desk.status("to-review", last_editor_comment="please")
    assert principal("ed") in (await state(desk)).editors
    await forget(desk, "ed")
    assert await stored(desk, "ed") == []
    told = await desk.metadata()
    assert "last_edit_by" in told
    assert "last_review_request_by" not in told
    assert "last_review_request_date" in told
    await desk.status("to-review", user="both")
    await desk.status("to-sign", user="rev")
    assert (await desk.verify(DESTINATION)).keys() == {"r1"}


async def test_whoever_made_what_is_published_is_forgotten_and_it_stays(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    await desk.ok(
        "PATCH /buckets/main-workspace", {"permissions": {"write": [principal("both")]}}, user="admin"
    )
    await forget(desk, "admin")
    assert await stored(desk, "admin") == []
    assert (await desk.verify(DESTINATION)).keys() == {"r1"}
    assert (await desk.verify(PREVIEW)).keys() == {"r1"}


async def test_with_whoever_owned_the_source_alone_it_goes_and_what_is_published_stays(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    await forget(desk, "admin")
    assert (await desk.call(f"GET {SOURCE}", user="ed")).status_code == 403
    assert await stored(desk, "admin") == []
    assert (await desk.verify(DESTINATION)).keys() == {"r1"}
