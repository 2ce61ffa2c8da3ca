"""Changesets of collections: what is in them, who may have them, and what is asked wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.inprocess import App

PUBLIC = {"permissions": {"read": ["system.Everyone"]}}
PLACE = "/buckets/main/collections/c"
CHANGESET = f"{PLACE}/changeset?_expected=0"


async def publish(app: App, *records: str, bucket: Any = PUBLIC, place: str = PLACE) -> None:
    await app.ok(f"PUT {place.partition('/collections')[0]}", bucket)
    await app.ok(f"PUT {place}", {"data": {"sort": "-n", "flags": ["startup"]}})
    for n, name in enumerate(records):
        await app.ok(f"PUT {place}/records/{name}", {"data": {"n": n, "title": "größe 𝄞"}})


async def test_a_changeset_is_the_collection_with_all_its_records(app: App) -> None:
    await publish(app, "a", "b")
    told = await app.ok(f"GET {CHANGESET}", user=None)
    listed = await app.call(f"GET {PLACE}/records")
    collection = (await app.ok(f"GET {PLACE}"))["data"]
    assert told["changes"] == listed.json()["data"]
    assert f'"{told["timestamp"]}"' == listed.headers["ETag"]
    assert told["metadata"] == {**collection, "bucket": "main"}
    assert list(told) == ["metadata", "timestamp", "changes"]


async def test_with_since_it_is_what_changed_later_deletions_included(app: App) -> None:
    await publish(app, "a", "b", "c")
    await app.ok(f"DELETE {PLACE}/records/a")
    listed = (await app.ok(f"GET {PLACE}/records?_since=0"))["data"]
    assert [record["id"] for record in listed] == ["a", "c", "b"]
    for n, record in enumerate(listed):
        for since in (record["last_modified"], f'"{record["last_modified"]}"'):
            told = await app.ok(f"GET {CHANGESET}&_since={since}", user=None)
            assert told["changes"] == listed[:n]
            assert told["timestamp"] == listed[0]["last_modified"]
    assert [each["id"] for each in (await app.ok(f"GET {CHANGESET}", user=None))["changes"]] == ["c", "b"]


async def test_the_timestamp_is_that_of_the_last_deletion(app: App) -> None:
    await publish(app, "a")
    gone = (await app.ok(f"DELETE {PLACE}/records/a"))["data"]
    told = await app.ok(f"GET {CHANGESET}", user=None)
    assert (told["timestamp"], told["changes"]) == (gone["last_modified"], [])


async def test_the_ids_of_the_url_stand_above_a_field_of_the_same_name(app: App) -> None:
    await publish(app)
    await app.ok(f"PATCH {PLACE}", {"data": {"bucket": "another", "nested": {"bucket": 1}}})
    metadata = (await app.ok(f"GET {CHANGESET}", user=None))["metadata"]
    assert (metadata["bucket"], metadata["nested"]) == ("main", {"bucket": 1})


async def test_no_number_of_records_cuts_a_changeset_off(app: App) -> None:
    await publish(app)
    body = {"method": "POST", "path": f"{PLACE}/records", "body": {"data": {}}}
    for _ in range(9):
        await app.ok("POST /batch", {"requests": [body] * 25})
    told = await app.ok(f"GET {CHANGESET}", user=None)
    assert len(told["changes"]) == 225
    for limit in (0, 1, 224, 2**63):
        some = await app.ok(f"GET {CHANGESET}&_limit={limit}", user=None)
        assert some["changes"] == told["changes"][: min(limit, 225)]


@pytest.mark.parametrize("known", ["not", "before"])
async def test_every_write_shows_in_the_next_changeset(app: App, known: str) -> None:
    await publish(app, "a")
    if known == "before":
        await app.ok(f"GET {CHANGESET}", user=None)
    for n in range(3):
        written = (await app.ok(f"PATCH {PLACE}/records/a", {"data": {"n": n}}))["data"]
        told = await app.ok(f"GET {CHANGESET}", user=None)
        assert told["changes"] == [written]
        assert told["timestamp"] == written["last_modified"]
        await app.ok(f"PATCH {PLACE}", {"data": {"note": n}})
        told = await app.ok(f"GET {CHANGESET}", user=None)
        assert told["metadata"]["note"] == n
        assert told["timestamp"] == written["last_modified"]


async def test_metadata_that_changes_under_its_old_timestamp_shows(app: App) -> None:
    await publish(app, "a")
    before = (await app.ok(f"GET {CHANGESET}", user=None))["metadata"]
    data = {"last_modified": before["last_modified"], "note": "new"}
    await app.ok(f"PUT {PLACE}", {"data": data})
    assert (await app.ok(f"GET {CHANGESET}", user=None))["metadata"]["note"] == "new"


async def test_a_write_that_is_not_committed_is_seen_by_its_batch_alone(app: App) -> None:
    await publish(app, "a")
    await app.ok(f"GET {CHANGESET}", user=None)
    requests = [
        {"method": "PUT", "path": f"{PLACE}/records/new", "body": {"data": {}}},
        {"method": "GET", "path": CHANGESET},
        {"method": "GET", "path": CHANGESET, "headers": {"Accept-Encoding": "gzip, br, zstd"}},
    ]
    answers = (await app.ok("POST /batch", {"requests": requests}))["responses"]
    for answer in answers[1:]:
        assert [record["id"] for record in answer["body"]["changes"]] == ["new", "a"]
        assert "Content-Encoding" not in answer["headers"]
    assert len((await app.ok(f"GET {CHANGESET}", user=None))["changes"]) == 2


# Who may have it

REFUSED = [("alice-s friend", 403), (None, 401)]


@pytest.mark.parametrize(("user", "status"), REFUSED)
async def test_what_is_private_is_refused_whoever_had_it_before(
    app: App, user: str | None, status: int
) -> None:
    await publish(app, "secret", bucket=None)
    assert len((await app.ok(f"GET {CHANGESET}"))["changes"]) == 1
    for method in ("GET", "HEAD"):
        answer = await app.call(f"{method} {CHANGESET}", user=user)
        assert answer.status_code == status
        assert "secret" not in answer.text


@pytest.mark.parametrize("of", ["bucket", "collection"])
@pytest.mark.parametrize("permission", ["read", "write"])
async def test_permissions_count_from_the_next_request_on(app: App, of: str, permission: str) -> None:
    await publish(app, "a", bucket=None)
    path = "/buckets/main" if of == "bucket" else PLACE
    for _ in range(2):
        assert (await app.call(f"GET {CHANGESET}", user=None)).status_code == 401
        await app.ok(f"PATCH {path}", {"permissions": {permission: ["system.Everyone"]}})
        assert (await app.call(f"GET {CHANGESET}", user=None)).status_code == 200
        await app.ok(f"PATCH {path}", {"permissions": {permission: []}})
    assert (await app.call(f"GET {CHANGESET}", user=None)).status_code == 401


async def test_a_group_reads_what_others_may_not(app: App) -> None:
    await publish(app, "a", bucket=None)
    me = (await app.ok("GET /", user="bob"))["user"]["id"]
    await app.ok("PUT /buckets/main/groups/readers", {"data": {"members": [me]}})
    await app.ok(f"PATCH {PLACE}", {"permissions": {"read": ["/buckets/main/groups/readers"]}})
    assert len((await app.ok(f"GET {CHANGESET}", user="bob"))["changes"]) == 1
    assert (await app.call(f"GET {CHANGESET}", user="carol")).status_code == 403
    await app.ok("PATCH /buckets/main/groups/readers", {"data": {"members": []}})
    assert (await app.call(f"GET {CHANGESET}", user="bob")).status_code == 403


async def test_a_right_to_add_is_no_right_to_read(app: App) -> None:
    await publish(app, "a", bucket=None)
    await app.ok(f"PATCH {PLACE}", {"permissions": {"record:create": ["system.Everyone"]}})
    assert (await app.call(f"GET {CHANGESET}", user=None)).status_code == 401
    assert (await app.call(f"GET {CHANGESET}", user="bob")).status_code == 403


async def test_records_that_are_open_by_themselves_open_no_changeset(app: App) -> None:
    await publish(app, "a", bucket=None)
    await app.ok(f"PATCH {PLACE}/records/a", PUBLIC)
    assert (await app.call(f"GET {CHANGESET}", user=None)).status_code == 401


async def test_what_is_not_there(app: App) -> None:
    await publish(app, "a")
    gone = "/buckets/main/collections/gone/changeset?_expected=0"
    assert (await app.call(f"GET {gone}")).status_code == 404
    assert (await app.call(f"GET {gone}")).json()["errno"] == 111
    assert (await app.call(f"GET {gone}", user=None)).status_code in (401, 404)
    nowhere = "/buckets/nowhere/collections/c/changeset?_expected=0"
    assert (await app.call(f"GET {nowhere}", user=None)).json()["errno"] == 104
    await app.ok(f"GET {CHANGESET}", user=None)
    await app.ok("DELETE /buckets/main")
    assert (await app.call(f"GET {CHANGESET}", user=None)).status_code == 401
    await publish(app)
    assert (await app.ok(f"GET {CHANGESET}", user=None))["changes"] == []


async def test_who_knows_less_than_what_was_purged_is_sent_to_the_whole(app: App) -> None:
    await publish(app, "a", "b")
    first = (await app.ok(f"GET {CHANGESET}", user=None))["timestamp"]
    store = app.application.composition.service.store

    async def forget(transaction: Any) -> None:
        await transaction.fetch(
            "UPDATE clock SET watermark = $1, version = version + 1 WHERE path = $2",
            (first + 1, f"{PLACE}/records"),
        )

    await store.transact(forget)
    await app.ok(f"PUT {PLACE}/records/c", {"data": {}})
    answer = await app.call(f'GET {CHANGESET}&_since="{first}"&_limit=7', user=None)
    assert answer.status_code == 307
    assert answer.headers["Location"].endswith(f"{CHANGESET}&_limit=7")
    assert (await app.call(f"GET {CHANGESET}&_since={first + 1}", user=None)).status_code == 200
    assert (await app.call(f"GET {CHANGESET}&_since=0", user=None)).status_code == 200


# What is asked wrongly


async def test_all_that_is_wrong_is_told_at_once(app: App) -> None:
    await publish(app)
    for place in (PLACE, "/buckets/monitor/collections/changes"):
        answer = await app.call(f"GET {place}/changeset?_since=x&_limit=y", user=None)
        assert (answer.status_code, answer.json()["errno"]) == (400, 107)
        assert {each["name"] for each in answer.json()["details"]} == {"_expected", "_since", "_limit"}
        assert {each["location"] for each in answer.json()["details"]} == {"querystring"}


@pytest.mark.parametrize(
    "query", ["_expected=abc", "_expected=%2242%22", "_expected=0&_extra=1", "_expected=é"]
)
async def test_what_is_expected_changes_nothing(app: App, query: str) -> None:
    await publish(app, "a")
    wanted = await app.ok(f"GET {CHANGESET}", user=None)
    assert await app.ok(f"GET {PLACE}/changeset?{query}", user=None) == wanted


async def test_the_bounds_themselves_are_taken(app: App) -> None:
    await publish(app, "a")
    for since in ("0", '"0"', "4102444800000", '"4102444800000"', ""):
        assert (await app.call(f"GET {CHANGESET}&_since={since}", user=None)).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_written_there(app: App, method: str) -> None:
    changes = "/buckets/monitor/collections/changes"
    for path in (CHANGESET, f"{changes}/changeset", f"{changes}/records", "/__broadcasts__"):
        answer = await app.call(f"{method} {path}", {"data": {}})
        assert (answer.status_code, answer.json()["errno"]) == (405, 115)
        assert answer.headers["Allow"] == "HEAD, GET, OPTIONS"
