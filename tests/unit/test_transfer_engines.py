"""A collection that is exported from one engine and imported into the other gives the same answers there."""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath
from kintoun.transfer.dumping import dump
from kintoun.transfer.loading import Load
from kintoun.transfer.sources import Source, find_sources, read
from tests.support.fixtures import databases
from tests.support.inprocess import App, Databases, opened, settings_for

__all__ = ["databases"]

SAMPLES = os.environ.get("KINTOUN_SAMPLES")
"""A directory of real collections, `BUCKET/COLLECTION.json`, to run these tests on as well."""

LANGUAGES = ("bg", "cs", "de", "en", "es", "et", "fr", "it", "nl", "pl", "pt", "uk", "zh-Hans")
QUERIES = (
    "",
    "?_since=0",
    "?_limit=7",
    "?_sort=name,-last_modified&_limit=20",
    "?fromLang=en&_fields=id,toLang",
    "?in_fromLang=de,fr",
    "?not_fromLang=en&_limit=50",
    "?min_version=1.1",
    "?like_name=*.bin",
    "?attachment.mimetype=text/plain",
    "?gt_attachment.size=40000&_sort=-attachment.size",
    "?has_filter=false",
    "?contains_tags=base",
    "?contains_any_tags=tiny,none",
    "?exclude_fileType=lex,vocab",
)


def models(amount: int, seed: int) -> list[dict[str, Any]]:
    """Records shaped as those of a published collection of language models, some of them deleted."""
    chance = random.Random(seed)
    records: list[dict[str, Any]] = []
    stamp = 1700000000000
    for number in range(amount):
        stamp += chance.randrange(1, 90_000)
        identifier = str(UUID(int=chance.getrandbits(128), version=4))
        if chance.random() < 0.1:
            records.append({"id": identifier, "last_modified": stamp, "deleted": True})
            continue
        one, other = chance.sample(LANGUAGES, 2)
        kind = chance.choice(["model", "lex", "vocab", "qualityModel"])
        record: dict[str, Any] = {
            "id": identifier,
            "last_modified": stamp,
            "schema": 1700000000000 + number,
            "name": f"{kind}.{one}{other}.{chance.choice(['bin', 'spm'])}",
            "fromLang": one,
            "toLang": other,
            "version": chance.choice(["1.0", "1.1", "2.0a1"]),
            "fileType": kind,
            "tags": chance.sample(["base", "tiny", "größer", "\U0001f600"], 2),
            "attachment": {
                "hash": f"{chance.getrandbits(256):064x}",
                "size": chance.randrange(100_000),
                "mimetype": chance.choice(["text/plain", "application/octet-stream"]),
            },
        }
        if chance.random() < 0.5:
            record["filter"] = "env.version|versionCompare('2') >= 0"
        records.append(record)
    return records


@pytest.fixture
def collections(tmp_path: Path) -> list[Source]:
    directory = tmp_path / "main"
    directory.mkdir()
    for name, amount in (("models", 626), ("engines", 157), ("empty", 0)):
        records = models(amount, seed=amount)
        timestamp = max([record["last_modified"] for record in records], default=1700000000000) + 5
        text = json.dumps({"data": records, "timestamp": timestamp})
        (directory / f"{name}.json").write_text(text, encoding="utf-8")
    return find_sources(tmp_path, None, None) + (find_sources(Path(SAMPLES), None, None) if SAMPLES else [])


async def fill(app: App, sources: list[Source]) -> None:
    store = app.application.composition.service.store
    for source in sources:
        await store.write(Load(source, read(source.file), {"read": ["system.Everyone"]}))


async def exported(app: App, source: Source) -> str:
    file = io.StringIO()
    store = app.application.composition.service.store
    path = ListPath(RECORD, (source.bucket, source.collection))
    await dump(store, path, file, "json", lambda done, total: None)
    return file.getvalue()


async def answers(app: App, source: Source) -> list[tuple[str, Any, str, str]]:
    """What anybody is told about a collection: every page of every query."""
    told = []
    base = f"/buckets/{source.bucket}/collections/{source.collection}/records"
    for query in QUERIES:
        head = await app.call(f"HEAD {base}{query}", user=None)
        url: str | None = f"{base}{query}"
        while url is not None:
            response = await app.call(f"GET {url}", user=None)
            assert response.status_code == 200, response.text
            told.append((query, response.json(), response.headers["ETag"], head.headers["Total-Objects"]))
            url = response.headers.get("Next-Page")
    return told


async def test_the_other_engine_gives_the_same_answers(
    databases: Databases, collections: list[Source], tmp_path: Path
) -> None:
    async with opened(settings_for(databases.url("sqlite"))) as app:
        await fill(app, collections)
        first = {str(source): await answers(app, source) for source in collections}
        texts = {str(source): await exported(app, source) for source in collections}
    again = []
    for source in collections:
        file = tmp_path / "out" / source.bucket / f"{source.collection}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[str(source)], encoding="utf-8")
        again.append(Source(file, source.bucket, source.collection))
    async with opened(settings_for(databases.url("postgresql"))) as app:
        await fill(app, again)
        for source in again:
            assert await answers(app, source) == first[str(source)]
            assert await exported(app, source) == texts[str(source)]


async def test_an_export_is_what_was_imported(databases: Databases, collections: list[Source]) -> None:
    async with opened(settings_for(databases.url("sqlite"))) as app:
        await fill(app, collections)
        for source in collections:
            before, after = json.loads(source.file.read_text()), json.loads(await exported(app, source))
            assert after["timestamp"] == before["timestamp"]
            by_id = {record["id"]: record for record in before["data"]}
            assert {record["id"]: record for record in after["data"]} == by_id
