"""A publication of many records at once is, for everybody who looks, one of each after the other."""

from __future__ import annotations

from typing import Any

import pytest

from kintoun.features.signing import applying, reading
from kintoun.features.signing.reading import records_of
from kintoun.storage import postgresql, sqlite_transaction
from kintoun.storage.unit import Unit
from tests.signing.desk import DESTINATION, PREVIEW, SOURCE, Desk, path_of

MANY = 45


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many steps as a publication of thousands has, with tens of records."""
    for module, name, value in (
        (reading, "FEW", 5),
        (reading, "PAGE", 7),
        (applying, "AT_ONCE", 8),
        (applying, "SENT", 16),
        (postgresql, "MANY", 10),
        (postgresql, "AT_ONCE", 6),
        (sqlite_transaction, "AT_ONCE", 6),
    ):
        monkeypatch.setattr(module, name, value)


async def write(desk: Desk, method: str, *records: int, **attributes: Any) -> None:
    body = {"data": attributes} if attributes else None
    requests = [
        {"method": method, "path": f"{SOURCE}/records/r{n:02}", **({"body": body} if body else {})}
        for n in records
    ]
    for start in range(0, len(requests), 25):
        batch = await desk.ok("POST /batch", {"requests": requests[start : start + 25]})
        assert all(answer["status"] < 300 for answer in batch["responses"]), batch


async def entries(desk: Desk, target: str) -> list[dict[str, Any]]:
    """The entries of a target's records, the oldest first."""
    bucket, collection = target.split("/")[2], target.split("/")[4]
    query = f"resource_name=record&collection_id={collection}&_sort=last_modified"
    found = await desk.ok(f"GET /buckets/{bucket}/history?{query}", user="admin")
    return list(found["data"])


async def walk(desk: Desk) -> None:
    """Publish many new records, then changes of all sorts, also of records that were deleted before."""
    await write(desk, "PUT", *range(MANY), n=1)
    await desk.publish()
    await write(desk, "PUT", *range(20), n=2)
    await write(desk, "DELETE", *range(20, 40))
    await desk.publish()
    await write(desk, "PUT", *range(30, 60), n=3)
    await write(desk, "DELETE", 0, 1)
    await desk.publish()


EXPECTED = {
    **{f"r{n:02}": 2 for n in range(2, 20)},
    **{f"r{n:02}": 3 for n in range(30, 60)},
}


async def test_targets_hold_and_count_what_was_published(desk: Desk) -> None:
    await walk(desk)
    for target in (PREVIEW, DESTINATION):
        records = await desk.verify(target)
        assert {name: record["n"] for name, record in records.items()} == EXPECTED
        head = await desk.call(f"HEAD {target}/records", user="admin")
        assert int(head.headers["Total-Objects"]) == len(EXPECTED)
        changes = await desk.ok(f"GET {target}/records?_since=0", user="admin")
        deleted = {change["id"] for change in changes["data"] if change.get("deleted")}
        assert deleted == {"r00", "r01", *(f"r{n}" for n in range(20, 30))}


async def test_every_change_is_entered_in_its_order(desk: Desk) -> None:
    await walk(desk)
    for target in (PREVIEW, DESTINATION):
        live: dict[str, Any] = {}
        last = 0
        for entry in await entries(desk, target):
            name, data = entry["record_id"], entry["target"]["data"]
            assert entry["user_id"] == applying.SIGNER_USER
            assert entry["uri"] == f"{target}/records/{name}"
            assert data["last_modified"] > last
            last = data["last_modified"]
            assert entry["action"] == (
                "delete" if data.get("deleted") else "update" if name in live else "create"
            )
            live.pop(name, None)
            if not data.get("deleted"):
                live[name] = data
        assert live == await desk.records(target)
        assert last == await desk.timestamp(target)


