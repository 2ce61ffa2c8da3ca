"""What the description of the API says of attachments."""

from __future__ import annotations

from typing import Any

Part = dict[str, Any]

_TEXT: Part = {"type": "string"}
_FILE: Part = {
    "filename": _TEXT,
    "mimetype": _TEXT,
    "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256."},
    "size": {"type": "integer", "minimum": 0, "description": "In bytes."},
}
ATTACHMENT: Part = {
    "type": "object",
    "description": "The file as the record tells of it in `attachment`.",
    "required": [*_FILE, "location"],
    "properties": {
        **_FILE,
        "location": {"type": "string", "description": "Below the `base_url` of the capability."},
        "original": {"type": "object", "description": "Before it was compressed.", "properties": _FILE},
    },
}
_ETAG: Part = {"required": True, "schema": {"type": "string", "pattern": '^"-?[0-9]+"$'}}
_CONDITIONS = [{"$ref": f"#/components/parameters/{name}"} for name in ("if-match", "if-none-match")]
_GZIPPED: Part = {
    "name": "gzipped",
    "in": "query",
    "description": "Whether to compress the file; default: as the settings say.",
    "schema": {"type": "string", "enum": ["true", "false"]},
}
_BINARY: Part = {"type": "string", "format": "binary"}


def _errors(*statuses: str) -> Part:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _attached(description: str) -> Part:
    return {
        "description": description,
        "headers": {"ETag": _ETAG, "Location": {"required": True, "schema": _TEXT}},
        "content": {"application/json": {"schema": ATTACHMENT}},
    }


def _attach(summary: str, description: str, content: Part) -> Part:
    return {
        "summary": summary,
        "description": description,
        "parameters": [*_CONDITIONS, _GZIPPED],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _attached("The file of the record that was there."),
            "201": _attached("The file of a new record."),
            **_errors("400", "401", "403", "404", "412"),
            **{
                status: {"description": text}
                for status, text in (
                    ("408", "The body took too long."),
                    ("411", "Nothing tells how long the body is."),
                    ("413", "The form is too large."),
                    ("503", "The file could not be kept."),
                )
            },
        },
    }


_FORM: Part = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["attachment"],
            "properties": {
                "attachment": _BINARY,
                "data": {"type": "string", "description": "Attributes of the record, as JSON."},
                "permissions": {"type": "string", "description": "Permissions on the record, as JSON."},
            },
        }
    }
}
_REFUSED: Part = {status: {"description": "Refused."} for status in ("400", "401", "403", "404")}
_MOVED: Part = {
    "description": "Where the file is.",
    "headers": {"ETag": _ETAG, "Location": {"required": True, "schema": _TEXT}},
}

OPERATIONS: dict[str, Part] = {
    "POST": _attach(
        "Attach a file",
        "In a form, with attributes of the record and permissions on it. They are merged into a record that "
        "is there; one that is not is created.",
        _FORM,
    ),
    "PUT": _attach(
        "Attach the body as a file",
        "Its name is the `filename` of Content-Disposition; a Content-Digest is checked.",
        {"*/*": {"schema": _BINARY}},
    ),
    "GET": {
        "summary": "Find a record's file",
        "responses": {"302": _MOVED, **_errors("401", "403", "404")},
    },
    "HEAD": {"summary": "Ask where a record's file is", "responses": {"302": _MOVED, **_REFUSED}},
    "DELETE": {
        "summary": "Remove a file",
        "description": "The record stays, and its `attachment` is null.",
        "parameters": _CONDITIONS,
        "responses": {
            "204": {"description": "The record has no file.", "headers": {"ETag": _ETAG}},
            **_errors("401", "403", "404", "412"),
        },
    },
}
