"""The parts that operations share: schemas, headers, parameters, answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kintoun.model.errors import (
    BACKEND,
    CHANGES_FORGOTTEN,
    CLIENT_REACHED_CAPACITY,
    CONSTRAINT_VIOLATED,
    FORBIDDEN,
    INVALID_PARAMETERS,
    INVALID_RESOURCE_ID,
    METHOD_NOT_ALLOWED,
    MISSING_AUTH_TOKEN,
    MISSING_RESOURCE,
    MODIFIED_MEANWHILE,
    REQUEST_TOO_LARGE,
    SERVICE_DEPRECATED,
    UNDEFINED,
    VERSION_NOT_AVAILABLE,
)
from kintoun.model.kinds import Kind
from kintoun.model.timestamps import EARLIEST, LATEST
from kintoun.model.tokens import MAX_TEXT
from kintoun.settings import Settings

Part = dict[str, Any]

TAG_PATTERN = r'^"-?[0-9]+"$'
CONDITION_PATTERN = r'^("[0-9]{1,18}"|\*)$'
INT64 = {"minimum": -(2**63), "maximum": 2**63 - 1}


def schema(name: str) -> Part:
    """A reference to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def header(name: str) -> Part:
    return {"$ref": f"#/components/headers/{name}"}


def parameter(name: str) -> Part:
    return {"$ref": f"#/components/parameters/{name}"}


def error(name: str) -> Part:
    """A reference to one of the answers that many operations give."""
    return {"$ref": f"#/components/responses/{name}"}


# Headers

