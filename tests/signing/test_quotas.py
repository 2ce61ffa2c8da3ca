"""Publishing where there are limits: all of a publication has room in the end, or none of it is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kintoun.features.quotas.limits import Override, QuotasSettings
from kintoun.features.signing import applying
from kintoun.features.signing.resources import Resources
from kintoun.features.signing.workflow import SigningSettings
from kintoun.model.paths import Path as ObjectPath
from kintoun.signatures.message import Message
from tests.signing.desk import BUCKETS, DESTINATION, PREVIEW, SOURCE, Desk, at_desk, path_of
from tests.support.inprocess import Databases

HALF = 12
FIRST, SECOND = range(HALF), range(HALF, 2 * HALF)
LONG, SHORT = "x" * 100, "x"


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many steps as a publication of thousands has, with tens of records."""
    monkeypatch.setattr(applying, "AT_ONCE", 4)
    monkeypatch.setattr(applying, "SENT", 8)


def limits(**limit: int) -> dict[str, Any]:
    """What the destination, or with `bucket` its bucket, may hold."""
    collection = None if limit.pop("bucket", False) else "c1"
    return {
        "features": ("quotas",),
        "sections": {
            "quotas": QuotasSettings(overrides=[Override(bucket="main", collection=collection, **limit)])
        },
    }


async def write(desk: Desk, records: Sequence[int], text: str) -> None:
    for n in records:
        await desk.put(f"r{n:02}", text=text)


async def shown(desk: Desk) -> list[Any]:
    """All that readers of the source and its targets see of them."""
    metadata = [await desk.metadata(path) for path in (SOURCE, PREVIEW, DESTINATION)]
    return [*metadata, await desk.verify(PREVIEW), await desk.verify(DESTINATION)]


async def test_what_grows_before_something_else_shrinks_has_room(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with at_desk(databases.url(engine), tmp_path, **limits(max_bytes=HALF * 250)) as desk:
        await desk.open()
        await write(desk, FIRST, LONG)
        await write(desk, SECOND, SHORT)
        await desk.publish()
        await write(desk, SECOND, LONG)
        await write(desk, FIRST, SHORT)
        await desk.publish()
        published = await desk.verify(DESTINATION)
        assert [published[f"r{n:02}"]["text"] for n in (0, HALF)] == [SHORT, LONG]


async def test_what_comes_before_something_else_goes_has_room(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with at_desk(databases.url(engine), tmp_path, **limits(max_items=HALF)) as desk:
        await desk.open()
        await write(desk, FIRST, SHORT)
        await desk.publish()
        await write(desk, SECOND, SHORT)
        for n in FIRST:
            await desk.ok(f"DELETE {SOURCE}/records/r{n:02}")
        await desk.publish()
        assert sorted(await desk.verify(DESTINATION)) == [f"r{n:02}" for n in SECOND]


@pytest.mark.parametrize(
    "limit",
    [
        {"max_items": HALF},
        {"max_bytes": HALF * 180},
        {"max_bytes_per_item": 150},
        {"bucket": True, "max_items": HALF},
    ],
    ids=["items", "bytes", "item", "bucket"],
)
async def test_too_much_is_not_published_at_all(
    engine: str, databases: Databases, tmp_path: Path, limit: dict[str, int]
) -> None:
    async with at_desk(databases.url(engine), tmp_path, **limits(**limit)) as desk:
        await desk.open()
        await write(desk, FIRST, SHORT)
        await desk.publish()
        await write(desk, SECOND, LONG)
        await desk.put("r90", text=LONG * 2)
        await desk.status("to-review")
        before = await shown(desk)
        message = await desk.refuse_status(507, "to-sign", user="rev")
        assert message.startswith("No room: ")
        assert await shown(desk) == before

        for n in (*SECOND, 90):
            await desk.ok(f"DELETE {SOURCE}/records/r{n:02}")
        await desk.put("r00", text=SHORT * 2)
        await desk.publish()
        assert sorted(await desk.verify(DESTINATION)) == [f"r{n:02}" for n in FIRST]


async def test_what_is_published_is_renewed_where_there_is_no_room(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with at_desk(databases.url(engine), tmp_path, **limits(bucket=True, max_bytes=6000)) as desk:
        await desk.open()
        await desk.put("r1")
        await desk.publish()
        sign = desk._sign

        async def sign_often(source: ObjectPath, message: Message) -> Sequence[Mapping[str, Any]]:
            return list(await sign(source, message)) * 50

        desk._sign = sign_often
        await desk.put("r2")
        await desk.status("to-review")
        await desk.refuse_status(507, "to-sign", user="rev")
        workflow = Resources(SigningSettings(resources=BUCKETS)).source(*path_of(SOURCE).ids)
        assert workflow is not None
        await desk.signing.publisher.resign(workflow)
        assert list(await desk.verify(DESTINATION)) == ["r1"]
        assert len((await desk.metadata(DESTINATION))["signatures"]) == 50
        await desk.refuse_status(507, "to-sign", user="rev")
