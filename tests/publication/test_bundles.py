"""Bundles: what clients fetch that have nothing yet, made anew when something changes."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import lz4.block

from kintoun.features.attachments.settings import AttachmentsSettings
from kintoun.features.publication.bundles import Bundles
from kintoun.features.publication.settings import PublicationSettings
from tests.attachments.world import BOUNDARY, form, part
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

PUBLIC = {"permissions": {"read": ["system.Everyone"]}}
STARTUP, EVERYTHING = "startup.json.mozlz4", "changesets.json.mozlz4"


@asynccontextmanager
async def bundling(url: str, folder: Path, **changes: Any) -> AsyncIterator[App]:
    sections = {
        "publication": PublicationSettings(resources=["/buckets/main", "/buckets/main-preview"], **changes),
        "attachments": AttachmentsSettings(store=str(folder)),
    }
    features = [*FEATURES, "attachments", "publication"]
    async with opened(settings_for(url, features=features, sections=sections)) as app:
        for bucket in ("main", "main-preview"):
            await app.ok(f"PUT /buckets/{bucket}", PUBLIC)
        yield app


async def add(app: App, name: str, *records: str, bucket: str = "main", **attributes: Any) -> None:
    place = f"/buckets/{bucket}/collections/{name}"
    await app.ok(f"PUT {place}", {"data": attributes})
    for record in records:
        await app.ok(f"PUT {place}/records/{record}", {"data": {"of": name, "title": "größe"}})


async def attach(app: App, collection: str, record: str, content: bytes) -> dict[str, Any]:
    url = f"/buckets/main/collections/{collection}/records/{record}/attachment"
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    body = form(part("attachment", content, "file.txt", "text/plain"))
    answer = await app.call(f"POST {url}", raw=body, headers=headers)
    assert answer.is_success, answer.text
    told: dict[str, Any] = (await app.ok(f"GET {url.removesuffix('/attachment')}"))["data"]
    return told


async def make(app: App) -> None:
    bundles: Bundles = app.application.composition.service.shared[Bundles]
    await bundles.make()


async def fetch(app: App, name: str) -> bytes | None:
    """A bundle, from where clients fetch it."""
    answer = await app.call(f"GET /attachments/bundles/{name}", user=None)
    assert answer.status_code in (200, 404)
    if answer.status_code == 404:
        return None
    assert "immutable" not in answer.headers["Cache-Control"]
    return answer.content


async def changesets(app: App, name: str) -> list[dict[str, Any]]:
    content = await fetch(app, name)
    assert content is not None
    assert content[:8] == b"mozLz40\0"
    told: list[dict[str, Any]] = json.loads(lz4.block.decompress(content[8:]))
    return told


async def test_they_hold_the_changesets_as_they_are_served(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with bundling(databases.url(engine), tmp_path) as app:
        await add(app, "first", "a", "b", flags=["startup"])
        await add(app, "second", "a", flags="startup")
        await add(app, "seen", "a", bucket="main-preview", flags=["startup"])
        await app.ok("PUT /buckets/other", PUBLIC)
        await add(app, "unfollowed", "a", bucket="other", flags=["startup"])
        await make(app)
        first = await app.ok("GET /buckets/main/collections/first/changeset?_expected=0", user=None)
        second = await app.ok("GET /buckets/main/collections/second/changeset?_expected=0", user=None)
        assert await changesets(app, STARTUP) == [first]
        assert await changesets(app, EVERYTHING) == [second, first]
        await app.ok("DELETE /buckets/main/collections/first")
        await make(app)
        assert await changesets(app, STARTUP) == []
        assert await changesets(app, EVERYTHING) == [second]


async def test_nothing_is_in_them_that_is_not_for_everybody(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with bundling(databases.url(engine), tmp_path) as app:
        await add(app, "c", "a", flags=["startup"], attachment={"bundle": True})
        await attach(app, "c", "a", b"x" * 100)
        await make(app)
        assert len(await changesets(app, EVERYTHING)) == 1
        assert await fetch(app, "main--c.zip") is not None
        await app.ok("PATCH /buckets/main", {"permissions": {"read": []}})
        await make(app)
        assert await changesets(app, EVERYTHING) == await changesets(app, STARTUP) == []
        assert await fetch(app, "main--c.zip") is None


async def test_an_archive_has_the_records_and_their_files(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with bundling(databases.url(engine), tmp_path, archive_bytes=1000) as app:
        await add(app, "c", "a", "b", "none", attachment={"bundle": True})
        await add(app, "plain", "a", attachment={"bundle": "yes"})
        await attach(app, "plain", "a", b"x")
        files = {"a": b"\0" * 300, "b": bytes(range(256))}
        records = {name: await attach(app, "c", name, content) for name, content in files.items()}
        await make(app)
        archive = await fetch(app, "main--c.zip")
        assert archive is not None
        assert await fetch(app, "main--plain.zip") is None
        with zipfile.ZipFile(io.BytesIO(archive)) as opened_archive:
            assert sorted(opened_archive.namelist()) == ["a", "a.meta.json", "b", "b.meta.json"]
            for name, content in files.items():
                assert opened_archive.read(name) == content
                assert json.loads(opened_archive.read(f"{name}.meta.json")) == records[name]
        # What has become too large stays as it was; what is no longer wanted goes.
        await app.ok("PUT /buckets/main/collections/c/records/large", {"data": {}})
        await attach(app, "c", "large", b"x" * 900)
        await make(app)
        assert await fetch(app, "main--c.zip") == archive
        await app.ok("PATCH /buckets/main/collections/c", {"data": {"attachment": {"bundle": False}}})
        await make(app)
        assert await fetch(app, "main--c.zip") is None


async def test_what_is_too_large_together_is_left_out(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with bundling(databases.url(engine), tmp_path, bundle_bytes=100) as app:
        await add(app, "c", "a", flags=["startup"])
        await make(app)
        assert await changesets(app, EVERYTHING) == []
        assert len(await changesets(app, STARTUP)) == 1


async def test_what_is_the_same_is_not_published_again(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with bundling(databases.url(engine), tmp_path) as app:
        await add(app, "c", "a", attachment={"bundle": True})
        await attach(app, "c", "a", b"x")
        made = app.application.composition.service.measures.counter("bundles_total", "").of()
        numbers = made._measures.numbers
        for wanted in (3, 3, 5):
            if wanted == 5:
                await app.ok("PATCH /buckets/main/collections/c/records/a", {"data": {"n": 1}})
            await make(app)
            assert numbers[made.at] == wanted


async def test_one_worker_makes_them_by_itself(engine: str, databases: Databases, tmp_path: Path) -> None:
    async with bundling(databases.url(engine), tmp_path, bundle_seconds=0.1) as app:
        bundles: Bundles = app.application.composition.service.shared[Bundles]
        workers = [asyncio.create_task(bundles.run()) for _ in range(2)]
        try:
            for name in ("first", "second"):
                await add(app, name, "a", flags=["startup"])
                async with asyncio.timeout(60):
                    while True:
                        if await bundled(app, name):
                            break
                        await asyncio.sleep(0.05)
        finally:
            for worker in workers:
                worker.cancel()
            ended = await asyncio.gather(*workers, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 2


async def bundled(app: App, name: str) -> bool:
    """Whether a collection is in the bundle with its record."""
    if await fetch(app, STARTUP) is None:
        return False
    return any(each["metadata"]["id"] == name and each["changes"] for each in await changesets(app, STARTUP))
