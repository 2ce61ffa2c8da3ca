"""Reading what is published before anybody waits for it, in every worker that has not published it itself."""

from __future__ import annotations

import asyncio

from kintoun.features.signing.planning import Planner
from kintoun.features.signing.published import published
from kintoun.features.signing.resources import Resources
from kintoun.storage import Store

PAUSE_SECONDS = 600.0
"""How long after one round the next begins, for what others have published for the first time."""


class Anticipation:
    """Looks at everything that is published, one collection after the other."""

    def __init__(self, store: Store, resources: Resources, planner: Planner) -> None:
        self._store = store
        self._resources = resources
        self._planner = planner

    async def run(self) -> None:
        """One round, and a pause."""
        await self.round()
        await asyncio.sleep(PAUSE_SECONDS)

    async def round(self) -> None:
        for workflow in await published(self._store, self._resources):
            await self._planner.look_ahead(workflow)
