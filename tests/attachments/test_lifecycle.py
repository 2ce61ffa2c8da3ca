"""Any order of uploads, copies, deletions and sweeps: what a record names is there, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.attachments.world import Attachers, attaching
from tests.files.writing import contents
from tests.support.fixtures import ENGINES
from tests.support.inprocess import Databases

T = TypeVar("T")

COLLECTIONS = ("c", "d")
RECORDS = tuple(f"/buckets/b/collections/{name}/records/{n}" for name in COLLECTIONS for n in "12")
A_RECORD = st.sampled_from(RECORDS)
A_COLLECTION = st.sampled_from(COLLECTIONS)
_REFERENCES = "SELECT k.path, r.id, r.location FROM reference r JOIN clock k ON k.list = r.list"
CONTENT = st.sampled_from([b"one", b"two", b"three", b""])
SMALL = len(b"one")
"""What is larger is on the disk."""


class Lifecycle(RuleBasedStateMachine):
    """The application beside what is known of it: which record names what, and what stands where."""

    engine: str
    databases: Databases

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = self.stack.enter_context(TemporaryDirectory(prefix="kintoun-"))
        self.files = self.run(self.begin())
        self.named: dict[str, dict[str, Any]] = {}
        """The attachment of each record that has one."""
        self.standing: dict[str, bytes] = {}
        """What can be read, by location."""
        self.seen: list[dict[str, Any]] = []
        """Every attachment that there ever was."""

    async def begin(self) -> Attachers:
        files = await self.stack.enter_async_context(
            attaching(self.engine, self.databases, Path(self.folder), ("history",), small_bytes=SMALL)
        )
        await self.make(files)
        return files

    @staticmethod
    async def make(files: Attachers) -> None:
        await files.app.ok("PUT /buckets/b")
        for name in COLLECTIONS:
            await files.app.ok(f"PUT /buckets/b/collections/{name}")

    def run(self, action: Awaitable[T]) -> T:
        async def wait() -> T:
            return await action

        return self.runner.run(wait())

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    def call(self, request: str, body: Any = None, *statuses: int, **arguments: Any) -> Any:
        response = self.run(self.files.app.call(request, body, **arguments))
        assert response.status_code in (statuses or (200, 201)), (request, response.text)
        return response

    def forget(self, prefix: str) -> None:
        """What is at or below a path names nothing any longer."""
        for path in [path for path in self.named if f"{path}/".startswith(f"{prefix}/")]:
            del self.named[path]

    @rule(record=A_RECORD, content=CONTENT, gzipped=st.booleans())
    def upload(self, record: str, content: bytes, gzipped: bool) -> None:
        url = f"{record}/attachment?gzipped={str(gzipped).lower()}"
        attachment = self.run(self.files.attached(content, url=url))
        kept = self.run(self.files.content(attachment["location"]))
        assert kept is not None
        assert sha256(kept).hexdigest() == attachment["hash"]
        assert gzipped or kept == content
        assert attachment["location"] not in self.standing, "every upload has a location of its own"
        self.named[record] = attachment
        self.standing[attachment["location"]] = kept
        self.seen.append(attachment)

    @rule(record=A_RECORD, content=CONTENT)
    def upload_in_vain(self, record: str, content: bytes) -> None:
        for refused in (
            self.files.attach(content, url=f"{record}/attachment", headers={"If-Match": '"1"'}),
            self.files.attach(content, url=f"{record}/attachment", data={"last_modified": 10**18}),
            self.files.attach(content, "a.exe", url=f"{record}/attachment"),
        ):
            assert self.run(refused).status_code in (400, 412)

    @rule(record=A_RECORD)
    def remove(self, record: str) -> None:
        self.call(f"DELETE {record}/attachment", None, 204, 404)
        self.named.pop(record, None)

    @rule(record=A_RECORD, null=st.booleans())
    def let_go(self, record: str, null: bool) -> None:
        data = {"attachment": None} if null else {}
        self.call(f"PUT {record}", {"data": data})
        self.named.pop(record, None)

    @rule(record=A_RECORD, choice=st.integers(0, 1000))
    def copy(self, record: str, choice: int) -> None:
        """A record is given what another has, or had: it may be gone by now."""
        if not self.seen:
            return
        attachment = self.seen[choice % len(self.seen)]
        self.call(f"PUT {record}", {"data": {"attachment": None}})
        self.call(f"PATCH {record}", {"data": {"attachment": attachment}})
        self.named[record] = attachment

    @rule(record=A_RECORD, choice=st.integers(0, 1000))
    def forge(self, record: str, choice: int) -> None:
        if record in self.named and self.seen:
            other = self.seen[choice % len(self.seen)]
            status = 200 if other == self.named[record] else 400
            self.call(f"PATCH {record}", {"data": {"attachment": other}}, status)

    @rule(record=A_RECORD)
    def delete_record(self, record: str) -> None:
        self.call(f"DELETE {record}", None, 200, 404)
        self.forget(record)

    @rule(record=A_RECORD, other=A_RECORD)
    def batch(self, record: str, other: str) -> None:
        """The second request fails, and takes back only what it did itself."""
        requests = [
            {"method": "DELETE", "path": f"{record}/attachment"},
            {"method": "PUT", "path": other, "body": {"data": {"last_modified": 10**18}}},
        ]
        answers = self.call("POST /batch", {"requests": requests}).json()["responses"]
        assert answers[0]["status"] in (204, 404)
        assert answers[1]["status"] == 400
        self.named.pop(record, None)

    @rule(collection=A_COLLECTION)
    def delete_list(self, collection: str) -> None:
        self.call(f"DELETE /buckets/b/collections/{collection}/records")
        self.forget(f"/buckets/b/collections/{collection}")

    @rule(collection=A_COLLECTION)
    def delete_collection(self, collection: str) -> None:
        self.call(f"DELETE /buckets/b/collections/{collection}")
        self.call(f"PUT /buckets/b/collections/{collection}")
        self.forget(f"/buckets/b/collections/{collection}")

    @rule(flush=st.booleans())
    def delete_everything(self, flush: bool) -> None:
        self.call("POST /__flush__" if flush else "DELETE /buckets/b", None, 200, 202)
        self.run(self.make(self.files))
        self.forget("/buckets/b")

    @rule(collection=A_COLLECTION, back=st.integers(1, 3))
    def restore(self, collection: str, back: int) -> None:
        """Bring back what a collection held some changes ago."""
        path = f"/buckets/b/collections/{collection}"
        page = self.call(f"GET /buckets/b/history?collection_id={collection}&_limit=5").json()["data"]
        times = [entry["target"]["data"]["last_modified"] for entry in page if "record_id" in entry]
        if len(times) <= back:
            return
        at = times[back] - 1
        self.call(f"POST {path}/restore", {"data": {"at": at}}, 200, 400)
        self.forget(path)
        for record in self.call(f"GET {path}/records").json()["data"]:
            if record.get("attachment"):
                self.named[f"{path}/records/{record['id']}"] = record["attachment"]

    @rule()
    def sweep(self) -> None:
        self.run(self.files.sweep())
        kept = {attachment["location"] for attachment in self.named.values()}
        self.standing = {name: content for name, content in self.standing.items() if name in kept}
        assert self.run(self.blobs()) == {sha256(content).hexdigest() for content in self.standing.values()}

    async def blobs(self) -> set[str]:
        return {sha256(content).hexdigest() for content in await contents(self.files.files)}

    @invariant()
    def references_are_what_is_named(self) -> None:
        rows = self.run(self.files.files.store.fetch(_REFERENCES, ()))
        named = {record: each["location"] for record, each in self.named.items()}
        there = {record: location for record, location in named.items() if location in self.standing}
        assert {f"{path}/{name}": location for path, name, location in rows} == there

    @invariant()
    def what_is_named_is_there(self) -> None:
        for record, attachment in self.named.items():
            assert self.run(self.files.record(record))["attachment"] == attachment
        for location in {each["location"] for each in self.named.values()}:
            assert self.run(self.files.content(location)) == self.standing.get(location)
        assert not self.files.uploads()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_records_name_is_there(engine: str, databases: Databases) -> None:
    _run(engine, databases, examples=12, steps=20)


@pytest.mark.campaign
@pytest.mark.parametrize("engine", ENGINES)
def test_what_records_name_is_there_for_long(engine: str, databases: Databases) -> None:
    _run(engine, databases, examples=200, steps=60)


def _run(engine: str, databases: Databases, examples: int, steps: int) -> None:
    machine = type("OnThisEngine", (Lifecycle,), {"engine": engine, "databases": databases})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    rules = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
    )
    run_state_machine_as_test(machine, settings=rules)
