"""What the description of the API says of publication."""

from __future__ import annotations

from typing import Any

Part = dict[str, Any]

_TIMESTAMP: Part = {"$ref": "#/components/schemas/Timestamp"}
_TEXT: Part = {"type": "string"}
_CACHE_CONTROL = {"Cache-Control": {"required": True, "schema": _TEXT}}


def _parameter(name: str, description: str, schema: Part, *, required: bool = False) -> Part:
    return {"name": name, "in": "query", "description": description, "schema": schema, "required": required}


def _errors(*statuses: str) -> Part:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _object(**properties: Part) -> Part:
    return {"type": "object", "required": list(properties), "properties": properties}


def _read(summary: str, description: str, body: Part, parameters: list[Part], more: Part) -> Part:
    told = {"description": f"{summary}.", "headers": _CACHE_CONTROL}
    told_whole = {**told, "content": {"application/json": {"schema": body}}}
    common = {"summary": summary, "description": description, "parameters": parameters}
    without_bodies = {status: {"description": "As for GET."} for status in more}
    return {
        "GET": {**common, "responses": {"200": told_whole, **more}},
        "HEAD": {**common, "responses": {"200": told, **without_bodies}},
    }


_MOVED: Part = {"307": {"description": "The same question in the form in which it is answered."}}
_UNCHANGED: Part = {"304": {"description": "It is what the ETag of `If-None-Match` names."}}
_SINCE = _parameter("_since", "Only what changed later, deletions included; milliseconds.", _TEXT)
_ENTRY = _object(
    id={"type": "string", "format": "uuid"},
    last_modified=_TIMESTAMP,
    bucket=_TEXT,
    collection=_TEXT,
    host=_TEXT,
)

CHANGESET = _read(
    "A collection with its records, or what changed of it",
    "Of `monitor/changes`: which collections changed, for anybody.",
    _object(
        metadata={"type": "object"},
        timestamp=_TIMESTAMP,
        changes={"type": "array", "items": {"type": "object"}},
    ),
    [
        _parameter(
            "_expected",
            "The timestamp that the client expects; names the answer in caches.",
            _TEXT,
            required=True,
        ),
        _SINCE,
        _parameter("_limit", "No more changes than this.", {"type": "integer", "minimum": 0}),
        _parameter("bucket", "Only collections of this bucket; of `monitor/changes` alone.", _TEXT),
        _parameter("collection", "Only collections of this name; of `monitor/changes` alone.", _TEXT),
    ],
    {**_UNCHANGED, **_MOVED, **_errors("400", "401", "403", "404")},
)

CHANGES = _read(
    "Which collections changed, as a list",
    "For clients that came before changesets; new ones read the changeset of `monitor/changes`.",
    _object(data={"type": "array", "items": _ENTRY}),
    [{"$ref": f"#/components/parameters/{name}"} for name in ("since", "sort", "limit", "token", "filters")],
    {**_MOVED, **_errors("400", "406", "412")},
)

BROADCASTS = _read(
    "The version of all published data",
    "What a push service tells its clients.",
    _object(broadcasts={"type": "object", "additionalProperties": _TEXT}, code={"const": 200}),
    [],
    {},
)
