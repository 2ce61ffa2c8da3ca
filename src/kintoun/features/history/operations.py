"""What the description of the API says of the endpoints of history."""

from __future__ import annotations

from typing import Any

Part = dict[str, Any]

_TEXT = {"type": "string"}
_TIMESTAMP = {"$ref": "#/components/schemas/Timestamp"}
_TOMBSTONE = {"$ref": "#/components/schemas/Tombstone"}


def _parameters(*names: str) -> list[Part]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _errors(*statuses: str) -> Part:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _answer(description: str, spec: Part | None, headers: Part) -> Part:
    answer: Part = {"description": description, "headers": headers}
    if spec is not None:
        answer["content"] = {"application/json": {"schema": spec}}
    return answer


def _data(items: Part) -> Part:
    data = {"type": "array", "items": items}
    return {"type": "object", "required": ["data"], "properties": {"data": data}}


_ETAG = {"ETag": {"required": True, "schema": {"type": "string", "pattern": '^"-?[0-9]+"$'}}}
_NEXT_PAGE = {"Next-Page": {"$ref": "#/components/headers/Next-Page"}}
_TOTAL = {"Total-Objects": {"$ref": "#/components/headers/Total-Objects"}}
_UNCHANGED = _answer("Nothing changed since the ETag of `If-None-Match`.", None, _ETAG)
_QUERY = _parameters("limit", "token", "sort", "fields", "since", "before", "to", "filters")
_CONDITIONS = _parameters("if-match", "if-none-match")

ENTRY: Part = {
    "type": "object",
    "description": "One change of one object.",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "last_modified": _TIMESTAMP,
        "date": {"type": "string", "format": "date-time"},
        "action": {"enum": ["create", "update", "delete"]},
        "user_id": {"type": ["string", "null"], "description": "Who wrote; null for anonymous."},
        "uri": _TEXT,
        "resource_name": {"enum": ["bucket", "group", "collection", "record"]},
        **dict.fromkeys(("bucket_id", "group_id", "collection_id", "record_id"), _TEXT),
        "target": {
            "type": "object",
            "description": "The object after the change, its permissions, or its tombstone.",
            "properties": {"data": {"type": "object"}, "permissions": {"type": "object"}},
        },
    },
}

LIST: dict[str, Part] = {
    "GET": {
        "summary": "List the changes of a bucket's objects",
        "description": "The newest first. Only known fields filter and sort; those of `target` may be any.",
        "parameters": [*_QUERY, *_CONDITIONS],
        "responses": {
            "200": _answer(
                "A page of entries.", _data({"oneOf": [ENTRY, _TOMBSTONE]}), {**_ETAG, **_NEXT_PAGE}
            ),
            "304": _UNCHANGED,
            **_errors("401", "403", "406", "412"),
        },
    },
    "HEAD": {
        "summary": "Count the changes of a bucket's objects",
        "parameters": [*_QUERY, *_CONDITIONS],
        "responses": {
            "200": _answer("How many there are.", None, {**_ETAG, **_TOTAL}),
            "304": _UNCHANGED,
            **{status: {"description": "Refused."} for status in ("400", "401", "403", "404", "406", "412")},
        },
    },
    "DELETE": {
        "summary": "Purge entries",
        "description": "Those that match the filters, a page at a time. What they told cannot be read or "
        "restored any more.",
        "parameters": [*_QUERY, *_CONDITIONS],
        "responses": {
            "200": _answer("The tombstones.", _data(_TOMBSTONE), {**_ETAG, **_NEXT_PAGE}),
            **_errors("401", "403", "406", "412"),
        },
    },
}

_SNAPSHOT_ERRORS = ("400", "401", "403", "404")

SNAPSHOT: dict[str, Part] = {
    "GET": {
        "summary": "Read all records of a collection as they were",
        "description": "`COLLECTION@TIMESTAMP` in milliseconds. All records in one answer, the newest first.",
        "responses": {
            "200": _answer("The records.", _data({"type": "object"}), {}),
            **_errors("401", "403"),
        },
    },
    "HEAD": {
        "summary": "Ask whether a collection can be read as it was",
        "responses": {
            "200": {"description": "It can."},
            **{status: {"description": "Refused."} for status in _SNAPSHOT_ERRORS},
        },
    },
}

RESTORE: dict[str, Part] = {
    "POST": {
        "summary": "Restore to a time",
        "description": "Write again what stood there at a timestamp: an object, or a collection with all "
        "its records.",
        "parameters": _CONDITIONS,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["data"],
                        "additionalProperties": False,
                        "properties": {
                            "data": {
                                "type": "object",
                                "required": ["at"],
                                "additionalProperties": False,
                                "properties": {"at": {"type": "integer", "minimum": 0, "maximum": 2**53}},
                            }
                        },
                    }
                }
            },
        },
        "responses": {
            "200": _answer("What is there now.", {"type": "object"}, {}),
            "201": _answer("The object is there again.", {"type": "object"}, {}),
            **_errors("401", "403", "406", "409", "412", "415"),
        },
    }
}
