"""What a worker reads to publish: everything once, then what others have changed. What it signs is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kintoun.features.signing import holding, reading
from kintoun.features.signing.anticipating import Anticipation
from kintoun.features.signing.holding import Holdings
from kintoun.features.signing.reading import Position, records_of
from kintoun.features.signing.resources import Resources
from kintoun.features.signing.workflow import SigningSettings
from kintoun.storage.rows import Wanted
from tests.signing.desk import BUCKETS, DESTINATION, PREVIEW, SOURCE, Desk, path_of

MANY = 12
ROOM = 1024 * 1024


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FEW", 5)
    monkeypatch.setattr(reading, "PAGE", 4)
    monkeypatch.setattr(holding, "LONG", MANY)


class Worker:
    """What another worker of the same server remembers, in place of this one's; its reads are watched."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, room: int = ROOM) -> None:
        self.planner = desk.signing.publisher.planner
        self.holdings = Holdings(desk.store, room)
        self.read: list[tuple[int, int]] = []
        """Of each list that was read, from which timestamp on, and how many rows came."""
        self._read = reading.content
        self._patched = monkeypatch

    async def content(self, store: Any, position: Position, since: int = 0) -> dict[str, str | None]:
        found = await self._read(store, position, since)
        self.read.append((since, len(found)))
        return found

    def works(self) -> None:
        """Let it do what is done from now on."""
        self._patched.setattr(holding, "content", self.content)
        self._patched.setattr(self.planner, "holdings", self.holdings)
        self.read.clear()

    async def looks_ahead(self, desk: Desk) -> None:
        self.works()
        resources = Resources(SigningSettings(resources=BUCKETS))
        await Anticipation(desk.store, resources, self.planner).round()


@pytest.fixture
def workers(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> tuple[Worker, Worker]:
    return Worker(desk, monkeypatch), Worker(desk, monkeypatch)


async def fill(desk: Desk, names: Sequence[str], n: int) -> None:
    body = {"data": {"n": n}}
    requests = [{"method": "PUT", "path": f"{SOURCE}/records/{name}", "body": body} for name in names]
    await desk.ok("POST /batch", {"requests": requests})


async def verify_both(desk: Desk) -> dict[str, int]:
    found = [await desk.verify(target) for target in (PREVIEW, DESTINATION)]
    previewed, published = ({name: record["n"] for name, record in each.items()} for each in found)
    assert previewed == published
    return published


NAMES = [f"r{n:02}" for n in range(MANY)]


async def test_what_was_published_here_is_not_read_again(desk: Desk, workers: tuple[Worker, Worker]) -> None:
    one, _ = workers
    one.works()
    await fill(desk, NAMES, 1)
    await desk.publish()
    one.works()
    await desk.put("r07", n=2)
    await desk.publish()
    assert one.read == []
    assert await verify_both(desk) == {**dict.fromkeys(NAMES, 1), "r07": 2}


async def test_of_what_others_published_only_the_changes_are_read(
    desk: Desk, workers: tuple[Worker, Worker]
) -> None:
    one, other = workers
    one.works()
    await fill(desk, NAMES, 1)
    await desk.publish()
    other.works()
    await fill(desk, ("r07", "new"), 2)
    await desk.ok(f"DELETE {SOURCE}/records/r03")
    await desk.publish()
    assert [rows for _, rows in other.read] == [MANY, MANY]
    one.works()
    await desk.put("r09", n=3)
    await desk.publish()
    assert all(since for since, _ in one.read)
    assert [rows for _, rows in one.read] == [3, 3]
    expected = {**dict.fromkeys(NAMES, 1), "r07": 2, "new": 2, "r09": 3}
    del expected["r03"]
    assert await verify_both(desk) == expected


async def test_a_worker_that_begins_has_read_long_lists_before_it_is_asked(
    desk: Desk, workers: tuple[Worker, Worker]
) -> None:
    one, other = workers
    one.works()
    await fill(desk, NAMES, 1)
    await desk.publish()
    await other.looks_ahead(desk)
    assert other.read == [(0, MANY), (0, MANY)]
    await other.looks_ahead(desk)
    assert other.read == [], "it knows"
    await desk.put("r07", n=2)
    await desk.publish()
    assert other.read == []
    assert await verify_both(desk) == {**dict.fromkeys(NAMES, 1), "r07": 2}


async def test_short_lists_and_those_without_room_are_not_read_ahead(
    desk: Desk, workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    one.works()
    await fill(desk, NAMES[:-1], 1)
    await desk.publish()
    await other.looks_ahead(desk)
    assert other.read == []
    await desk.put(NAMES[-1], n=1)
    await desk.publish()
    crowded = Worker(desk, monkeypatch, room=64)
    await crowded.looks_ahead(desk)
    assert crowded.read == []


async def test_what_a_hook_refused_is_never_taken_for_what_is_published(
    desk: Desk, workers: tuple[Worker, Worker]
) -> None:
    one, _ = workers
    one.works()
    await fill(desk, NAMES, 1)
    await desk.publish()

    async def veto(work: Any, change: Any) -> None:
        if str(change.path) == DESTINATION and change.action == "update":
            raise RuntimeError("no")

    await desk.put("r07", n=2)
    await desk.status("to-review")
    before_commit = desk.app.application.composition.service.before_commit
    desk.app.application.composition.before_commit(veto)
    assert (await desk.call(f"PATCH {SOURCE}", {"data": {"status": "to-sign"}}, "rev")).status_code == 500
    before_commit.pop()
    await desk.status("to-sign", user="rev")
    assert await verify_both(desk) == {**dict.fromkeys(NAMES, 1), "r07": 2}


async def test_a_signer_that_is_down_makes_nobody_read_again(
    desk: Desk, workers: tuple[Worker, Worker]
) -> None:
    one, other = workers
    one.works()
    await fill(desk, NAMES, 1)
    await desk.publish()
    other.works()
    await desk.put("r07", n=2)
    desk.down = True
    await desk.refuse_status(503, "to-review")
    assert other.read
    other.works()
    desk.down = False
    await desk.status("to-review")
    assert other.read == []


async def test_records_changed_past_the_feature_are_published_as_the_source_has_them(
    desk: Desk, workers: tuple[Worker, Worker]
) -> None:
    """Somebody wrote into the database: what is remembered, and what was signed, no longer counts."""
    one, other = workers
    one.works()
    await fill(desk, NAMES, 1)
    await desk.publish()
    for target in (PREVIEW, DESTINATION):
        clock = (await desk.store.read(Wanted(clock=records_of(path_of(target))))).clock
        transaction = await desk.store.engine.begin()
        values = ('{"id": "r07", "last_modified": 1, "n": 9.5}', clock.list)
        await transaction.fetch("UPDATE object SET body = $1 WHERE list = $2 AND id = 'r07'", values)
        await transaction.commit()
    other.works()
    await desk.put("r09", n=2)
    await desk.publish()
    assert (await verify_both(desk))["r07"] == 1
