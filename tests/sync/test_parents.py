"""Collections and buckets are deleted and made again while others write in them and poll.

The clock of a list outlives its parent: it never goes back, whoever had synced records learns by the ETag
that they are gone, and nothing from before the deletion comes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support.postgres import Postgres
from tests.sync import check_reads
from tests.sync.checker import Evidence, prepare
from tests.sync.clients import Client, Load, Run
from tests.sync.history import History
from tests.sync.steps import Step, list_items
from tests.sync.versions import Violation, written_items
from tests.sync.world import ENGINES, serving

BUCKET = "/buckets/parents"
COLLECTION = f"{BUCKET}/collections/main"
HOME = f"{COLLECTION}/records"
SECONDS = 2.0


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_list_outlives_its_parents(engine: str, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=2) as server:
        run = Run(server.url, Load(records=20, pause=0.004))
        clients = [Client(run, f"client-{number}", home=HOME) for number in range(7)]
        acts = [demolish(clients[0]), *map(write, clients[1:4]), batch(clients[4]), *map(poll, clients[5:])]
        await asyncio.gather(*acts)
        for client in clients:
            await client.close()
        violations = list(broken(run.history))
        assert not violations, "\n".join(map(str, violations)) + server.log()[-4000:]


async def demolish(client: Client) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        await client.call("PUT", BUCKET)
        for _ in range(3):
            await client.call("PUT", COLLECTION)
            await asyncio.sleep(client.random.random() * 0.1)
            await client.call("DELETE", COLLECTION)
        if client.random.random() < 0.5:
            await client.call("PUT", COLLECTION)
            await asyncio.sleep(client.random.random() * 0.05)
        await client.call("DELETE", BUCKET)
    client.run.stopping = True


async def write(client: Client) -> None:
    while not client.run.stopping:
        method = client.random.choice(("PUT", "PUT", "PATCH", "DELETE"))
        sent = None if method == "DELETE" else client.data()
        await client.call(method, client.path(client.any_id()), sent)
        await client.think()


async def batch(client: Client) -> None:
    while not client.run.stopping:
        paths = [client.path(client.any_id()) for _ in range(4)]
        items = [{"method": "PUT", "path": COLLECTION, "body": {"data": {}}}]
        items += [{"method": "PUT", "path": path, "body": client.data()} for path in paths]
        await client.call("POST", "/batch", {"requests": items})
        await client.think()


async def poll(client: Client) -> None:
    since = 0
    while not client.run.stopping:
        whole = client.random.random() < 0.3
        reply = await client.call("GET", HOME if whole else f"{HOME}?_since=%22{since}%22")
        if reply is not None and reply.etag is not None:
            since = reply.etag
        await client.think()


def broken(history: History) -> Iterator[Violation]:
    evidence = prepare(history)
    yield from evidence.versions.violations
    yield from check_reads.real_time(evidence)
    yield from refused(evidence)
    for step in evidence.steps:
        if step.method == "DELETE" and step.done and step.list_path in ("/buckets", f"{BUCKET}/collections"):
            yield from survived(evidence, step)


def refused(evidence: Evidence) -> Iterator[Violation]:
    """Without a parent, writers are told 404 or, as they have no rights there, 403; all else is wrong."""
    for step in evidence.steps:
        if step.status not in (200, 201, 304, 403, 404):
            text = f"{step}: {step.answer!r}"
            yield Violation("X1", step.list_path, text, (step.op.number,))


def survived(evidence: Evidence, deletion: Step) -> Iterator[Violation]:
    """What outlived the deletion of its parent, and readers who were not told."""
    begin, end = deletion.op.invoked, deletion.op.end
    doomed = {
        item["last_modified"]
        for step in evidence.steps
        if step.list_path == HOME and step.op.end < begin
        for item in written_items(step)
    }
    held = [step for step in evidence.steps if shows_live(step) and step.op.end < begin]
    known = max((step.etag or 0 for step in held), default=0)
    for step in evidence.steps:
        if step.list_path != HOME or step.op.invoked < end or step.status != 200 or step.method != "GET":
            continue
        for item in list_items(step.answer):
            if item["last_modified"] in doomed:
                yield Violation(
                    "S6", HOME, f"{step} shows {item!r} from before {deletion}", (step.op.number,)
                )
        if step.etag is not None and step.etag <= known:
            yield Violation("S1", HOME, f"{step} does not tell of {deletion}", (step.op.number,))


def shows_live(step: Step) -> bool:
    if step.list_path != HOME or step.object is not None or step.status != 200 or step.query:
        return False
    return any(not item.get("deleted") for item in list_items(step.answer))
