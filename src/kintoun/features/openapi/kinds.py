"""The operations on lists and objects, the same for every kind."""

from __future__ import annotations

from typing import Any

from kintoun.features.openapi.components import INT64, READ, STAMP, Part, answer, error, parameter, schema
from kintoun.model.attributes import MAX_PASSWORD_BYTES
from kintoun.model.kinds import ACCOUNT, TOKEN, Kind

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_MEMBER = {"type": "string", "minLength": 1, "pattern": "^(?!system\\.Everyone$|/buckets/)"}

ATTRIBUTES: dict[str, Part] = {
    "bucket": {
        "collection:schema": {
            "type": "object",
            "description": "JSON Schema of every collection in the bucket.",
        },
        "group:schema": {"type": "object", "description": "JSON Schema of every group in the bucket."},
        "record:schema": {"type": "object", "description": "JSON Schema of every record in the bucket."},
    },
    "collection": {
        "schema": {"type": "object", "description": "JSON Schema (draft 7) of the collection's records."},
        "cache_expires": {
            "type": "integer",
            "description": "Seconds that anonymous callers may keep the collection's records.",
            **INT64,
        },
    },
    "group": {
        "members": {"type": "array", "items": _MEMBER, "description": "The ids of the users in the group."}
    },
    "account": {
        "password": {
            "type": "string",
            "minLength": 1,
            "description": f"At most {MAX_PASSWORD_BYTES} bytes. Readers see a mask in its place.",
        }
    },
    "token": {
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "scopes": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {"type": "string", "minLength": 1},
            "description": "`account`, and `read:` or `write:` with `/`, the path of a bucket or of a "
            "collection.",
        },
        "expires": {
            "type": ["integer", "null"],
            "description": "The timestamp from which the token is worth nothing.",
        },
    },
}
"""The attributes that a rule looks at; objects may have any others."""

REQUIRED = {ACCOUNT: ["password"], TOKEN: ["name", "scopes"]}
"""The attributes that an object must be given."""

LIST_ERRORS = (
    "400", "401", "403", "404", "405", "406", "410", "412", "413", "414", "429", "500", "503",
)  # fmt: skip
WRITE_ERRORS = (*LIST_ERRORS, "409", "415")


def kind_schemas(kind: Kind) -> dict[str, Part]:
    """The schemas of one kind: the object as it is read, and as it is written."""
    name = kind.name.capitalize()
    attributes = ATTRIBUTES.get(kind.name, {})
    known = {"id": {"type": "string"}, "last_modified": schema("Timestamp"), **attributes}
    written: Part = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": f"^{kind.id_pattern.pattern}$"},
            "last_modified": {
                "type": "integer",
                "description": "The timestamp to be given, if it is later than what is there.",
            },
            **attributes,
        },
    }
    envelope: Part = {
        "type": "object",
        "properties": {"data": schema(f"{name}Attributes"), "permissions": schema(f"{name}Permissions")},
        "additionalProperties": False,
    }
    if kind in REQUIRED:
        written["required"] = REQUIRED[kind]
        envelope["required"] = ["data"]
    if kind is TOKEN:
        written = {**written, "properties": attributes, "additionalProperties": False}
        known |= {
            "last_used": {
                "type": "integer",
                "description": "The timestamp of its last use, some minutes off.",
            },
            "token": {"type": "string", "description": "The token itself, when it is made and never again."},
        }
    return {
        name: {"type": "object", "required": ["id", "last_modified"], "properties": known},
        f"{name}Attributes": written,
        f"{name}Write": envelope,
        f"{name}Answer": {
            "type": "object",
            "required": ["data", "permissions"],
            "properties": {"data": schema(name), "permissions": schema(f"{name}Permissions")},
            "additionalProperties": False,
        },
    }


def _object_answers(kind: Kind, *statuses: str) -> Part:
    said = {"200": f"The {kind.name}.", "201": f"The {kind.name} was created."}
    body = schema(f"{kind.name.capitalize()}Answer")
    made = {}
    for status in statuses:
        made[status] = answer(said[status], body, STAMP)
        made[status]["links"] = _links(kind)
    return made


def _links(kind: Kind) -> Part:
    """From an object that was written to what can be done with it next."""
    above = {f"{step.name}_id": f"$request.path.{step.name}_id" for step in kind.lineage[:-1]}
    here = {**above, "id": "$response.body#/data/id"}
    return {
        f"{method}-{kind.name}": {"operationId": f"{kind.name}-object-{method}", "parameters": here}
        for method in (("get", "delete") if kind is TOKEN else ("get", "put", "patch", "delete"))
    }


def _errors(*statuses: str) -> Part:
    return {status: error(status) for status in statuses}


def _body(spec: Part, *types: str, required: bool = False) -> Part:
    return {"required": required, "content": {name: {"schema": spec} for name in types}}


def _data(spec: Part) -> Part:
    """The schema of a body that has `data` alone."""
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"data": spec},
        "additionalProperties": False,
    }


_QUERY = [
    parameter(name) for name in ("limit", "token", "sort", "fields", "since", "before", "to", "filters")
]
_CONDITIONS = [parameter("if-match"), parameter("if-none-match")]
_UNCHANGED = answer("Nothing changed since the ETag of `If-None-Match`.", None, STAMP)


