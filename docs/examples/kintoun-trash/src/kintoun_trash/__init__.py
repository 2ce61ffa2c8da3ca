"""A plugin for Kintoun: deleted records are kept in another collection, locked ones are not deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from kintoun.http.answers import Answer, json_answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model import timestamps
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import RECORD
from kintoun.model.paths import collection_path, record_path
from kintoun.model.permissions import NO_GRANTS
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context, Work
from kintoun.settings import Section
from kintoun.storage.engine import Transaction
from kintoun.storage.rows import Wanted
from kintoun.storage.tables import Table


class TrashSettings(Section, frozen=True):
    """Where deleted records go."""

    collection: Annotated[str, Meta(description="Id of the collection that keeps them, in each bucket.")] = (
        "trash"
    )
    log_days: Annotated[int, Meta(ge=1, description="How long the log tells who deleted what, in days.")] = 90


LOG = Table("trash_log", (("uri", "text"), ("who", "text"), ("ts", "int")))
DAY = 86_400_000


class Trash(Plugin):
    """Keeps what is deleted, in buckets that have a collection for it."""

    name = "trash"
    settings = TrashSettings
    kinto_keys: ClassVar = {"trash_collection": "collection"}
    kinto_includes = ("example.trash",)
    # Steps, in order: what was released is never edited, a change of the table is a new step.
    migrations: ClassVar = (
        ("CREATE TABLE trash_log (uri {text} NOT NULL, who {text} NOT NULL, ts {int} NOT NULL)",),
        ("CREATE INDEX trash_log_ts ON trash_log (ts)",),
    )
    commands: ClassVar = {"trash": "kintoun_trash.command:trash"}

    def setup(self, registry: Registry, settings: TrashSettings) -> None:
        self.collection = settings.collection
        self.log_days = settings.log_days
        self.store = registry.service.store
        self.kept = 0
        registry.before_commit(self.keep, RECORD)
        registry.after_commit(self.count)
        registry.endpoint(Endpoint("trash", "/buckets/{bucket_id}/__trash__", {"GET": self.describe}))
        registry.heartbeat("trash", self.answers)
        registry.background(self.forget, lease="trash")
        registry.capability(
            "trash", "Keeps deleted records.", "https://example.org/", collection=self.collection
        )

    async def keep(self, work: Work, change: Change) -> None:
        """In the transaction: refuse, or write more. It may be run again, so it changes nothing else."""
        if change.action != "delete":
            return
        bucket, collection, record = change.path.ids
        old: dict[str, Any] = change.old or {}
        if old.get("locked") is True:
            raise ProtocolError(403, FORBIDDEN, "This record is locked.")
        # A row of a table of its own: it is there when the deletion is, and only then.
        work.unit.add(LOG, (str(change.path), change.user or "", change.timestamp))
        trash = await work.unit.object(collection_path(bucket, self.collection))
        if collection == self.collection or trash is None or trash.deleted:
            return
        kept = record_path(bucket, self.collection, f"{collection}-{record}")
        attributes = {"from": str(change.path), "by": change.user, "was": old}
        row = (await work.unit.put(kept, attributes, NO_GRANTS)).row
        # Other hooks, and those after the commit, are told of what a hook writes only if it says so.
        await work.context.changed(
            Change("create", kept, None, row.body, row.grants, row.timestamp, change.user)
        )

    async def count(self, changes: Sequence[Change]) -> None:
        """After the commit: everything in `changes` is on disk."""
        self.kept += sum(
            change.path.kind is RECORD and change.path.ids[1] == self.collection for change in changes
        )

    async def describe(self, context: Context, request: Request) -> Answer:
        """GET /buckets/{bucket_id}/__trash__, for whoever may read the collection."""
        context.service.cors.check(request)
        path = collection_path(*request.parameters, self.collection)
        # One question to the database; it confirms the caller's credentials and finds its groups as well.
        found = await context.load(Wanted(points=path.lineage))
        *above, own = found.points
        if not context.service.access.may_read(path.kind, above, own, context.principals):
            raise context.refusal()
        return json_answer({"collection": str(path), "kept_by_this_worker": self.kept})

    async def answers(self) -> bool:
        """A check of the heartbeat."""
        await self.store.fetch("SELECT ts FROM trash_log LIMIT 1")
        return True

    async def forget(self) -> None:
        """In the background, in one worker of all: again and again, with pauses. Twice does no harm."""

        async def act(transaction: Transaction) -> None:
            before = timestamps.now() - self.log_days * DAY
            await transaction.fetch("DELETE FROM trash_log WHERE ts < $1", (before,))

        await self.store.transact(act)
        await asyncio.sleep(3600)
