"""What a push service is told: one version for all workers, and not every change by itself."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from kintoun.features.publication.broadcasts import is_due
from kintoun.features.publication.settings import PublicationSettings
from kintoun.model import timestamps
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

BROADCASTS = "/__broadcasts__"
MINUTE = 60_000


@pytest.mark.parametrize(
    ("announced", "current", "now", "due"),
    [
        (0, 100 * MINUTE, 100 * MINUTE, True),  # the first
        (100 * MINUTE, 100 * MINUTE, 200 * MINUTE, False),  # nothing new
        (100 * MINUTE, 99 * MINUTE, 200 * MINUTE, False),  # something was deleted
        (100 * MINUTE, 101 * MINUTE, 104 * MINUTE, False),  # announced not long ago
        (100 * MINUTE, 101 * MINUTE, 106 * MINUTE, True),  # it has been quiet since
        (100 * MINUTE, 104 * MINUTE, 106 * MINUTE, False),  # it has not
        (100 * MINUTE, 106 * MINUTE, 106 * MINUTE, True),  # changes go on and on
        (100 * MINUTE, 105 * MINUTE, 120 * MINUTE, True),
    ],
)
def test_changes_wait_for_one_another(announced: int, current: int, now: int, due: bool) -> None:
    assert is_due(announced, current, now, 5 * MINUTE, 20 * MINUTE) is due


def test_no_change_waits_for_ever() -> None:
    assert is_due(100 * MINUTE, 100 * MINUTE + 1, 103 * MINUTE, 2 * MINUTE, 3 * MINUTE)


async def announced(app: App) -> int:
    told = await app.ok(f"GET {BROADCASTS}", user=None)
    assert told["code"] == 200
    (value,) = told["broadcasts"].values()
    assert list(told["broadcasts"]) == ["remote-settings/monitor_changes"]
    assert value[0] == value[-1] == '"'
    return int(value.strip('"'))


async def test_it_announces_the_last_change_but_those_of_previews(app: App) -> None:
    assert await announced(app) == 0
    await app.ok("PUT /buckets/main-preview")
    await app.ok("PUT /buckets/main-preview/collections/c")
    await app.ok("PUT /buckets/main")
    await app.ok("PUT /buckets/main/collections/c-preview")
    assert await announced(app) == 0
    await app.ok("PUT /buckets/main/collections/c")
    record = (await app.ok("PUT /buckets/main/collections/c/records/r", {"data": {}}))["data"]
    await app.ok("PUT /buckets/main-preview/collections/c/records/r", {"data": {}})
    assert await announced(app) == record["last_modified"]


async def test_an_announcement_stays_for_a_while(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await app.ok("PUT /buckets/main")
    await app.ok("PUT /buckets/main/collections/c")
    first = await announced(app)
    record = (await app.ok("PUT /buckets/main/collections/c/records/r", {"data": {}}))["data"]
    assert await announced(app) == first
    later = timestamps.now() + 6 * MINUTE
    monkeypatch.setattr(timestamps, "now", lambda: later)
    assert await announced(app) == record["last_modified"]
    await app.ok("DELETE /buckets/main")
    assert await announced(app) == record["last_modified"]


async def test_all_servers_announce_the_same(engine: str, databases: Databases) -> None:
    url = databases.url(engine)
    section = PublicationSettings(resources=["/buckets/main"], broadcast_min_seconds=0)
    settings = settings_for(url, features=[*FEATURES, "publication"], sections={"publication": section})
    patient = replace(settings, sections={"publication": replace(section, broadcast_min_seconds=300)})
    async with opened(settings) as hasty, opened(patient) as slow:
        await hasty.ok("PUT /buckets/main")
        await hasty.ok("PUT /buckets/main/collections/c")
        both = await asyncio.gather(*(announced(app) for app in (hasty, slow) for _ in range(10)))
        assert set(both) == {both[0]}
        await hasty.ok("PUT /buckets/main/collections/c/records/r", {"data": {}})
        now = await announced(hasty)
        assert now > both[0]
        assert await announced(slow) == now