def list_operations(kind: Kind) -> dict[str, dict[str, Any]]:
    """The operations on a list, by method."""
    name = kind.name.capitalize()
    plural = kind.plural
    items = {"type": "array", "items": {"anyOf": [schema("Tombstone"), {"type": "object"}]}}
    tombstones = {"type": "array", "items": schema("Tombstone")}
    return {
        "GET": {
            "summary": f"List {plural}",
            "description": f"The {plural} that match and that the caller may read, one page at a time.",
            "parameters": [*_QUERY, *_CONDITIONS],
            "responses": {
                "200": answer(f"A page of {plural}.", _data(items), (*READ, "Next-Page")),
                "304": _UNCHANGED,
                **_errors(*LIST_ERRORS),
            },
        },
        "HEAD": {
            "summary": f"Count {plural}",
            "parameters": [*_QUERY, *_CONDITIONS],
            "responses": {
                "200": answer("How many there are.", None, (*READ, "Total-Objects", "Total-Records")),
                "304": _UNCHANGED,
                **_bodiless(*LIST_ERRORS),
            },
        },
        "POST": {
            "summary": f"Create a {kind.name}",
            "description": "`token` of the answer is the token itself, which nobody can be told again."
            if kind is TOKEN
            else "Under the id of `data.id`, or a random one. If there is one of that id already, "
            "it is the answer (200), and nothing is changed.",
            "parameters": _CONDITIONS,
            "requestBody": _body(schema(f"{name}Write"), JSON, required=kind in REQUIRED),
            "responses": {**_object_answers(kind, "201", "200"), **_errors(*WRITE_ERRORS)},
        },
        "DELETE": {
            "summary": f"Delete {plural}",
            "description": f"The {plural} that match and that the caller may write, one page at a time.",
            "parameters": [*_QUERY, *_CONDITIONS],
            "responses": {
                "200": answer("What is left of them.", _data(tombstones), (*STAMP, "Next-Page")),
                **_errors(*LIST_ERRORS, "409"),
            },
        },
    }


def object_operations(kind: Kind) -> dict[str, dict[str, Any]]:
    """The operations on an object, by method."""
    name = kind.name.capitalize()
    shown = {"anyOf": [schema(f"{name}Answer"), _data({"type": "object"})]}
    patched = _object_answers(kind, "200")["200"]
    patched["content"] = {JSON: {"schema": shown}}
    return {
        "GET": {
            "summary": f"Read a {kind.name}",
            "parameters": [parameter("fields"), *_CONDITIONS],
            "responses": {
                "200": answer(f"The {kind.name}, or the fields of it that were asked for.", shown, READ),
                "304": _UNCHANGED,
                **_errors(*LIST_ERRORS),
            },
        },
        "HEAD": {
            "summary": f"Look whether a {kind.name} is there",
            "parameters": [parameter("fields"), *_CONDITIONS],
            "responses": {
                "200": answer("It is there.", None, READ),
                "304": _UNCHANGED,
                **_bodiless(*LIST_ERRORS),
            },
        },
        "PUT": {
            "summary": f"Create or replace a {kind.name}",
            "description": "`data` replaces all attributes, `permissions` all permissions; the rest stays.",
            "parameters": _CONDITIONS,
            "requestBody": _body(schema(f"{name}Write"), JSON, required=kind in REQUIRED),
            "responses": {**_object_answers(kind, "200", "201"), **_errors(*WRITE_ERRORS)},
        },
        "PATCH": {
            "summary": f"Change a {kind.name}",
            "description": "Top-level attributes (`application/json`), any depth with null to remove "
            "(`application/merge-patch+json`, RFC 7396), or operations (`application/json-patch+json`, "
            "RFC 6902).",
            "parameters": [parameter("response-behavior"), *_CONDITIONS],
            "requestBody": {
                "required": True,
                "content": {
                    **{name: {"schema": _patch(kind)} for name in (JSON, MERGE_PATCH)},
                    JSON_PATCH: {"schema": schema("JSONPatch")},
                },
            },
            "responses": {"200": patched, **_errors(*WRITE_ERRORS)},
        },
        "DELETE": {
            "summary": f"Delete a {kind.name}",
            "description": "With everything below it. Its tombstone stays, for clients that sync.",
            "parameters": [parameter("tombstone-time"), *_CONDITIONS],
            "responses": {
                "200": answer("What is left of it.", _data(schema("Tombstone")), STAMP),
                **_errors(*LIST_ERRORS, "409"),
            },
        },
    }


def _patch(kind: Kind) -> Part:
    name = kind.name.capitalize()
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "data": {"type": "object", "properties": ATTRIBUTES.get(kind.name, {})},
            "permissions": schema(f"{name}Permissions"),
        },
        "additionalProperties": False,
    }


def json_patch(most: int) -> Part:
    """The schema of a JSON-Patch of so many operations."""
    pointer = {"type": "string", "pattern": "^/(data|permissions)(/.*)?$"}
    return {
        "type": "array",
        "description": "Paths begin with `/data` or `/permissions`; a principal is a key there, as in "
        "`/permissions/read/system.Everyone`.",
        "maxItems": most,
        "items": {
            "type": "object",
            "required": ["op", "path"],
            "properties": {
                "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
                "path": pointer,
                "from": pointer,
                "value": {},
            },
            "additionalProperties": False,
        },
    }


def _bodiless(*statuses: str) -> Part:
    """Errors as the answers to HEAD tell them."""
    return {status: answer(f"See the body of the answer to GET with status {status}.") for status in statuses}
