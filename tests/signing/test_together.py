"""Publications that meet: approvals, edits, batches, and signers that are slow or gone."""

from __future__ import annotations

import asyncio

import pytest

from kintoun.features.signing.planning import Ground
from kintoun.features.signing.publishing import ATTEMPTS
from kintoun.features.signing.resources import Resources, Workflow
from kintoun.features.signing.workflow import SigningSettings
from tests.signing.desk import BUCKETS, DESTINATION, PATIENCE, PREVIEW, SOURCE, Desk, path_of
from tests.support.inprocess import principal

TO_SIGN = {"data": {"status": "to-sign"}}


async def held(desk: Desk) -> asyncio.Event:
    """Let the signer wait; returns what it waits for."""
    desk.hold = asyncio.Event()
    return desk.hold


async def test_two_approvals_at_once_publish_once(desk: Desk) -> None:
    await desk.members("reviewers", "rev", "rev2")
    await desk.put("r1", n=1)
    await desk.status("to-review")
    go, asked = await held(desk), desk.asked
    approvals = [
        asyncio.create_task(desk.call(f"PATCH {SOURCE}", TO_SIGN, user=user)) for user in ("rev", "rev2")
    ]
    await desk.until_asked(asked + 2)
    go.set()
    answers = await asyncio.gather(*approvals)
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    (loser,) = [answer.json() for answer in answers if answer.status_code == 400]
    assert loser["message"] == "Collection already signed"
    metadata = await desk.metadata()
    winner = ("rev", "rev2")[[answer.status_code for answer in answers].index(200)]
    assert metadata["last_review_by"] == principal(winner)
    assert (await desk.verify(DESTINATION)).keys() == {"r1"}
    entries = await desk.ok(f"GET /buckets/main/history?uri={DESTINATION}/records/r1", user="admin")
    assert len(entries["data"]) == 1


