"""What nobody but the signer may do: write to previews and destinations, or take them away."""

from __future__ import annotations

from collections.abc import Sequence

from kintoun.features.signing.applying import PUBLISHED_FIELDS, SIGNATURE_FIELDS, is_the_signer, is_there
from kintoun.features.signing.publishing import Extension
from kintoun.features.signing.resources import Place, Resources
from kintoun.features.signing.signable import fragment
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD
from kintoun.model.paths import ListPath, bucket_path, collection_path
from kintoun.resources.context import Work

ONLY_SIGNER = "Only the signer writes records of {}."
IN_USE = "Collection is in use."
BUCKET_IN_USE = "Bucket is in use."


class Guard:
    """Refuses changes that would make what is signed another than what was published."""

    def __init__(self, resources: Resources, extensions: Sequence[Extension]) -> None:
        self._resources = resources
        self._extensions = extensions

    async def check(self, work: Work, change: Change) -> None:
        """Refuse a change of a client that is the signer's alone, or that could never be signed."""
        if is_the_signer(work.context):
            return
        kind, ids = change.path
        if kind is RECORD:
            self._check_record(change, ids[0], ids[1])
        elif ids[0] not in self._resources.target_buckets:
            return
        elif kind is COLLECTION:
            await self._check_collection(work, change)
        elif kind is BUCKET and change.action == "delete" and await self._publishes_to(work, ids[0]):
            raise ProtocolError(403, FORBIDDEN, BUCKET_IN_USE)

    def _check_record(self, change: Change, bucket: str, collection: str) -> None:
        resources = self._resources
        if bucket in resources.target_buckets and resources.target(bucket, collection) is not None:
            path = collection_path(bucket, collection)
            raise ProtocolError(403, FORBIDDEN, ONLY_SIGNER.format(path))
        if change.action == "delete" or bucket not in resources.source_buckets:
            return
        if resources.source(bucket, collection) is not None:
            fragment(change.new)

    async def _check_collection(self, work: Work, change: Change) -> None:
        workflow = self._resources.target(*change.path.ids)
        if workflow is None:
            return
        if change.action == "delete":
            if await is_there(work, workflow.source):
                raise ProtocolError(403, FORBIDDEN, IN_USE)
            return
        fields = [*SIGNATURE_FIELDS, *(field for each in self._extensions for field in each.fields)]
        old, new = change.old, change.new
        if old is not None:
            fields += PUBLISHED_FIELDS
        for field in fields:
            if (old or {}).get(field) != new.get(field):
                raise ProtocolError(403, FORBIDDEN, f"Only the signer writes {field!r} of {change.path}.")

    async def _publishes_to(self, work: Work, bucket: str) -> bool:
        """Whether a source is there that has its preview or destination in a bucket."""
        for resource in self._resources.all:
            here = any(target.bucket == bucket for target in resource.targets)
            if here and await _is_there(work, resource.source):
                return True
        return False


async def _is_there(work: Work, source: Place) -> bool:
    if source.collection is not None:
        return await is_there(work, collection_path(source.bucket, source.collection))
    if not await is_there(work, bucket_path(source.bucket)):
        return False
    clock = await work.unit.clock(ListPath(COLLECTION, (source.bucket,)))
    return clock is not None and clock.live > 0
