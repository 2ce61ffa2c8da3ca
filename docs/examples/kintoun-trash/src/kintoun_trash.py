"""A plugin for Kintoun: deleted records are kept in another collection, locked ones are not deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from kintoun.http.answers import Answer, json_answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import RECORD
from kintoun.model.paths import collection_path, record_path
from kintoun.model.permissions import NO_GRANTS
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context, Work
from kintoun.settings import Section
from kintoun.storage.rows import Wanted


class TrashSettings(Section, frozen=True):
    """Where deleted records go."""

    collection: Annotated[str, Meta(description="Id of the collection that keeps them, in each bucket.")] = (
        "trash"
    )


class Trash(Plugin):
    """Keeps what is deleted, in buckets that have a collection for it."""

    name = "trash"
    settings = TrashSettings
    kinto_keys: ClassVar = {"trash_collection": "collection"}
    kinto_includes = ("example.trash",)

    def setup(self, registry: Registry, settings: TrashSettings) -> None:
        self.collection = settings.collection
        self.kept = 0
        registry.before_commit(self.keep)
        registry.after_commit(self.count)
        registry.endpoint(Endpoint("trash", "/buckets/{bucket_id}/__trash__", {"GET": self.describe}))
        registry.capability(
            "trash", "Keeps deleted records.", "https://example.org/", collection=self.collection
        )

    async def keep(self, work: Work, change: Change) -> None:
        """In the transaction: refuse, or write more. It may be run again, so it changes nothing else."""
        if change.action != "delete" or change.path.kind is not RECORD:
            return
        bucket, collection, record = change.path.ids
        old: dict[str, Any] = change.old or {}
        if old.get("locked") is True:
            raise ProtocolError(403, FORBIDDEN, "This record is locked.")
        trash = await work.unit.object(collection_path(bucket, self.collection))
        if collection == self.collection or trash is None or trash.deleted:
            return
        kept = record_path(bucket, self.collection, f"{collection}-{record}")
        attributes = {"from": str(change.path), "by": change.user, "was": old}
        row = await work.unit.put(kept, attributes, NO_GRANTS)
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