async def test_an_edit_during_an_approval_is_not_published(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.status("to-review")
    before = await desk.timestamp(DESTINATION)
    go, asked = await held(desk), desk.asked
    approval = asyncio.create_task(desk.call(f"PATCH {SOURCE}", TO_SIGN, user="rev"))
    await desk.until_asked(asked + 1)
    async with asyncio.timeout(PATIENCE):
        await desk.put("r2", n=2)  # nobody holds it up
    go.set()
    answer = await approval
    assert (answer.status_code, answer.json()["message"]) == (400, "Collection not under review")
    assert (await desk.metadata())["status"] == "work-in-progress"
    assert await desk.verify(DESTINATION) == {}
    assert await desk.timestamp(DESTINATION) == before


async def test_edits_do_not_keep_signatures_from_being_renewed(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    await desk.put("r2", n=1)
    timestamps = [await desk.timestamp(target) for target in (PREVIEW, DESTINATION)]
    before = (await desk.metadata(DESTINATION))["signature"]
    go, asked = await held(desk), desk.asked
    renewal = asyncio.create_task(desk.status("to-resign"))
    await desk.until_asked(asked + 2)
    times = desk.asked
    async with asyncio.timeout(PATIENCE):
        await desk.put("r2", n=2)
    go.set()
    assert (await renewal)["data"]["status"] == "work-in-progress"
    assert (await desk.metadata(DESTINATION))["signature"] != before
    assert (await desk.verify(DESTINATION)).keys() == (await desk.verify(PREVIEW)).keys() == {"r1"}
    assert [await desk.timestamp(target) for target in (PREVIEW, DESTINATION)] == timestamps
    assert desk.asked == times, "what was signed still holds"
    await desk.publish()
    assert (await desk.verify(DESTINATION))["r2"]["n"] == 2


async def test_what_moved_while_it_was_looked_at_is_looked_at_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = desk.signing.publisher.planner
    workflow = Resources(SigningSettings(resources=BUCKETS)).source(*path_of(SOURCE).ids)
    assert workflow is not None
    survey = planner._survey
    seen = [await survey(workflow)]

    async def torn(asked: Workflow) -> Ground:
        ground = await survey(asked)
        return ground._replace(state=seen.pop().state) if seen else ground

    await desk.put("r1", n=1)
    await desk.status("to-review")
    monkeypatch.setattr(planner, "_survey", torn)
    await desk.status("to-resign")
    assert not seen
    assert (await desk.verify(PREVIEW)).keys() == {"r1"}
    await desk.status("to-sign", user="rev")
    assert (await desk.verify(DESTINATION)).keys() == {"r1"}


async def test_reads_and_other_writes_go_on_while_the_signer_thinks(desk: Desk) -> None:
    await desk.put("r1", n=1)
    go, asked = await held(desk), desk.asked
    request = asyncio.create_task(desk.status("to-review"))
    await desk.until_asked(asked + 1)
    async with asyncio.timeout(PATIENCE):
        await desk.ok("PUT /buckets/other", {"data": {}})
        await desk.records(DESTINATION)
        await desk.ok(f"PATCH {DESTINATION}", {"data": {"note": "x"}}, user="admin")
    go.set()
    await request
    assert (await desk.verify(PREVIEW)).keys() == {"r1"}


async def test_what_goes_on_changing_is_refused_in_the_end(desk: Desk) -> None:
    await desk.put("r1", n=1)
    sign = desk._sign

    async def write_meanwhile(source, message):
        await desk.put("r1", n=desk.asked)
        return await sign(source, message)

    desk._sign = write_meanwhile
    asked = desk.asked
    answer = await desk.call(f"PATCH {SOURCE}", {"data": {"status": "to-review"}})
    assert answer.status_code == 409, answer.text
    assert answer.json()["errno"] == 122
    assert int(answer.headers["Retry-After"]) >= 0
    assert desk.asked == asked + ATTEMPTS
    assert (await desk.metadata())["status"] == "work-in-progress"
    desk._sign = sign
    await desk.publish()
    await desk.verify(DESTINATION)


STEPS = ["create", "to-review", "to-sign", "to-resign", "to-rollback", "delete"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_signer_that_is_down_leaves_no_trace(desk: Desk, step: str) -> None:
    await desk.put("r1", n=1)
    await desk.publish()
    await desk.put("r2", n=2)
    if step == "to-sign":
        await desk.status("to-review")
    desk.app.forget()
    before = [await desk.metadata(each) for each in (SOURCE, PREVIEW, DESTINATION)]
    records = [await desk.records(each, "admin") for each in (SOURCE, PREVIEW, DESTINATION)]
    request, body = f"PATCH {SOURCE}", {"data": {"status": step}}
    if step in ("create", "delete"):
        request = f"DELETE {SOURCE}" if step == "delete" else "PUT /buckets/main-workspace/collections/new"
        body = {"data": {}} if step == "create" else None
    user = {"to-sign": "rev"}.get(step, "admin" if step in ("create", "delete") else "ed")
    desk.down = True
    answer = await desk.call(request, body, user=user)
    assert answer.status_code == 503, answer.text
    assert answer.json()["errno"] == 201
    assert int(answer.headers["Retry-After"]) > 0
    assert desk.app.events == []
    assert [await desk.metadata(each) for each in (SOURCE, PREVIEW, DESTINATION)] == before
    assert [await desk.records(each, "admin") for each in (SOURCE, PREVIEW, DESTINATION)] == records
    for made in ("/buckets/main-workspace/collections/new", "/buckets/main-workspace/groups/new-editors"):
        assert (await desk.call(f"GET {made}", user="admin")).status_code == 404
    desk.down = False
    answer = await desk.call(request, body, user=user)
    assert answer.status_code in (200, 201), answer.text
    await desk.verify(DESTINATION)
    await desk.verify(PREVIEW)


def batch(*requests: tuple[str, str, object]) -> dict[str, object]:
    return {
        "requests": [
            {"method": method, "path": path, **({"body": {"data": data}} if data is not None else {})}
            for method, path, data in requests
        ]
    }


RECORD = f"{SOURCE}/records/b1"


@pytest.mark.parametrize("status", ["to-review", "to-sign"])
async def test_a_batch_cannot_publish_what_it_writes(desk: Desk, status: str) -> None:
    await desk.put("r1", n=1)
    await desk.status("to-review")
    requests = batch(("PUT", RECORD, {"n": 1}), ("PATCH", SOURCE, {"status": status}))
    answers = (await desk.ok("POST /batch", requests, user="ed" if status == "to-review" else "rev"))[
        "responses"
    ]
    assert [answer["status"] for answer in answers][1] == 400
    assert (await desk.verify(DESTINATION)) == {}


async def test_a_batch_publishes_before_it_writes_more(desk: Desk) -> None:
    await desk.put("r1", n=1)
    requests = batch(("PATCH", SOURCE, {"status": "to-review"}), ("PUT", RECORD, {"n": 1}))
    answers = (await desk.ok("POST /batch", requests))["responses"]
    assert [answer["status"] for answer in answers] == [200, 201]
    assert (await desk.verify(PREVIEW)).keys() == {"r1"}
    assert (await desk.metadata())["status"] == "work-in-progress"
    assert await desk.refuse_status(400, "to-sign", user="rev") == "Collection not under review"


async def test_a_batch_makes_several_sources_and_fills_them(desk: Desk) -> None:
    names = [f"/buckets/main-workspace/collections/n{n}" for n in range(3)]
    requests = [
        each for name in names for each in (("PUT", name, {}), ("PUT", f"{name}/records/r", {"n": 1}))
    ]
    answers = (await desk.ok("POST /batch", batch(*requests), user="admin"))["responses"]
    assert {answer["status"] for answer in answers} == {201}
    for name in names:
        assert (await desk.metadata(name))["status"] == "work-in-progress"
        assert await desk.verify(name.replace("main-workspace", "main")) == {}


async def test_a_batch_counts_as_one_edit(desk: Desk) -> None:
    before = (await desk.metadata())["last_modified"]
    desk.app.forget()
    requests = [("PUT", f"{SOURCE}/records/b{n}", {"n": n}) for n in range(5)]
    await desk.ok("POST /batch", batch(*requests))
    assert desk.app.events.count(f"update {SOURCE}") == 1
    assert (await desk.metadata())["last_modified"] > before


async def test_a_batch_that_fails_as_a_whole_publishes_nothing(desk: Desk) -> None:
    await desk.put("r1", n=1)
    await desk.status("to-review")
    desk.down = True
    requests = batch(("PUT", "/buckets/other", {}), ("PATCH", SOURCE, {"status": "to-sign"}))
    assert (await desk.call("POST /batch", requests, user="rev")).status_code == 503
    assert (await desk.call("GET /buckets/other", user="rev")).status_code == 403
    assert (await desk.metadata())["status"] == "to-review"
