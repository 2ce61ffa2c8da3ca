"""The documented walk through review and publication (signing section 15), on both engines."""

from __future__ import annotations

import re

import pytest

from tests.signing.desk import DESTINATION, PREVIEW, SOURCE, Desk
from tests.support.inprocess import principal

ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00")
GROUPS = ("/buckets/main-workspace/groups/c1-editors", "/buckets/main-workspace/groups/c1-reviewers")


async def test_the_walk(desk: Desk) -> None:
    metadata = await desk.metadata()
    assert metadata["status"] == "signed"
    assert metadata["last_signature_by"] == principal("admin")
    assert ISO.fullmatch(metadata["last_signature_date"])
    assert "last_review_by" not in metadata
    assert await desk.verify(DESTINATION) == {}
    assert await desk.verify(PREVIEW) == {}

    await desk.put("r1", title="one", n=1)
    await desk.put("r2", title="two \u2764 \U0001d11e")
    metadata = await desk.metadata()
    assert metadata["status"] == "work-in-progress"
    assert metadata["last_edit_by"] == principal("ed")

    assert await desk.refuse_status(403, "to-review", user="rev") == "Not in c1-editors group"
    assert await desk.refuse_status(400, "to-sign", user="rev") == "Collection not under review"
    assert await desk.refuse_status(403, "to-sign", user="ed") == "Not in c1-reviewers group"
    assert await desk.refuse_status(400, "signed") == "Cannot set status to 'signed'"
    assert await desk.refuse_status(400, "bogus") == "Invalid status 'bogus'"
    assert await desk.refused(400, f"PATCH {SOURCE}", {"data": {"status": None}}) == "Cannot remove status"

    answer = await desk.status("to-review", last_editor_comment="please")
    assert answer["data"]["status"] == "to-review"
    assert answer["data"]["last_editor_comment"] == "please"
    assert answer["data"]["last_review_request_by"] == principal("ed")
    preview = await desk.verify(PREVIEW)
    source = await desk.records(SOURCE, "admin")
    assert preview.keys() == {"r1", "r2"}
    assert preview["r1"]["last_modified"] != source["r1"]["last_modified"]
    assert await desk.verify(DESTINATION) == {}

    await desk.status("work-in-progress", user="rev", last_reviewer_comment="nah")
    await desk.status("to-review", user="both")
    assert await desk.refuse_status(403, "to-sign", user="both") == "Last editor cannot review"

    answer = await desk.status("to-sign", user="rev")
    assert answer["data"]["status"] == "signed", "the answer shows what became of it"
    metadata = await desk.metadata()
    assert answer["data"] == metadata
    assert metadata["last_review_by"] == metadata["last_signature_by"] == principal("rev")
    published = await desk.verify(DESTINATION)
    assert {name: record["title"] for name, record in published.items()} == {
        "r1": "one",
        "r2": "two \u2764 \U0001d11e",
    }
    before = await desk.timestamp(DESTINATION)
    assert max(record["last_modified"] for record in published.values()) == before

    await desk.ok(f"DELETE {SOURCE}/records/r2")
    await desk.put("r1", title="uno")
    await desk.put("r3", title="three")
    await desk.publish()
    assert (await desk.verify(DESTINATION)).keys() == {"r1", "r3"}
    changes = await desk.ok(f"GET {DESTINATION}/records?_since={before}", user="rev")
    shown = [(change["id"], change.get("deleted", False)) for change in changes["data"]]
    assert shown == [("r3", False), ("r1", False), ("r2", True)]


