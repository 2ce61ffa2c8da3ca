"""`monitor/changes`, as a changeset and as a list: what is in it, and where it sends its readers."""

from __future__ import annotations

import uuid
from hashlib import md5
from typing import Any

import pytest

from kintoun.model import timestamps
from kintoun.model.query import DAY_MS
from tests.support.inprocess import HOST, App

CHANGES = "/buckets/monitor/collections/changes"
CHANGESET = f"{CHANGES}/changeset?_expected=0"
RECORDS = f"{CHANGES}/records"


async def fill(app: App) -> None:
    """Collections that are followed (`c1`, `c2`, `p`, `solo/c`) and some that are not, written in turn."""
    for bucket, collection in (
        ("main", "c1"),
        ("main", "hidden"),
        ("main-preview", "p"),
        ("solo", "c"),
        ("solo", "other"),
        ("elsewhere", "c"),
        ("main", "c2"),
    ):
        await app.ok(f"PUT /buckets/{bucket}")
        await app.ok(f"PUT /buckets/{bucket}/collections/{collection}")
        await app.ok(f"PUT /buckets/{bucket}/collections/{collection}/records/r", {"data": {}})


def places(entries: list[dict[str, Any]]) -> list[str]:
    return [f"{entry['bucket']}/{entry['collection']}" for entry in entries]


async def test_it_lists_what_is_followed_and_nothing_else(app: App) -> None:
    await fill(app)
    told = await app.ok(f"GET {CHANGESET}", user=None)
    assert places(told["changes"]) == ["main/c2", "solo/c", "main-preview/p", "main/c1"]
    assert told["metadata"] == {"bucket": "monitor"}
    assert told["timestamp"] == told["changes"][0]["last_modified"]
    digest = md5(b"/buckets/main/collections/c2", usedforsecurity=False).digest()
    assert told["changes"][0] == {
        "id": str(uuid.UUID(bytes=digest)),
        "last_modified": told["timestamp"],
        "bucket": "main",
        "collection": "c2",
        "host": "",
    }
    assert (await app.ok(f"GET {RECORDS}", user=None))["data"] == told["changes"]


async def test_an_entry_is_at_the_timestamp_of_its_changeset(app: App) -> None:
    await fill(app)
    for bucket, collection in (("main", "c1"), ("main", "c2"), ("solo", "c")):
        path = f"/buckets/{bucket}/collections/{collection}"
        for request in (
            f"PUT {path}/records/r",
            f"DELETE {path}/records/r",
            f"PATCH {path}",
            f"PUT {path}/records/s",
        ):
            await app.ok(request, {"data": {"n": 1}} if "DELETE" not in request else None)
            entries = await app.ok(f"GET {CHANGESET}&bucket={bucket}&collection={collection}", user=None)
            changeset = await app.ok(f"GET {path}/changeset?_expected=0")
            assert [entry["last_modified"] for entry in entries["changes"]] == [changeset["timestamp"]]


async def test_a_collection_is_there_from_its_creation_to_its_end(app: App) -> None:
    await app.ok("PUT /buckets/main")
    nothing = await app.ok(f"GET {CHANGESET}", user=None)
    assert nothing["changes"] == []
    assert abs(nothing["timestamp"] - timestamps.now()) < 60_000
    await app.ok("PUT /buckets/main/collections/new")
    told = await app.ok(f"GET {CHANGESET}", user=None)
    assert places(told["changes"]) == ["main/new"]
    assert (
        told["timestamp"]
        == (await app.ok("GET /buckets/main/collections/new/changeset?_expected=0"))["timestamp"]
    )
    await app.ok("DELETE /buckets/main/collections/new")
    assert (await app.ok(f"GET {CHANGESET}", user=None))["changes"] == []
    await app.ok("PUT /buckets/main/collections/new")
    assert len((await app.ok(f"GET {CHANGESET}", user=None))["changes"]) == 1
    await app.ok("DELETE /buckets/main")
    assert (await app.ok(f"GET {CHANGESET}", user=None))["changes"] == []


async def test_what_is_private_is_listed_and_not_opened(app: App) -> None:
    await fill(app)
    assert "main/c1" in places((await app.ok(f"GET {CHANGESET}", user=None))["changes"])
    assert (
        await app.call("GET /buckets/main/collections/c1/changeset?_expected=0", user=None)
    ).status_code == 401


async def test_since_filters_and_limits_choose_and_leave_the_timestamp_alone(app: App) -> None:
    await fill(app)
    whole = await app.ok(f"GET {CHANGESET}", user=None)
    entries = whole["changes"]
    for n, entry in enumerate(entries):
        for since in (entry["last_modified"], f'"{entry["last_modified"]}"'):
            told = await app.ok(f"GET {CHANGESET}&_since={since}", user=None)
            assert (told["changes"], told["timestamp"]) == (entries[:n], whole["timestamp"])
    for query, wanted in (
        ("bucket=main", ["main/c2", "main/c1"]),
        ("bucket=main&collection=c1", ["main/c1"]),
        ("collection=c", ["solo/c"]),
        ("collection=hidden&bucket=main", []),
        ("collection=unknown&bucket=main", []),
        ("_limit=2", ["main/c2", "solo/c"]),
        ("_limit=0", []),
    ):
        told = await app.ok(f"GET {CHANGESET}&{query}", user=None)
        assert (places(told["changes"]), told["timestamp"]) == (wanted, whole["timestamp"])


# Where it sends its readers


