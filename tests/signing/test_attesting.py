"""Manifests and the publication log, as the server makes them, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kintoun.features.signing import publication_log
from kintoun.features.signing.attesting import Attestation
from kintoun.features.signing.resigning import Resigning
from kintoun.features.signing.resources import Resources
from kintoun.model import timestamps
from kintoun.signatures import content_signature
from kintoun.signatures.manifest import Manifest, Refused, read, verify
from kintoun.signatures.publication_log import Entry, audit
from tests.signing.desk import DESTINATION, KEY, PREVIEW, SOURCE, Desk, at_desk, signed_form
from tests.support.inprocess import Databases


def believe(data: bytes, signatures: Sequence[Mapping[str, Any]], _at: int) -> None:
    content_signature.verify(KEY.public_key(), data, signatures[0]["signature"])


async def log_of(desk: Desk) -> list[Entry]:
    return await publication_log.page(desk.store.fetch, 0, 1000)


async def served(desk: Desk, known: Manifest | None = None, place: str = DESTINATION) -> Manifest:
    """The manifest of a target, as a client believes it that has `known`."""
    records = list((await desk.records(place)).values())
    timestamp = await desk.timestamp(place)
    metadata = await desk.metadata(place)
    _, _, bucket, _, collection = place.split("/")
    return verify(
        metadata["manifest"],
        bucket,
        collection,
        timestamp=timestamp,
        content=signed_form(records, timestamp),
        known=known,
        now=timestamps.now(),
        believe=believe,
    )


def rules(entries: Sequence[Entry], *manifests: Manifest) -> set[str]:
    return {problem.rule for problem in audit(entries, believe=believe, served=manifests)}


async def test_each_publication_has_a_manifest_that_follows_the_one_before(desk: Desk) -> None:
    known = await served(desk)
    for n in range(3):
        await desk.put("r1", n=n)
        await desk.publish()
        manifest = await served(desk, known)
        assert manifest.previous == known.digest()
        assert manifest.version > known.version
        known = manifest
    preview = await served(desk, place=PREVIEW)
    assert rules(await log_of(desk), known, preview) == set()


async def test_a_client_refuses_an_older_state_and_another_collection(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    old = await desk.metadata(DESTINATION)
    content = signed_form(list((await desk.records(DESTINATION)).values()), await desk.timestamp(DESTINATION))
    older = {
        "timestamp": await desk.timestamp(DESTINATION),
        "content": content,
        "now": timestamps.now(),
        "believe": believe,
    }
    await desk.put("r1", n=2)
    await desk.publish()
    known = await served(desk)
    with pytest.raises(Refused) as replayed:
        verify(old["manifest"], "main", "c1", known=known, **older)
    assert replayed.value.reason == "replayed"
    with pytest.raises(Refused) as swapped:
        verify(old["manifest"], "main", "c2", known=None, **older)
    assert swapped.value.reason == "collection"


async def test_the_log_tells_who_published_what(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    await desk.status("to-resign")
    entries = await log_of(desk)
    told = [(entry.action, entry.bucket, entry.user.partition(":")[0]) for entry in entries]
    assert told[:2] == [("create", "main-preview", "basicauth"), ("create", "main", "basicauth")]
    actions = [entry.action for entry in entries if entry.bucket == "main"]
    assert actions == ["create", "approve", "resign"]
    (requested,) = [entry for entry in entries if entry.action == "request"]
    (approved,) = [entry for entry in entries if (entry.action, entry.bucket) == ("approve", "main")]
    assert requested.bucket == "main-preview"
    assert requested.user != approved.user
    assert rules(entries, await served(desk), await served(desk, place=PREVIEW)) == set()


async def test_what_is_refused_leaves_no_entry(desk: Desk) -> None:
    before = await log_of(desk)
    await desk.put("r1", n=1)
    desk.down = True
    await desk.refuse_status(503, "to-review")
    await desk.refuse_status(403, "to-sign")
    assert await log_of(desk) == before


async def test_a_batch_that_fails_later_leaves_no_entry_behind(desk: Desk) -> None:
    await desk.put("r1", n=1)
    before = await log_of(desk)
    body = {
        "requests": [
            {"method": "PATCH", "path": f"/v1{SOURCE}", "body": {"data": {"status": "to-review"}}},
            {"method": "PUT", "path": "/v1/buckets/main/collections/c1/records/x", "body": {"data": {}}},
        ]
    }
    answer = await desk.call("POST /batch", body)
    responses = answer.json()["responses"]
    assert [each["status"] for each in responses] == [200, 403]
    after = await log_of(desk)
    assert [entry.action for entry in after[len(before) :]] == ["request"]
    assert rules(after) == set()


async def test_publications_at_once_come_one_after_the_other_in_the_log(desk: Desk) -> None:
    names = [f"n{n}" for n in range(6)]
    await asyncio.gather(
        *(
            desk.ok(f"PUT /buckets/main-workspace/collections/{name}", {"data": {}}, user="admin")
            for name in names
        )
    )
    entries = await log_of(desk)
    assert len(entries) == 2 + 2 * len(names)
    assert rules(entries) == set()


ADDED_BY_HAND = (
    "INSERT INTO publication_log SELECT {last} + 1, time, author, action, bucket, collection, manifest, hash,"
    " 'x' FROM publication_log WHERE number = {last}"
)
TAMPERED = [
    ("UPDATE publication_log SET author = 'account:eve' WHERE number = 3", {"hash"}),
    ("UPDATE publication_log SET hash = 'x' WHERE number = 3", {"hash", "link", "anchor"}),
    ("DELETE FROM publication_log WHERE number = 3", {"number", "link", "order", "anchor"}),
    ("DELETE FROM publication_log WHERE number = {last}", {"end"}),
    (
        ADDED_BY_HAND,
        {"hash", "order"},
    ),
    (
        "UPDATE publication_log SET number = 100 - number WHERE number IN (3, 4)",
        {"number", "hash", "link", "order", "anchor", "time", "end"},
    ),
]


@pytest.mark.parametrize(("sql", "expected"), TAMPERED)
async def test_what_somebody_does_to_the_table_is_found(desk: Desk, sql: str, expected: set[str]) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    await desk.status("to-resign")
    now = [await served(desk), await served(desk, place=PREVIEW)]
    sql = sql.format(last=len(await log_of(desk)))

    async def tamper(transaction: Any) -> None:
        await transaction.fetch(sql)

    await desk.store.transact(tamper)
    found = rules(await log_of(desk), *now)
    assert found
    assert found <= expected


async def test_nobody_but_the_signer_writes_a_manifest(desk: Desk) -> None:
    for value in (None, {"format": "kintoun-manifest-1"}):
        message = await desk.refused(403, f"PATCH {DESTINATION}", {"data": {"manifest": value}}, user="admin")
        assert "manifest" in message


async def test_a_manifest_is_made_anew_before_half_of_its_time_is_over(desk: Desk) -> None:
    first = await served(desk)
    publisher = desk.signing.publisher
    (attestation,) = publisher.extensions
    assert isinstance(attestation, Attestation)
    resigning = Resigning(
        desk.store,
        Resources(desk.app.application.composition.settings.sections["signing"]),
        Never(),
        publisher,
    )
    assert await resigning.round() == 0
    attestation._lifetime *= 3  # as if more than half of its time had passed
    assert await resigning.round() == 1
    renewed = await served(desk, first)
    assert renewed.version > first.version
    assert renewed.expires > first.expires
    assert (renewed.content, renewed.timestamp) == (first.content, first.timestamp)
    assert await resigning.round() == 0


class Never:
    """Signers whose signatures are never outdated."""

    async def outdated(self, *_: Any) -> bool:
        return False


async def test_a_deleted_source_leaves_a_manifest_of_nothing_and_comes_back_behind_it(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    first = await served(desk)
    await desk.ok(f"DELETE {SOURCE}", user="admin")
    emptied = await served(desk, first)
    assert emptied.previous == first.digest()
    assert rules(await log_of(desk), emptied) == set()


async def test_without_manifests_there_is_no_log(engine: str, databases: Databases, tmp_path: Path) -> None:
    async with at_desk(databases.url(engine), tmp_path, manifest_days=0) as desk:
        await desk.open()
        assert "manifest" not in await desk.metadata(DESTINATION)
        assert await log_of(desk) == []


def test_a_manifest_of_another_form_is_outdated() -> None:
    attestation = Attestation(None, None, 30)  # type: ignore[arg-type]
    assert attestation.outdated({})
    assert attestation.outdated({"manifest": {"format": "x"}})
    with pytest.raises(Refused):
        read({"format": "x"})