async def test_resigning_moves_no_record(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    before = [await desk.timestamp(each) for each in (DESTINATION, PREVIEW)]
    old = await desk.metadata(DESTINATION)
    await desk.put("r2", n=2)
    answer = await desk.status("to-resign")
    assert answer["data"]["status"] == "work-in-progress"
    assert [await desk.timestamp(each) for each in (DESTINATION, PREVIEW)] == before
    new = await desk.metadata(DESTINATION)
    assert new["last_modified"] > old["last_modified"]
    assert new["signature"] != old["signature"]
    assert (await desk.verify(DESTINATION)).keys() == (await desk.verify(PREVIEW)).keys() == {"r1"}


async def test_rolling_back(desk: Desk) -> None:
    for name in ("r1", "r2", "r3"):
        await desk.put(name, n=1)
    await desk.ok(f"PATCH {SOURCE}/records/r1", {"permissions": {"read": ["system.Everyone"]}})
    await desk.publish()
    published = await desk.verify(DESTINATION)
    await desk.put("r1", n=2)
    await desk.ok(f"DELETE {SOURCE}/records/r2")
    await desk.put("r4", n=1)
    await desk.status("to-review", last_editor_comment="look")
    assert (await desk.verify(PREVIEW)).keys() == {"r1", "r3", "r4"}
    clock, position = await desk.timestamp(SOURCE), await desk.timestamp(DESTINATION)
    answer = await desk.status("to-rollback")
    assert answer["data"]["status"] == "signed"
    assert answer["data"]["last_editor_comment"] == answer["data"]["last_reviewer_comment"] == ""
    restored = await desk.records(SOURCE, "admin")
    assert {name: record["n"] for name, record in restored.items()} == {"r1": 1, "r2": 1, "r3": 1}
    assert {record["n"] for record in (await desk.verify(PREVIEW)).values()} == {1}
    assert (await desk.verify(PREVIEW)).keys() == published.keys()
    assert await desk.verify(DESTINATION) == published
    assert await desk.timestamp(SOURCE) > clock
    assert await desk.timestamp(DESTINATION) == position
    changes = await desk.ok(f"GET {SOURCE}/records?_since={clock}", user="admin")
    assert {change["id"] for change in changes["data"]} == {"r1", "r2", "r4"}
    kept = await desk.ok(f"GET {SOURCE}/records/r1")
    assert kept["permissions"]["read"] == ["system.Everyone"]
    assert await desk.refuse_status(400, "to-rollback") == "Collection has no work-in-progress"


async def test_a_new_source_has_its_groups(desk: Desk) -> None:
    source = await desk.ok(f"GET {SOURCE}", user="admin")
    assert source["permissions"]["write"] == sorted((*GROUPS, principal("admin")))
    for group in GROUPS:
        shown = await desk.ok(f"GET {group}", user="admin")
        assert principal("admin") in shown["permissions"]["write"]
    await desk.ok("PUT /buckets/main-workspace/collections/c2", {"data": {}}, user="admin")
    editors = await desk.ok("GET /buckets/main-workspace/groups/c2-editors", user="admin")
    reviewers = await desk.ok("GET /buckets/main-workspace/groups/c2-reviewers", user="admin")
    assert editors["data"]["members"] == [principal("admin")]
    assert reviewers["data"]["members"] == []


async def test_only_whoever_may_create_groups_creates_sources(desk: Desk) -> None:
    permissions = {"permissions": {"collection:create": [principal("maker")]}}
    await desk.ok("PATCH /buckets/main-workspace", permissions, user="admin")
    path = "/buckets/main-workspace/collections/c2"
    assert "group:create" in await desk.refused(403, f"PUT {path}", user="maker")
    assert (await desk.call(f"GET {path}", user="admin")).status_code == 404
    assert (await desk.call("GET /buckets/main/collections/c2", user="admin")).status_code == 404


async def test_targets_can_be_read_by_all_and_their_buckets_by_nobody(desk: Desk) -> None:
    for target in (PREVIEW, DESTINATION):
        assert (await desk.app.call(f"GET {target}", user=None)).status_code == 200
        bucket = target.partition("/collections")[0]
        assert (await desk.app.call(f"GET {bucket}", user=None)).status_code == 401
        shown = await desk.ok(f"GET {bucket}", user="admin")
        assert shown["permissions"] == {"write": [principal("admin")]}


async def test_what_metadata_is_published(desk: Desk) -> None:
    published = {
        "displayFields": ["title"],
        "sort": "-title",
        "schema": {"type": "object"},
        "flags": ["startup"],
        "attachment": {"enabled": True},
    }
    await desk.ok(f"PATCH {SOURCE}", {"data": {**published, "uiSchema": {"a": 1}, "cache_expires": 60}})
    await desk.publish()
    for target in (PREVIEW, DESTINATION):
        metadata = await desk.metadata(target)
        assert {name: metadata[name] for name in published} == published
        assert metadata.keys() == {"id", "last_modified", "manifest", "signature", "signatures", *published}


async def test_a_record_checked_by_a_schema_is_not_published_for_the_schemas_sake(desk: Desk) -> None:
    await desk.ok(f"PATCH {SOURCE}", {"data": {"schema": {"type": "object"}}})
    await desk.put("r1", n=1)
    await desk.publish()
    published = await desk.verify(DESTINATION)
    await desk.ok(f"PATCH {SOURCE}", {"data": {"schema": {"type": "object", "title": "x"}}})
    await desk.put("r1", n=1)
    await desk.publish()
    assert await desk.verify(DESTINATION) == published
    assert (await desk.records(SOURCE, "admin"))["r1"]["schema"] > published["r1"]["schema"]


@pytest.mark.parametrize("field", ["last_edit_by", "last_review_date", "last_signature_by"])
async def test_tracking_fields_are_not_for_clients(desk: Desk, field: str) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    before = await desk.metadata()
    assert await desk.refused(400, f"PATCH {SOURCE}", {"data": {field: "me"}}) == f"Cannot change '{field}'"
    without = {name: value for name, value in before.items() if name not in (field, "last_modified")}
    assert await desk.refused(400, f"PUT {SOURCE}", {"data": without}) == f"Cannot change '{field}'"
    assert await desk.metadata() == before


async def test_a_file_that_was_taken_away_is_not_published(desk: Desk) -> None:
    await desk.put("r1", attachment={"location": "a.png"}, n=1)
    await desk.put("r2", attachment=None)
    await desk.publish()
    published = await desk.verify(DESTINATION)
    assert published["r1"]["attachment"] == {"location": "a.png"}
    assert "attachment" not in published["r2"]
    await desk.put("r1", attachment=None, n=1)
    await desk.publish()
    assert "attachment" not in (await desk.verify(DESTINATION))["r1"]

    await desk.put("r1", n=1)
    before = await desk.timestamp(DESTINATION)
    await desk.publish()
    assert await desk.timestamp(DESTINATION) == before, "to clients it is the same"
    await desk.put("r1", attachment=None, n=2)
    await desk.status("to-rollback")
    assert "attachment" not in (await desk.records(SOURCE, "ed"))["r1"]
    assert (await desk.verify(PREVIEW)).keys() == {"r1", "r2"}