async def test_lists_can_be_read_as_they_were_between_any_two_of_the_changes(desk: Desk) -> None:
    await walk(desk)
    history = await entries(desk, DESTINATION)
    for count in (1, 7, MANY, MANY + 9, len(history) - 3, len(history)):
        then: dict[str, Any] = {}
        for entry in history[:count]:
            data = entry["target"]["data"]
            then.pop(data["id"], None)
            if not data.get("deleted"):
                then[data["id"]] = data
        at = history[count - 1]["target"]["data"]["last_modified"]
        answer = await desk.ok(f"GET {DESTINATION}/records?_at={at}", user="admin")
        assert {record["id"]: record for record in answer["data"]} == then, count


async def test_many_changes_are_taken_back_with_the_acls_that_records_have(desk: Desk) -> None:
    await write(desk, "PUT", *range(MANY), n=1)
    await desk.publish()
    published = await desk.records(SOURCE, "admin")
    shared = {"read": ["system.Everyone"]}
    await desk.ok(f"PATCH {SOURCE}/records/r07", {"data": {"n": 9}, "permissions": shared})
    await write(desk, "PUT", *range(10, 30), n=2)
    await write(desk, "DELETE", *range(30, 40))
    await write(desk, "PUT", *range(60, 80), n=2)
    await desk.status("to-rollback")
    restored = await desk.records(SOURCE, "admin")
    assert {name: record["n"] for name, record in restored.items()} == dict.fromkeys(published, 1)
    kept = await desk.ok(f"GET {SOURCE}/records/r07")
    assert kept["permissions"]["read"] == ["system.Everyone"]
    assert {entry["record_id"] for entry in await entries(desk, SOURCE) if entry["action"] == "delete"} == {
        *(f"r{n}" for n in range(30, 40)),
        *(f"r{n}" for n in range(60, 80)),
    }
    for target in (PREVIEW, DESTINATION):
        assert (await desk.verify(target)).keys() == published.keys()


async def test_a_hook_that_refuses_one_of_many_undoes_them_all(desk: Desk) -> None:
    await write(desk, "PUT", *range(MANY), n=1)

    async def veto(work: Any, change: Any) -> None:
        if str(change.path) == f"{PREVIEW}/records/r40":
            raise RuntimeError("no")

    desk.app.application.composition.before_commit(veto)
    before = await desk.timestamp(PREVIEW)
    answer = await desk.call(f"PATCH {SOURCE}", {"data": {"status": "to-review"}})
    assert answer.status_code == 500
    assert await desk.records(PREVIEW) == {}
    assert await entries(desk, PREVIEW) == []
    assert await desk.timestamp(PREVIEW) >= before
    desk.app.application.composition.service.before_commit.pop()
    await desk.publish()
    assert len(await desk.verify(DESTINATION)) == MANY


async def test_whoever_looks_at_transactions_sees_every_record_once(desk: Desk) -> None:
    composition = desk.app.application.composition
    seen: list[tuple[str, bool, bool]] = []

    async def look(unit: Unit) -> None:
        for path, before, after in unit.objects_changed():
            if path.list == records_of(path_of(PREVIEW)):
                seen.append((path.id, before is not None and not before.deleted, after.deleted))

    composition.closing(look)
    await write(desk, "PUT", *range(MANY), n=1)
    await desk.status("to-review")
    assert sorted(seen) == [(f"r{n:02}", False, False) for n in range(MANY)]
    await write(desk, "PUT", *range(20), n=2)
    await write(desk, "DELETE", *range(20, 40))
    seen.clear()
    desk.app.forget()
    await desk.status("to-review")
    changed = [(f"r{n:02}", True, n >= 20) for n in range(40)]
    assert sorted(seen) == changed
    told = [change for change in desk.app.changes if change.path.list == records_of(path_of(PREVIEW))]
    assert sorted((each.path.id, each.old is not None, each.action == "delete") for each in told) == changed
    assert [each.timestamp for each in told] == sorted(each.timestamp for each in told)
    assert [each.since for each in told[1:]] == [each.timestamp for each in told[:-1]]
