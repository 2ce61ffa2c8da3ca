"""Signing again what is published, when its signatures are not those that its signers would give now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from kintoun.features.signing.published import published
from kintoun.features.signing.publishing import Publisher
from kintoun.features.signing.resources import Resources, Workflow
from kintoun.features.signing.signers import Signers
from kintoun.model import json
from kintoun.model.errors import ProtocolError
from kintoun.model.paths import Path
from kintoun.storage import Store
from kintoun.storage.rows import Wanted

log = structlog.get_logger()

PAUSE_SECONDS = 60.0
"""How long after one round the next begins."""


class Resigning:
    """Looks at everything that is published, one collection after the other."""

    def __init__(self, store: Store, resources: Resources, signers: Signers, publisher: Publisher) -> None:
        self._store = store
        self._resources = resources
        self._signers = signers
        self._publisher = publisher
        self._failing: dict[Path, str] = {}

    async def run(self) -> None:
        """One round, and a pause."""
        await self.round()
        await asyncio.sleep(PAUSE_SECONDS)

    async def round(self) -> int:
        """Sign again what has to be; returns how many collections that were."""
        signed = 0
        for workflow in await published(self._store, self._resources):
            if not await self._is_outdated(workflow):
                continue
            try:
                await self._publisher.resign(workflow)
            except ProtocolError as error:
                self._fail(workflow.source, str(error))
            else:
                signed += 1
                self._failing.pop(workflow.source, None)
        return signed

    async def _is_outdated(self, workflow: Workflow) -> bool:
        bucket, collection = workflow.source.ids
        for target in workflow.targets:
            row = (await self._store.read(Wanted(points=(target,)))).points[0]
            if row is None or row.deleted:
                continue
            metadata = json.decode(row.body.encode())
            signatures = _signatures(metadata)
            signed = datetime.fromtimestamp(row.timestamp / 1000, UTC)
            if not signatures:
                continue
            if any(extension.outdated(metadata) for extension in self._publisher.extensions):
                return True
            if await self._signers.outdated(bucket, collection, signatures, signed):
                return True
        return False

    def _fail(self, source: Path, reason: str) -> None:
        """Tell of a failure once, and again when its reason changes."""
        if self._failing.get(source) != reason:
            self._failing[source] = reason
            log.error("a collection could not be signed again", source=str(source), reason=reason)


def _signatures(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = metadata.get("signatures")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
