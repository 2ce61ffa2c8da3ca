"""What the API's description says of the streams of several lists."""

from __future__ import annotations

from typing import Any

_REFUSALS = {
    "400": "A parameter is wrong.",
    "401": "The caller is to say who it is.",
    "403": "The caller may not read one of the lists.",
    "404": "There is no such list.",
    "410": "What was deleted since is no longer known.",
    "429": "Too many streams.",
    "503": "The worker has no room for another stream.",
}


def _answer(description: str, media_type: str, kind: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"type": kind}}}}


def _parameter(name: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


_GET: dict[str, Any] = {
    "summary": "Follow several lists",
    "description": "Server-Sent Events: every change of the lists after a place, then those that come.",
    "parameters": [
        _parameter("list", "Paths of lists.", {"type": "array", "items": {"type": "string"}}, required=True),
        _parameter("form", "Objects, or only that a list moved.", {"enum": ["objects", "timestamps"]}),
        _parameter("_since", "The id of an event of such a stream.", {"type": "string"}),
    ],
    "responses": {
        "200": _answer("The stream.", "text/event-stream", "string"),
        **{status: _answer(meaning, "application/json", "object") for status, meaning in _REFUSALS.items()},
    },
}

OPERATIONS = {
    "GET": _GET,
    "HEAD": {
        "summary": "Whether these lists can be followed",
        "parameters": _GET["parameters"],
        "responses": {"200": {"description": "They can."}},
    },
}
