"""GET /__counters__: how many objects and tombstones of each kind there are (protocol section 2.2).

The clocks of lists know, so nothing is counted: the statement reads one row for each list.
"""

from __future__ import annotations

from typing import Any

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model import json
from kintoun.model.kinds import BY_PLURAL
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context

COUNTED = ("account", "bucket", "group", "collection", "record", "history")
"""The names of the kinds, in Kinto's order."""

OPERATIONS = {
    method: {
        "summary": "Count the objects",
        "description": "How many objects and tombstones of each kind there are. Kinds without are left out.",
        "responses": {
            "200": {
                "description": "The numbers, by the name of the kind.",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["objects", "tombstones"],
                            "additionalProperties": {
                                "type": "object",
                                "additionalProperties": {"type": "integer", "minimum": 1},
                            },
                        }
                    }
                },
            }
        },
    }
    for method in ("GET", "HEAD")
}


def counting(plurals: dict[str, str]) -> str:
    """The statement that adds up the clocks of the lists of some kinds: names of kinds by their plurals."""
    cases = " ".join(
        f"WHEN substr(path, length(path) - {len(plural)}) = '/{plural}' THEN '{name}'"
        for plural, name in plurals.items()
    )
    return (
        f"SELECT CASE {cases} END, sum(live), sum(dead) FROM clock"  # noqa: S608 - names of kinds
        " WHERE list IS NOT NULL GROUP BY 1"
    )


async def counters(context: Context, _request: Request) -> Answer:
    """The numbers; inside a batch, with what those before it wrote."""
    sql = counting({plural: kind.name for plural, kind in BY_PLURAL.items() if kind.name in COUNTED})
    if context.work is None:
        rows = await context.service.store.fetch(sql)
    else:
        await context.work.unit.flush()
        rows = await context.work.unit.transaction.fetch(sql)
    counts = {name: (int(live), int(dead)) for name, live, dead in rows}
    body: dict[str, dict[str, int]] = {}
    for n, state in enumerate(("objects", "tombstones")):
        body[state] = {name: counts[name][n] for name in COUNTED if name in counts and counts[name][n]}
    return Answer(200, json.encode(body))


class Counters(Plugin):
    """The endpoint that tells how much there is."""

    name = "counters"

    def setup(self, registry: Registry, settings: Any) -> None:
        methods = {"HEAD": counters, "GET": counters}
        registry.endpoint(Endpoint("counters", "/__counters__", methods, operations=OPERATIONS))
        registry.capability(
            "counters_endpoint",
            "The __counters__ endpoint exposes how many objects are stored.",
            f"{registry.settings.project.docs}reference/counters/",
        )
