"""The operations that are not on objects: the root view, the heartbeats, batches, erasure."""

from __future__ import annotations

from typing import Any

from kintoun.features.openapi.components import Part, answer, error, schema
from kintoun.model.batch import METHODS
from kintoun.settings import Settings

Operations = dict[str, dict[str, Any]]

_JSON_OBJECT: Part = {"type": "object"}


def service_operations() -> dict[str, Operations]:
    """The operations of the server's own endpoints, by the endpoint's name and by method."""
    return {
        "hello": _read(
            "What this server is",
            "Its name and version, its settings and capabilities, and who the caller is.",
            schema("Hello"),
            "Cache-Control",
            "Expires",
        ),
        "heartbeat": _heartbeat(),
        "lbheartbeat": _read("Whether the process answers", "", {"type": "object", "maxProperties": 0}),
        "version": _read("Which build this is", "", _JSON_OBJECT),
        "contribute": _read("Where the project lives", "", _JSON_OBJECT),
        "openapi": _read("This document", "OpenAPI 3.1.", _JSON_OBJECT),
        "openapi-page": _page(),
        "batch": {"POST": _batch()},
        "user-data": {
            "DELETE": {
                "summary": "Forget a user",
                "description": "Delete what only this principal may write, and take it out of every other "
                "permission and group. For those to whom the setting `user-data_delete` gives it.",
                "responses": {
                    "200": answer("It is done, even if there was nothing to do.", _JSON_OBJECT),
                    **{status: error(status) for status in ("401", "403", "409")},
                },
            }
        },
    }


def _read(summary: str, description: str, body: Part, *headers: str) -> Operations:
    return {
        "GET": {
            "summary": summary,
            "description": description,
            "responses": {"200": answer(f"{summary}.", body, headers)},
        },
        "HEAD": {"summary": summary, "responses": {"200": answer("As GET, without a body.", None, headers)}},
    }


def _heartbeat() -> Operations:
    checks = {"type": "object", "additionalProperties": {"type": ["boolean", "null"]}}
    made = _read("Whether all that the server needs works", "", checks)
    made["GET"]["responses"]["503"] = answer("Something does not: its check is false.", checks)
    made["HEAD"]["responses"]["503"] = answer("Something does not.")
    return made


def _page() -> Operations:
    return {
        method: {
            "summary": "A page to browse this document",
            "responses": {"200": {"description": "HTML.", "content": {"text/html": {}}}},
        }
        for method in ("GET", "HEAD")
    }


def _batch() -> dict[str, Any]:
    return {
        "summary": "Several requests in one",
        "description": "They run in order, in one transaction; each sees what those before it did. A request "
        "that is refused (4xx) leaves the others alone.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema("Batch")}}},
        "responses": {
            "200": answer("The answers, in the order of the requests.", schema("BatchAnswer")),
            **{status: error(status) for status in ("409", "413", "415")},
        },
    }


def service_schemas(settings: Settings) -> dict[str, Part]:
    """The schemas of the server's own endpoints."""
    item = {
        "method": {"enum": list(METHODS), "default": "GET"},
        "path": {
            "type": "string",
            "pattern": "^/",
            "description": "With or without `/v1`, and with a query string, if any. Not `/batch`.",
        },
        "headers": {
            "type": "object",
            "description": "On top of those of the batch itself.",
            "additionalProperties": {"type": "string"},
        },
        "body": {"type": "object"},
    }
    request: Part = {"type": "object", "properties": item, "additionalProperties": False}
    most = settings.limits.batch_requests
    requests: Part = {"type": "array", "items": {**request, "required": ["path"]}}
    return {
        "Hello": _hello(),
        "Batch": {
            "type": "object",
            "required": ["requests"],
            "properties": {
                "defaults": {**request, "description": "What every request has, unless it says otherwise."},
                "requests": {**requests, "maxItems": most} if most else requests,
            },
            "additionalProperties": False,
        },
        "BatchAnswer": {
            "type": "object",
            "required": ["responses"],
            "properties": {
                "responses": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["path", "status", "headers", "body"],
                        "properties": {
                            "path": {"type": "string"},
                            "status": {"type": "integer"},
                            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                            "body": {"type": ["object", "string", "null"]},
                        },
                    },
                }
            },
        },
    }


def _hello() -> Part:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": [
            "project_name",
            "project_version",
            "http_api_version",
            "project_docs",
            "url",
            "settings",
            "capabilities",
        ],
        "properties": {
            "project_name": text,
            "project_version": text,
            "http_api_version": text,
            "project_docs": text,
            "url": {**text, "format": "uri"},
            "eos": {**text, "description": "The day that the service ends."},
            "settings": {
                "type": "object",
                "required": ["readonly", "batch_max_requests", "explicit_permissions"],
                "properties": {
                    "readonly": {"type": "boolean"},
                    "batch_max_requests": {"type": "integer"},
                    "explicit_permissions": {"type": "boolean"},
                },
            },
            "user": {
                "type": "object",
                "description": "Who the caller is; absent for anonymous ones.",
                "required": ["id", "principals"],
                "properties": {"id": text, "principals": {"type": "array", "items": text}},
            },
            "capabilities": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": ["description", "url"],
                    "properties": {"description": text, "url": text},
                },
            },
        },
    }
