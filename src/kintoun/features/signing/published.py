"""Which collections are published."""

from __future__ import annotations

from kintoun.features.signing.resources import Resources, Workflow
from kintoun.model.kinds import COLLECTION
from kintoun.model.paths import ListPath
from kintoun.storage import Store

_COLLECTIONS = (
    "SELECT o.id FROM object o WHERE o.list = (SELECT k.list FROM clock k WHERE k.path = $1)"
    " AND o.deleted = 0 ORDER BY o.id"
)


async def collections_in(store: Store, bucket: str) -> list[str]:
    """The ids of a bucket's collections."""
    rows = await store.fetch(_COLLECTIONS, (str(ListPath(COLLECTION, (bucket,))),))
    return [row[0] for row in rows]


async def published(store: Store, resources: Resources) -> list[Workflow]:
    """The workflows of which there is a destination, also where the source is gone."""
    found: dict[str, Workflow] = {}
    for bucket in sorted({resource.destination.bucket for resource in resources.all}):
        for collection in await collections_in(store, bucket):
            workflow = resources.target(bucket, collection)
            if workflow is not None and workflow.destination.ids == (bucket, collection):
                found[str(workflow.source)] = workflow
    return list(found.values())
