"""Collections as files: what is imported is what is exported, on either engine, and no reader misses it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath
from kintoun.storage import Store
from kintoun.transfer.dumping import Form, Missing, collections, dump
from kintoun.transfer.loading import Load, Outcome
from kintoun.transfer.sources import BadFile, Content, Source, find_sources, read
from tests.support.fixtures import app, databases, engine
from tests.support.inprocess import App

__all__ = ["app", "databases", "engine"]

RECORDS = [
    {
        "id": "a",
        "last_modified": 1600000000001,
        "title": "Äther \U0001f600",
        "n": 1.5,
        "deep": {"x": [1, None, True]},
    },
    {"id": "b", "last_modified": 1600000000005, "big": 2**63, "deleted": False},
    {"id": "c", "last_modified": 1600000000003, "deleted": True},
]
LIST = ListPath(RECORD, ("main", "things"))


@pytest.fixture
def store(app: App) -> Store:
    found: Store = app.application.composition.service.store
    return found


async def load(
    store: Store, records: list[dict[str, Any]], timestamp: int | None = None, **options: Any
) -> Outcome:
    source = Source(Path("main/things.json"), "main", "things")
    outcome: Outcome = await store.write(Load(source, Content(records, timestamp), **options))
    return outcome


async def exported(store: Store, form: Form = "json") -> Any:
    file = io.StringIO()
    await dump(store, LIST, file, form, lambda done, total: None)
    text = file.getvalue()
    return json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]


def by_id(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(records, key=lambda record: record["id"])


async def test_what_goes_in_comes_out(store: Store) -> None:
    outcome = await load(store, RECORDS, 1600000000009)
    assert outcome == Outcome(written=3)
    document = await exported(store)
    assert by_id(document["data"]) == by_id(RECORDS)
    assert document["timestamp"] == 1600000000009
    stamps = [record["last_modified"] for record in document["data"]]
    assert stamps == sorted(stamps, reverse=True)
    assert by_id(await exported(store, "ndjson")) == by_id(RECORDS)


async def test_the_api_serves_what_was_imported(app: App, store: Store) -> None:
    await load(store, RECORDS, 1600000000009, grants={"read": ["system.Everyone"]})
    response = await app.call("GET /buckets/main/collections/things/records?_since=0", user=None)
    assert response.headers["ETag"] == '"1600000000009"'
    assert by_id(response.json()["data"]) == by_id(RECORDS)
    created = await app.call("HEAD /buckets/main/collections/things/records", user=None)
    assert created.headers["Total-Objects"] == "2"


async def test_a_second_run_changes_nothing(store: Store) -> None:
    await load(store, RECORDS, 1600000000009)
    assert await load(store, RECORDS, 1600000000009) == Outcome(unchanged=3)
    assert (await exported(store))["timestamp"] == 1600000000009


async def test_later_records_are_added_with_their_timestamps(store: Store) -> None:
    await load(store, RECORDS, 1600000000009)
    later = [
        *RECORDS,
        {"id": "d", "last_modified": 1600000000020},
        {"id": "e", "last_modified": 1600000000015},
    ]
    assert await load(store, later) == Outcome(written=2, unchanged=3)
    document = await exported(store)
    assert by_id(document["data"]) == by_id(later)
    assert document["timestamp"] == 1600000000020


async def test_no_reader_who_had_synced_misses_an_imported_record(app: App, store: Store) -> None:
    await load(store, RECORDS, 1600000000009, grants={"read": ["system.Everyone"]})
    late = [
        {"id": "x", "last_modified": 1600000000002, "v": 1},
        {"id": "a", "last_modified": 1600000000004, "title": "changed"},
        {"id": "b", "last_modified": 1600000000006, "deleted": True},
        {"id": "y", "last_modified": 1600000000007, "deleted": True},
    ]
    assert await load(store, late) == Outcome(written=4, restamped=4)
    changed = await app.ok("GET /buckets/main/collections/things/records?_since=1600000000009", user=None)
    assert {record["id"] for record in changed["data"]} == {"x", "a", "b", "y"}
    assert await load(store, late) == Outcome(unchanged=4)


async def test_timestamps_can_be_kept_all_the_same(store: Store) -> None:
    await load(store, RECORDS, 1600000000009)
    late = [{"id": "x", "last_modified": 1600000000002}]
    assert await load(store, late, keep_timestamps=True) == Outcome(written=1)
    document = await exported(store)
    assert by_id(document["data"]) == by_id([*RECORDS, *late])
    assert document["timestamp"] == 1600000000009


async def test_a_list_that_readers_may_have_seen_empty_goes_on(app: App, store: Store) -> None:
    await app.ok("PUT /buckets/main")
    await app.ok("PUT /buckets/main/collections/things")
    etag = int((await app.call("GET /buckets/main/collections/things/records")).headers["ETag"].strip('"'))
    await load(store, RECORDS, 1600000000009)
    document = await exported(store)
    assert by_id(document["data"]) == by_id(RECORDS)
    assert document["timestamp"] > etag


async def test_the_same_timestamp_twice_is_told_apart(store: Store) -> None:
    same = [{"id": name, "last_modified": 1600000000001} for name in "abc"]
    assert await load(store, same) == Outcome(written=3, restamped=2)
    stamps = [record["last_modified"] for record in (await exported(store))["data"]]
    assert len(set(stamps)) == 3


async def test_records_without_timestamps_get_one(store: Store) -> None:
    assert await load(store, [{"id": "a"}, {"id": "b", "last_modified": 1600000000001}]) == Outcome(written=2)
    (newest, oldest) = (await exported(store))["data"]
    assert newest["last_modified"] > 1700000000000
    assert oldest["last_modified"] == 1600000000001


async def test_an_import_is_all_or_nothing(store: Store) -> None:
    def stop(done: int) -> None:
        raise KeyError(done)

    with pytest.raises(KeyError):
        await load(store, RECORDS, progress=stop)
    with pytest.raises(Missing):
        await exported(store)


async def test_a_list_that_changes_while_it_is_exported_is_exported_in_one_state(store: Store) -> None:
    records = [{"id": f"r{n}", "last_modified": 1600000000000 + n} for n in range(4500)]
    await load(store, records)
    pages = []
    original = store.read

    async def read_and_write(wanted: Any) -> Any:
        found = await original(wanted)
        if wanted.page is not None and not pages:
            pages.append(wanted)
            await load(store, [{"id": "r3", "last_modified": 1600000009999, "v": 2}])
        return found

    store.read = read_and_write  # type: ignore[method-assign]
    document = await exported(store)
    assert len(document["data"]) == 4500
    assert [record["id"] for record in document["data"] if record.get("v") == 2] == ["r3"]
    assert document["timestamp"] == 1600000009999


async def test_all_collections_are_found(app: App, store: Store) -> None:
    await load(store, RECORDS)
    assert ("main", "things") in await collections(store, None)
    assert await collections(store, "main") == [("main", "things")]
    with pytest.raises(Missing, match="/buckets/nowhere/collections"):
        await collections(store, "nowhere")


# Files


def put(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "ids", "timestamp"),
    [
        ("a.json", '{"data": [{"id": "x"}], "timestamp": 5}', ["x"], 5),
        ("a.json", '{"data": [{"id": "x"}]}', ["x"], None),
        ("a.json", '[{"id": "x"}, {"id": "y"}]', ["x", "y"], None),
        ("a.ndjson", '{"id": "x"}\n\n{"id": "y"}\n', ["x", "y"], None),
        ("a.jsonl", '{"id": "x"}', ["x"], None),
        ("a.json", "[]", [], None),
    ],
)
def test_every_form_of_file_is_read(
    tmp_path: Path, name: str, text: str, ids: list[str], timestamp: int | None
) -> None:
    content = read(put(tmp_path, name, text))
    assert [record["id"] for record in content.records] == ids
    assert content.timestamp == timestamp


def test_records_without_ids_get_the_same_ids_each_time(tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", '[{"v": 1}, {"v": 2}, {"v": 1}]')
    ids = [record["id"] for record in read(path).records]
    assert len(set(ids)) == 3
    assert ids == [record["id"] for record in read(path).records]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "a.json: Invalid JSON"),
        ("a.json", '{"records": []}', 'must be an array of records, or {"data": [...]}'),
        ("a.json", "3", "must be an array of records"),
        ("a.json", '{"data": [], "timestamp": "5"}', "timestamp: must be a positive integer"),
        ("a.json", "[3]", "record 1: must be an object"),
        ("a.json", '[{}, {"id": "a b"}]', "record 2: id: 'a b' cannot be the id of a record"),
        ("a.json", '[{"id": "a"}, {"id": "a"}]', "record 2: the id 'a' is there twice"),
        (
            "a.json",
            '[{"id": "a", "last_modified": 1.5}]',
            "record 1: last_modified: must be a positive integer",
        ),
        ("a.json", '[{"id": "a", "last_modified": 999999999999999}]', "record 1: last_modified"),
        ("a.json", '[{"deleted": true}]', "record 1: id: must be given with `deleted`"),
        ("a.json", '[{"v": "\\u0000"}]', "0.v: Invalid JSON: the NUL character"),
        ("a.ndjson", '{"id": "a"}\n{"id"', "line 2: Invalid JSON"),
    ],
)
def test_a_bad_file_is_named_with_place_and_rule(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        read(put(tmp_path, name, text))
    assert message in str(caught.value)


def test_collections_are_named_by_their_files(tmp_path: Path) -> None:
    for name in ("main/b.json", "main/a.ndjson", "other/c.json", "main/README.md"):
        put(tmp_path, name, "[]")
    assert list(map(str, find_sources(tmp_path, None, None))) == ["main/a", "main/b", "other/c"]
    assert list(map(str, find_sources(tmp_path / "main", "x", None))) == ["x/a", "x/b"]
    assert list(map(str, find_sources(tmp_path / "main" / "b.json", None, "y"))) == ["main/y"]


def test_what_cannot_be_a_collection_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "a b/c.json", "[]")
    with pytest.raises(BadFile, match="'a b' cannot be the id of a bucket; name it with --bucket"):
        find_sources(tmp_path, None, None)
    with pytest.raises(BadFile, match="there is no such file"):
        find_sources(tmp_path / "nothing", None, None)
    put(tmp_path, "empty/readme.txt", "")
    with pytest.raises(BadFile, match="holds no file that ends in"):
        find_sources(tmp_path / "empty", None, None)
    put(tmp_path, "main/d.json", "[]")
    put(tmp_path, "main/d.ndjson", "")
    with pytest.raises(BadFile, match="collection main/d comes from"):
        find_sources(tmp_path / "main", None, None)
