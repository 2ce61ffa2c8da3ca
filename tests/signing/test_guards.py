"""What only the signer writes, what a signature vouches for, and what goes with a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kintoun.features.signing.planning import CHANGED_SINCE
from kintoun.model.changes import Event
from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath
from kintoun.model.paths import Path as ObjectPath
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Work
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Stored
from kintoun.storage.unit import Unit
from tests.signing.desk import DESTINATION, PREVIEW, SOURCE, Desk, at_desk
from tests.support.inprocess import Databases, principal


@pytest.mark.parametrize("target", [PREVIEW, DESTINATION])
async def test_nobody_but_the_signer_writes_records(desk: Desk, target: str) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    record = f"{target}/records/r1"
    for request, body in (
        (f"PUT {record}", {"data": {}}),
        (f"PATCH {record}", {"data": {"n": 2}}),
        (f"PATCH {record}", {"permissions": {"read": ["system.Everyone"]}}),
        (f"DELETE {record}", None),
        (f"DELETE {target}/records", None),
        (f"POST {target}/records", {"data": {}}),
    ):
        said = await desk.refused(403, request, body, user="admin")
        assert said == f"Only the signer writes records of {target}."
    await desk.verify(target)


async def test_nobody_but_the_signer_writes_signatures(desk: Desk) -> None:
    metadata = await desk.metadata(DESTINATION)
    for body in ({"signature": {}}, {"signatures": []}, {"schema": {}}, {"flags": ["startup"]}):
        assert "Only the signer" in await desk.refused(
            403, f"PATCH {DESTINATION}", {"data": body}, user="admin"
        )
    await desk.refused(403, f"PUT {DESTINATION}", {"data": {}}, user="admin")
    await desk.refused(
        403,
        "PUT /buckets/main/collections/mine",
        {"data": {"signatures": metadata["signatures"]}},
        user="admin",
    )
    await desk.ok(f"PATCH {DESTINATION}", {"data": {"cache_expires": 5}}, user="admin")
    await desk.put("r1", n=1)
    await desk.publish()
    assert (await desk.metadata(DESTINATION))["cache_expires"] == 5


async def test_what_is_in_use_is_not_deleted(desk: Desk) -> None:
    for target in (PREVIEW, DESTINATION):
        assert await desk.refused(403, f"DELETE {target}", user="admin") == "Collection is in use."
        bucket = target.partition("/collections")[0]
        assert await desk.refused(403, f"DELETE {bucket}", user="admin") == "Bucket is in use."
    await desk.ok(f"DELETE {SOURCE}", user="admin")
    await desk.ok(f"DELETE {PREVIEW}", user="admin")
    await desk.ok("DELETE /buckets/main", user="admin")


async def test_deleting_a_source_empties_its_targets(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.put("r2", n=1)
    await desk.publish()
    before = await desk.timestamp(DESTINATION)
    await desk.ok(f"DELETE {SOURCE}", user="admin")
    for target in (PREVIEW, DESTINATION):
        assert await desk.verify(target) == {}
    changes = await desk.ok(f"GET {DESTINATION}/records?_since={before}", user="rev")
    assert {(change["id"], change["deleted"]) for change in changes["data"]} == {("r1", True), ("r2", True)}
    for group in ("c1-editors", "c1-reviewers"):
        answer = await desk.call(f"GET /buckets/main-workspace/groups/{group}", user="admin")
        assert answer.status_code == 404
    await desk.open()
    await desk.put("r2", n=2)
    await desk.publish()
    assert (await desk.verify(DESTINATION)).keys() == {"r2"}


async def test_deleting_all_records_publishes_their_tombstones(desk: Desk) -> None:
    for name in ("r1", "r2"):
        await desk.put(name, n=1)
    await desk.publish()
    before = await desk.timestamp(DESTINATION)
    await desk.ok(f"DELETE {SOURCE}/records")
    assert (await desk.metadata())["status"] == "work-in-progress"
    await desk.publish()
    assert await desk.verify(DESTINATION) == {}
    changes = await desk.ok(f"GET {DESTINATION}/records?_since={before}", user="rev")
    assert len(changes["data"]) == 2
    await desk.put("r1", n=3)
    await desk.publish()
    assert (await desk.verify(DESTINATION))["r1"]["n"] == 3


async def test_deleting_targets_with_their_source(engine: str, databases: Databases, tmp_path: Path) -> None:
    hard = {"hard_delete_destination_on_source_deletion": True}
    async with at_desk(databases.url(engine), tmp_path, **hard) as desk:
        await desk.open()
        await desk.put("r1", n=1)
        await desk.publish()
        asked = desk.asked
        await desk.ok(f"DELETE {SOURCE}", user="admin")
        assert desk.asked == asked
        for target in (PREVIEW, DESTINATION):
            assert (await desk.call(f"GET {target}", user="admin")).status_code == 404
        await desk.open()
        assert await desk.verify(DESTINATION) == {}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"title": "t", "x": [{"y": 1.5}]},
            "field contains float value (tip: use integer or string), 'x.0.y'",
        ),
        ({"a": 1.0}, "field contains float value (tip: use integer or string), 'a'"),
        ({"a": 1e21}, "field contains float value (tip: use integer or string), 'a'"),
        ({"a": {"b": 2**53}}, "'a.b'"),
        ({"a": -(2**53)}, "'a'"),
        ({"a": {"\ue000": 1, "\U0001f600": 2}}, "'a'"),
        ({"\ue000": 1, "\U0001f600": 2}, "sort alike (tip: no characters beyond U+FFFF)"),
        ({"deleted": True}, "field 'deleted' cannot be signed: clients take it for a deletion"),
        ({"deleted": False}, "field 'deleted' cannot be signed: clients take it for a deletion"),
    ],
)
async def test_what_cannot_be_signed_is_not_written(desk: Desk, record: dict[str, Any], message: str) -> None:
    path = f"{SOURCE}/records/r1"
    for request in (f"PUT {path}", f"POST {SOURCE}/records"):
        answer = await desk.call(request, {"data": record})
        assert (answer.status_code, answer.json()["errno"]) == (400, 109), answer.text
        assert answer.json()["message"].endswith(message)
    await desk.put("r1", n=1)
    answer = await desk.call(f"PATCH {path}", {"data": record})
    assert (answer.status_code, answer.json()["errno"]) == (400, 109)
    assert list(await desk.records(SOURCE, "admin")) == ["r1"]
    await desk.ok("PUT /buckets/other", {"data": {}})
    await desk.ok("PUT /buckets/other/collections/c", {"data": {}})
    await desk.ok("PUT /buckets/other/collections/c/records/r", {"data": record})


async def test_whoever_edited_does_not_review(desk: Desk) -> None:
    await desk.members("editors", "ed", "both", "other")
    await desk.put("r1", user="both", n=1)
    await desk.status("to-review", user="other")
    assert await desk.refuse_status(403, "to-sign", user="both") == "Last editor cannot review"
    await desk.status("to-sign", user="rev")
    await desk.put("r2", user="ed", n=1)
    await desk.status("to-review", user="other")
    await desk.status("to-sign", user="both")
    assert (await desk.verify(DESTINATION)).keys() == {"r1", "r2"}


async def smuggle(desk: Desk, collection: str, name: str, **attributes: Any) -> None:
    """Write a record past the server's features, as somebody with the database's password could."""
    _, _, bucket, _, collection_id = collection.split("/")
    records = ListPath(RECORD, (bucket, collection_id))

    class Smuggling:
        needs = Needs((records,), (), (records.object(name),))

        async def run(self, unit: Unit) -> None:
            await unit.put(records.object(name), attributes, "{}")

    await desk.store.write(Smuggling())


async def test_a_smuggled_record_is_never_signed(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    await smuggle(desk, DESTINATION, "evil", n=666)
    before = await desk.metadata(DESTINATION)
    said = await desk.refuse_status(400, "to-resign")
    assert said == f"{DESTINATION} does not hold what was signed last: it has to be published again"
    assert await desk.metadata(DESTINATION) == before
    await desk.put("r2", n=2)
    await desk.publish()
    assert (await desk.verify(DESTINATION)).keys() == {"r1", "r2"}
    await desk.status("to-resign")


async def test_a_record_altered_in_the_database_is_never_signed(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    records = ListPath(RECORD, ("main", "c1"))
    transaction = await desk.store.engine.begin()
    sql = "UPDATE object SET body = replace(body, $1, $2) WHERE id = $3"
    await transaction.fetch(sql, ('"n":1', '"n":6', "r1"))
    await transaction.commit()
    assert "has to be published again" in await desk.refuse_status(400, "to-resign")
    assert records.parents == ("main", "c1")


async def test_an_approval_is_for_what_was_reviewed(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.status("to-review")
    await smuggle(desk, SOURCE, "evil", n=666)
    assert await desk.refuse_status(400, "to-sign", user="rev") == CHANGED_SINCE
    assert await desk.verify(DESTINATION) == {}


async def test_a_record_dated_back_is_published(desk: Desk) -> None:
    for n in range(3):
        await desk.put(f"r{n}", n=n)
    await desk.publish()
    source = await desk.records(SOURCE, "admin")
    earlier = min(record["last_modified"] for record in source.values()) - 1000
    await desk.put("old", n=1, last_modified=earlier)
    assert (await desk.records(SOURCE, "admin"))["old"]["last_modified"] == earlier
    await desk.publish()
    assert (await desk.verify(DESTINATION)).keys() == {"r0", "r1", "r2", "old"}


async def test_what_was_in_a_destination_before_goes_away(desk: Desk) -> None:
    everyone = {"read": ["system.Everyone"]}
    await desk.ok("PUT /buckets/main/collections/c2", {"permissions": everyone}, user="admin")
    await smuggle(desk, "/buckets/main/collections/c2", "evil", n=666)
    await desk.ok("PUT /buckets/main-workspace/collections/c2", {"data": {}}, user="admin")
    assert await desk.verify("/buckets/main/collections/c2") == {}


class Listener(Plugin):
    name = "listener"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def setup(self, registry: Registry, settings: object) -> None:
        registry.listen(self.heard)

    async def heard(self, work: Work, event: Event) -> None:
        self.events.append(event)

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        events = [(event.name.rpartition(".")[2], dict(event.values)) for event in self.events]
        for _, values in events:
            values.pop("changes_size_bytes", None)
        assert all(str(event.path) == SOURCE for event in self.events)
        self.events.clear()
        return events


async def test_reviews_are_announced(engine: str, databases: Databases, tmp_path: Path) -> None:
    listener = Listener()
    async with at_desk(databases.url(engine), tmp_path, listener) as desk:
        await desk.open()
        for n in range(3):
            await desk.put(f"r{n}", n=n)
        assert listener.told() == []
        await desk.status("to-review", last_editor_comment="look")
        assert listener.told() == [("ReviewRequested", {"changes_count": 3, "comment": "look"})]
        await desk.status("work-in-progress", user="rev", last_reviewer_comment="no")
        assert listener.told() == [("ReviewRejected", {"comment": "no"})]
        await desk.status("to-review")
        await desk.status("to-sign", user="rev")
        assert [name for name, _ in listener.told()] == ["ReviewRequested", "ReviewApproved"]
        await desk.put("r4", n=1)
        await desk.status("to-rollback")
        assert listener.told() == [("ReviewCanceled", {"changes_count": 1})]
        await desk.status("to-resign")
        assert listener.told() == []


async def test_history_tells_of_publications(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    entries = (await desk.ok("GET /buckets/main/history?resource_name=record", user="admin"))["data"]
    assert [(entry["uri"], entry["user_id"]) for entry in entries] == [
        (f"{DESTINATION}/records/r1", "plugin:remote-settings")
    ]
    source = (await desk.ok(f"GET /buckets/main-workspace/history?uri={SOURCE}", user="admin"))["data"]
    shown = [(entry["user_id"], entry["target"]["data"]["status"]) for entry in reversed(source[:5])]
    assert shown == [
        ("plugin:remote-settings", "work-in-progress"),
        (principal("ed"), "to-review"),
        ("plugin:remote-settings", "to-review"),
        (principal("rev"), "to-sign"),
        ("plugin:remote-settings", "signed"),
    ]
    moments = [await desk.timestamp(DESTINATION)]
    await desk.put("r1", n=2)
    await desk.publish()
    past = await desk.ok(f"GET {DESTINATION}/records?_at={moments[0]}", user="admin")
    assert [record["n"] for record in past["data"]] == [1]


@pytest.mark.parametrize("review", [True, False])
async def test_without_a_preview(engine: str, databases: Databases, tmp_path: Path, review: bool) -> None:
    lines = "/buckets/main-workspace/collections/c1 -> /buckets/main-workspace/collections/out"
    target = "/buckets/main-workspace/collections/out"
    async with at_desk(databases.url(engine), tmp_path, resources=lines, to_review_enabled=review) as desk:
        await desk.open()
        await desk.put("r1", n=1)
        await desk.ok(f"PATCH {SOURCE}", {"data": {"last_editor_comment": "kept"}})
        if review:
            answer = await desk.status("to-review")
            assert answer["data"]["last_editor_comment"] == "kept"
            assert await desk.verify(target) == {}
        answer = await desk.status("to-sign", user="rev" if review else "ed")
        assert answer["data"]["status"] == "signed"
        assert (await desk.verify(target)).keys() == {"r1"}
        await desk.put("r2", n=1)
        await desk.status("to-rollback")
        assert (await desk.records(SOURCE, "admin")).keys() == {"r1"}


async def test_what_clients_are_told(desk: Desk) -> None:
    signer = (await desk.ok("GET /", user="ed"))["capabilities"]["signer"]
    assert signer["resources"] == [
        {
            "source": {"bucket": "main-workspace", "collection": None},
            "preview": {"bucket": "main-preview", "collection": None},
            "destination": {"bucket": "main", "collection": None},
        }
    ]
    shown = {
        name: signer[name] for name in signer if name not in ("resources", "url", "version", "description")
    }
    assert shown == {
        "plugin_userid": "plugin:remote-settings",
        "plugin_user_id": "plugin:remote-settings",
        "group_check_enabled": True,
        "editors_group": "{collection_id}-editors",
        "reviewers_group": "{collection_id}-reviewers",
        "to_review_enabled": True,
    }


async def test_a_state_is_no_object_of_clients(desk: Desk) -> None:
    for path in ("/buckets/main-workspace/workspaces", "/buckets/main-workspace/workspaces/c1"):
        assert (await desk.call(f"GET {path}", user="admin")).status_code == 404
    row = (await desk.store.read(_state())).points[0]
    assert isinstance(row, Stored)


def _state() -> Any:
    from kintoun.features.signing.state import WORKSPACE
    from kintoun.storage.rows import Wanted

    return Wanted(points=(ObjectPath(WORKSPACE, ("main-workspace", "c1")),))