HEADERS: dict[str, Part] = {
    "ETag": {
        "description": "The timestamp of the object or the list, between double quotes.",
        "required": True,
        "schema": {"type": "string", "pattern": TAG_PATTERN},
    },
    "Last-Modified": {
        "description": "The same timestamp as an HTTP date, cut to seconds.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Cache-Control": {
        "description": "`max-age` where anonymous answers may be kept, else `no-cache, no-store`.",
        "schema": {"type": "string"},
    },
    "Expires": {"description": "Goes with a `max-age`.", "schema": {"type": "string"}},
    "Next-Page": {
        "description": "The absolute URL of the next page; absent on the last one.",
        "schema": {"type": "string", "format": "uri"},
    },
    "Total-Objects": {
        "description": "How many objects match, tombstones and pages aside.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "Total-Records": {
        "description": "The former name of `Total-Objects`.",
        "deprecated": True,
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {
        "description": "How to say who one is.",
        "schema": {"type": "string"},
    },
    "Allow": {
        "description": "The methods of this URL; absent while the server is read-only.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the request is sent again.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "Location": {
        "description": "The absolute URL to go to.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Backoff": {
        "description": "Seconds that clients should wait between requests, while the server is busy.",
        "schema": {"type": "string", "pattern": "^[0-9.]+$"},
    },
    "Alert": {
        "description": "JSON: the service, or a parameter, will end (`soft-eol`) or has (`hard-eol`).",
        "schema": {"type": "string"},
    },
    "Access-Control-Expose-Headers": {
        "description": "The headers that scripts of other origins may read.",
        "required": True,
        "schema": {"type": "string"},
    },
    "X-Content-Type-Options": {"required": True, "schema": {"type": "string", "const": "nosniff"}},
    "Content-Security-Policy": {"required": True, "schema": {"type": "string"}},
}

ALWAYS = (
    "Backoff",
    "Alert",
    "Access-Control-Expose-Headers",
    "X-Content-Type-Options",
    "Content-Security-Policy",
)
STAMP = ("ETag", "Last-Modified")
READ = (*STAMP, "Cache-Control", "Expires")


def answer(description: str, body: Part | None = None, headers: Iterable[str] = ()) -> Part:
    """An answer with the headers that every answer has, and others; `body` is the schema of its JSON."""
    made: Part = {
        "description": description,
        "headers": {name: header(name) for name in (*headers, *ALWAYS)},
    }
    if body is not None:
        made["content"] = {"application/json": {"schema": body}}
    return made


# Errors

_ERRORS: dict[str, tuple[str, Sequence[int], Sequence[str]]] = {
    "400": (
        "Something in the request breaks a rule; `details` names each place.",
        (INVALID_PARAMETERS,),
        (),
    ),
    "401": (
        "Anonymous callers may not do this.",
        (MISSING_AUTH_TOKEN, UNDEFINED),
        ("WWW-Authenticate",),
    ),
    "403": ("The caller may not do this.", (FORBIDDEN,), ()),
    "404": (
        "There is no such object (110), or no such URL or parent (111), or no such version (116).",
        (INVALID_RESOURCE_ID, MISSING_RESOURCE, VERSION_NOT_AVAILABLE),
        (),
    ),
    "405": (
        "The URL has no such method, it is switched off, or the server is read-only.",
        (METHOD_NOT_ALLOWED,),
        ("Allow",),
    ),
    "406": ("The caller takes no JSON.", (INVALID_PARAMETERS,), ()),
    "409": (
        "Another object of the list has the timestamp that the request chose.",
        (CONSTRAINT_VIOLATED,),
        ("Retry-After",),
    ),
    "410": (
        "The service has ended, or not all deletions since `_since` are known any more.",
        (SERVICE_DEPRECATED, CHANGES_FORGOTTEN),
        (),
    ),
    "412": (
        "`If-Match` or `If-None-Match` is not met; `details.existing` is the object that is there.",
        (MODIFIED_MEANWHILE,),
        STAMP,
    ),
    "413": ("The body is too large.", (REQUEST_TOO_LARGE,), ()),
    "414": ("The URL is too long.", (INVALID_PARAMETERS,), ()),
    "415": ("The body is of a type that the method does not take.", (INVALID_PARAMETERS,), ()),
    "429": (
        "Too many wrong passwords, or too many passwords at once.",
        (CLIENT_REACHED_CAPACITY,),
        ("Retry-After",),
    ),
    "500": ("A mistake of the server's.", (UNDEFINED,), ()),
    "503": ("The database cannot be reached or written.", (BACKEND,), ("Retry-After",)),
}


def error_answers() -> dict[str, Part]:
    """The answers that tell of errors, by status."""
    made = {}
    for status, (description, errnos, headers) in _ERRORS.items():
        told = {
            "allOf": [
                schema("Error"),
                {"properties": {"code": {"const": int(status)}, "errno": {"enum": list(errnos)}}},
            ]
        }
        made[status] = answer(description, told, headers)
    return made


# Parameters


def _query(name: str, description: str, spec: Part, **more: Any) -> Part:
    return {"name": name, "in": "query", "description": description, "schema": spec, **more}


def _header(name: str, description: str, spec: Part) -> Part:
    return {"name": name, "in": "header", "description": description, "schema": spec}


def parameters(settings: Settings) -> dict[str, Part]:
    """The parameters that many operations take."""
    limits = settings.limits
    page = min(limits.page_size or limits.fetch_size, limits.fetch_size)
    time = {"type": "integer", "minimum": 0, "maximum": LATEST}
    condition = {"type": "string", "pattern": CONDITION_PATTERN}
    return {
        "limit": _query(
            "_limit",
            f"The most objects in the answer: {page} at most, and by default.",
            {"type": "integer", "minimum": 0, "maximum": 2**53},
        ),
        "token": _query(
            "_token",
            "Where the page begins: comes from `Next-Page`, good for the same filters and order.",
            {"type": "string", "maxLength": MAX_TEXT},
        ),
        "sort": _query(
            "_sort",
            "Fields to sort by, with commas between them, `-` before those to reverse. Else newest first.",
            {"type": "string"},
            example="-last_modified",
        ),
        "fields": _query(
            "_fields",
            "Fields to show, with commas between them; dots descend into objects. "
            "`id` and `last_modified` always are.",
            {"type": "string"},
        ),
        "since": _query(
            "_since",
            "Only what was changed after this timestamp, deletions included. An ETag can be given as it is.",
            {"oneOf": [time, {"type": "string", "pattern": r'^"[0-9]{1,13}"$'}]},
        ),
        "before": _query("_before", "Only what was changed before this timestamp, deletions included.", time),
        "to": _query("_to", "The former name of `_before`.", time, deprecated=True),
        "filters": _query(
            "filters",
            "Any other parameter filters by a field of that name: `title=Dune`, `age=7`, `author.name=Le`. "
            "Values are JSON where they can be, else text. A prefix compares otherwise: `not_` `lt_` `max_` "
            "`gt_` `min_`, `in_` and `exclude_` (values between commas), `like_` (text with `*`), "
            "`has_` (true or false), `contains_` and `contains_any_` (on arrays). Filters on `last_modified` "
            "show deletions.",
            {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": limits.filters},
            style="form",
            explode=True,
        ),
        "if-match": _header(
            "If-Match", "Only if this is the present ETag; `*`: if there is anything.", condition
        ),
        "if-none-match": _header(
            "If-None-Match",
            "Only if this is not the present ETag (304); `*`: if there is nothing (412).",
            condition,
        ),
        "response-behavior": _header(
            "Response-Behavior",
            "What of the patched object to answer with: all of it, the submitted fields that changed, or "
            "those that came out otherwise than submitted.",
            {"type": "string", "enum": ["full", "light", "diff"], "default": "full"},
        ),
        "tombstone-time": _query(
            "last_modified", "The timestamp that the deletion is given; the next one by default.", time
        ),
    }


# Schemas


def schemas(settings: Settings, kinds: Iterable[Kind]) -> dict[str, Part]:
    """The schemas that are not of one kind of objects."""
    made: dict[str, Part] = {
        "Error": ERROR,
        "Timestamp": {
            "type": "integer",
            "description": "Milliseconds since the epoch, growing with every change of the list.",
            "minimum": EARLIEST,
            "maximum": LATEST,
        },
        "Tombstone": {
            "type": "object",
            "description": "What is left of a deleted object.",
            "required": ["id", "last_modified", "deleted"],
            "properties": {
                "id": {"type": "string"},
                "last_modified": schema("Timestamp"),
                "deleted": {"const": True},
            },
            "additionalProperties": False,
        },
    }
    for kind in kinds:
        made[f"{kind.name.capitalize()}Permissions"] = permissions(kind, settings)
    return made


ERROR: Part = {
    "type": "object",
    "required": ["code", "errno", "error"],
    "properties": {
        "code": {"type": "integer", "description": "The HTTP status."},
        "errno": {
            "type": "integer",
            "description": "What went wrong, as a number that never changes its meaning.",
        },
        "error": {"type": "string"},
        "message": {"type": "string"},
        "info": {"type": "string", "description": "Where to read more."},
        "details": {
            "oneOf": [
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["location", "name", "description"],
                        "properties": {
                            "location": {"enum": ["body", "querystring", "header", "path"]},
                            "name": {"type": ["string", "null"]},
                            "description": {"type": "string"},
                        },
                    },
                },
                {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string"},
                        "resource_name": {"type": "string"},
                        "existing": {"type": "object"},
                    },
                },
            ]
        },
    },
    "additionalProperties": False,
}


def permissions(kind: Kind, settings: Settings) -> Part:
    """The permissions of an object of a kind, by name."""
    principals = {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "maxItems": settings.limits.principals,
    }
    return {
        "type": "object",
        "description": "Who may do what with the object. Shown to who may write it, else empty.",
        "properties": dict.fromkeys(kind.permissions, principals),
        "additionalProperties": False,
    }
