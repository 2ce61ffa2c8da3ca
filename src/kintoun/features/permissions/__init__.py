"""GET /permissions: everything that the caller has a permission on (protocol section 8.6).

The entries are not stored anywhere: they are what the ACLs, the settings and the caller's principals come to.
The database selects, filters and sorts them (`select`), Python builds those of one page (`entries`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kintoun.features.permissions.listing import PATH, get_permissions
from kintoun.http.routing import Endpoint
from kintoun.plugin import Plugin, Registry
from kintoun.resources.cache import Pages

_QUERY = [
    {"$ref": f"#/components/parameters/{name}"} for name in ("limit", "token", "sort", "fields", "filters")
]
_TEXT = {"type": "string"}
_ENTRY = {
    "type": "object",
    "properties": {
        "uri": {"type": "string", "description": "`/` for what may be done at the root."},
        "resource_name": _TEXT,
        "permissions": {"type": "array", "items": _TEXT},
        **dict.fromkeys(("id", "bucket_id", "collection_id", "group_id", "record_id"), _TEXT),
    },
}
_TAG = {"ETag": {"required": True, "schema": {"type": "string", "pattern": '^"[0-9]+"$'}}}
_ENTRIES = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "array", "items": _ENTRY}},
}
_UNCHANGED = {"description": "Nothing changed since the ETag of `If-None-Match`.", "headers": _TAG}
_REFUSED = {status: {"$ref": f"#/components/responses/{status}"} for status in ("401", "403", "406")}
_FAILED = {"description": "The present ETag is not the one demanded.", "headers": _TAG}

OPERATIONS = {
    "GET": {
        "summary": "List what one may do",
        "description": "Every object that the caller has a permission on. Only known fields filter and sort.",
        "parameters": _QUERY,
        "responses": {
            "200": {
                "description": "A page of objects.",
                "headers": {**_TAG, "Next-Page": {"$ref": "#/components/headers/Next-Page"}},
                "content": {"application/json": {"schema": _ENTRIES}},
            },
            "304": _UNCHANGED,
            "412": _FAILED,
            **_REFUSED,
        },
    },
    "HEAD": {
        "summary": "Count what one has permissions on",
        "parameters": _QUERY,
        "responses": {
            "200": {
                "description": "How many there are.",
                "headers": {**_TAG, "Total-Objects": {"$ref": "#/components/headers/Total-Objects"}},
            },
            "304": _UNCHANGED,
            "412": _FAILED,
            **{status: {"description": "Refused."} for status in ("400", "401", "403", "406")},
        },
    },
}


class PermissionsEndpoint(Plugin):
    """The list of what one may do."""

    name = "permissions"

    def setup(self, registry: Registry, settings: Any) -> None:
        answer = partial(get_permissions, Pages(registry.settings.storage.cache_bytes // 4))
        methods = {"HEAD": answer, "GET": answer}
        registry.endpoint(Endpoint("permissions-plural", PATH, methods, resource=True, operations=OPERATIONS))
        registry.capability(
            "permissions_endpoint",
            "The permissions endpoint can be used to list all user objects permissions.",
            f"{registry.settings.project.docs}reference/permissions/",
        )
