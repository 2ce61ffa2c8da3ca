"""Telling clients by name of the collections that patterns single out: they know nothing of patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kintoun.features.signing.published import collections_in
from kintoun.features.signing.resources import Resources
from kintoun.model.changes import Change
from kintoun.model.kinds import COLLECTION
from kintoun.resources.service import Service


class Naming:
    """Keeps `resources` of the capability up to date with the collections that there are."""

    def __init__(self, service: Service, resources: Resources, capability: dict[str, Any]) -> None:
        self._store = service.store
        self._resources = resources
        self._capability = capability

    async def committed(self, changes: Sequence[Change]) -> None:
        """Look again when a collection of a source bucket came or went."""
        for change in changes:
            made_or_gone = change.path.kind is COLLECTION and change.action != "update"
            if made_or_gone and change.path.ids[0] in self._resources.source_buckets:
                await self.refresh()
                return

    async def refresh(self) -> None:
        """Name the collections that patterns fit."""
        found = [
            (bucket, collection)
            for bucket in sorted(self._resources.source_buckets)
            for collection in await collections_in(self._store, bucket)
            if self._resources.singled_out(bucket, collection)
        ]
        self._capability["resources"] = self._resources.as_json(tuple(found))