async def test_quotation_marks_around_what_is_expected_are_taken_off(app: App) -> None:
    for quoted in ("%22123%22", '"123"', "123%22"):
        answer = await app.call(
            f"GET {CHANGES}/changeset?_since=%227%22&_expected={quoted}&collection=c", user=None
        )
        assert answer.status_code == 307
        wanted = f"http://{HOST}/v1{CHANGES}/changeset?_since=%227%22&_expected=123&collection=c"
        assert answer.headers["Location"] == wanted
        assert "Cache-Control" not in answer.headers


@pytest.mark.parametrize("path", [f"{CHANGES}/changeset?_expected=0&", f"{RECORDS}?"])
async def test_who_knows_only_what_is_old_is_sent_to_the_whole(app: App, path: str) -> None:
    month = timestamps.now() - 30 * DAY_MS
    for since in (0, 42, month, f'"{month}"'):
        answer = await app.call(f"GET {path}_since={since}&_limit=5", user=None)
        assert answer.status_code == 307
        assert answer.headers["Location"] == f"http://{HOST}/v1{path}_limit=5".replace("/v1/v1", "/v1")
        assert answer.headers["Cache-Control"] == "max-age=86400"
        assert "Expires" in answer.headers
    recent = timestamps.now() - 20 * DAY_MS
    assert (await app.call(f"GET {path}_since={recent}", user=None)).status_code == 200


async def test_an_announcement_that_is_older_than_what_is_known_brings_nothing(app: App) -> None:
    await fill(app)
    whole = await app.ok(f"GET {CHANGESET}", user=None)
    first, last = whole["changes"][-1]["last_modified"], whole["timestamp"]
    for since in (first, last):
        answer = await app.call(f"GET {CHANGES}/changeset?_expected={since - 1}&_since={since}", user=None)
        assert answer.status_code == 200
        # It stands where it stood: what is newer than that is for the next question.
        assert answer.json() == {"metadata": {"bucket": "monitor"}, "timestamp": since, "changes": []}
    answer = await app.ok(f"GET {CHANGES}/changeset?_expected={last}&_since={last + 9}", user=None)
    assert (answer["changes"], answer["timestamp"]) == ([], last)


# The list


async def test_the_list_has_what_lists_have(app: App) -> None:
    await fill(app)
    entries = (await app.ok(f"GET {CHANGESET}", user=None))["changes"]
    answer = await app.call(f"GET {RECORDS}", user=None)
    assert answer.headers["ETag"] == f'"{entries[0]["last_modified"]}"'
    for query, wanted in (
        ("bucket=main", ["main/c2", "main/c1"]),
        ("_sort=last_modified", places(entries)[::-1]),
        ("_sort=bucket,-collection", ["main/c2", "main/c1", "main-preview/p", "solo/c"]),
        ("in_collection=c,p", ["solo/c", "main-preview/p"]),
        (f"_since={entries[1]['last_modified']}", ["main/c2"]),
        (f"_before={entries[1]['last_modified']}", ["main-preview/p", "main/c1"]),
    ):
        assert places((await app.ok(f"GET {RECORDS}?{query}", user=None))["data"]) == wanted
    (chosen,) = (await app.ok(f"GET {RECORDS}?_fields=collection&_limit=1", user=None))["data"]
    assert set(chosen) == {"id", "last_modified", "collection"}
    head = await app.call(f"HEAD {RECORDS}?bucket=main", user=None)
    assert (head.headers["Total-Objects"], head.content) == ("2", b"")
    for query, name in (
        ("unknown=1", "unknown"),
        ("_since=x", "_since"),
        ("_limit=x", "_limit"),
        ("_sort=unknown", "unknown"),
    ):
        refused = await app.call(f"GET {RECORDS}?{query}", user=None)
        assert refused.status_code == 400, (query, refused.text)
        assert refused.json()["details"][0]["name"] == name, query


async def test_pages_of_the_list_are_the_list(app: App) -> None:
    await fill(app)
    entries = (await app.ok(f"GET {CHANGESET}", user=None))["changes"]
    seen, path = [], f"{RECORDS}?_limit=3"
    while path:
        answer = await app.call(f"GET {path}", user=None)
        seen += answer.json()["data"]
        path = answer.headers.get("Next-Page", "")
    assert seen == entries


async def test_who_has_the_list_is_told_so_with_200(app: App) -> None:
    await fill(app)
    tag = (await app.call(f"GET {RECORDS}", user=None)).headers["ETag"]
    answer = await app.call(f"GET {RECORDS}", user=None, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json(), answer.headers["ETag"]) == (200, {"data": []}, tag)
    other = await app.call(f"GET {RECORDS}", user=None, headers={"If-None-Match": '"42"'})
    assert len(other.json()["data"]) == 4
    never = await app.call(f"GET {RECORDS}", user=None, headers={"If-None-Match": "*"})
    assert never.status_code == 412


async def test_the_bucket_of_that_name_is_like_any_other(app: App) -> None:
    for path in ("/buckets/monitor", CHANGES, f"{RECORDS}/one", "/buckets/monitor/groups"):
        assert (await app.call(f"GET {path}", user=None)).status_code == 401
    await app.ok("PUT /buckets/monitor")
    await app.ok(f"PUT {CHANGES}")
    await app.ok(f"PUT {CHANGES}/records/mine", {"data": {}})
    assert (await app.ok(f"GET {RECORDS}", user=None))["data"] == []
    assert (await app.ok(f"GET {RECORDS}/mine"))["data"]["id"] == "mine"


async def test_the_capability_names_what_is_followed(app: App) -> None:
    capability = (await app.ok("GET /", user=None))["capabilities"]["changes"]
    assert set(capability) == {"description", "url", "version", "collections"}
    assert capability["collections"] == [
        "/buckets/main",
        "/buckets/main-preview",
        "/buckets/solo/collections/c",
    ]
