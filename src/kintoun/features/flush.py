"""POST /__flush__: remove all data, for test servers (protocol section 2.2)."""

from __future__ import annotations

import secrets
from typing import Any

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model.paths import ROOT_LISTS, ListPath
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context, Work
from kintoun.storage.needs import Needs

_LISTS = "SELECT path FROM clock WHERE list IS NOT NULL"


OPERATIONS = {
    "POST": {
        "summary": "Remove all data",
        "description": "Without asking who does it: for test servers.",
        "responses": {"202": {"description": "Everything is gone.", "content": {"application/json": {}}}},
    }
}


async def flush(context: Context, _request: Request) -> Answer:
    """Cut off every list. Clocks go on, so that clients who had synced notice."""

    async def act(work: Work) -> Answer:
        rows = await work.unit.transaction.fetch(_LISTS)
        for path in sorted((ListPath.parse(row[0]) for row in rows), key=str):
            clock = await work.unit.clock(path)
            if clock is not None and clock.list is not None:
                work.unit.cut(clock, secrets.randbits(62) + 1 if path in ROOT_LISTS else None)
        return Answer(202, b"{}")

    return await context.write(Needs(ROOT_LISTS), act)


class Flush(Plugin):
    """The endpoint that empties the server."""

    name = "flush"

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.endpoint(Endpoint("flush", "/__flush__", {"POST": flush}, operations=OPERATIONS))
        registry.capability(
            "flush_endpoint",
            "The __flush__ endpoint can be used to remove all data from all backends.",
            f"{registry.settings.project.docs}reference/flush/",
        )
