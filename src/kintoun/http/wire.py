"""What every answer has on the wire, whatever it answers (protocol sections 1.1, 1.3 and 1.6)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from kintoun.http.answers import JSON, Answer, Streamed
from kintoun.http.cors import EXPOSED, Cors
from kintoun.http.requests import Request
from kintoun.model import json

CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "


@dataclass(frozen=True, slots=True)
class Wire:
    """What a deployment puts on every answer."""

    cors: Cors
    backoff: str | None = None
    backoff_percentage: int | None = None
    alert: str | None = None

    def backs_off(self) -> bool:
        """Whether this answer is one of those that ask the client to come less often."""
        return self.backoff_percentage is None or random.randrange(100) < self.backoff_percentage  # noqa: S311


_ALWAYS = {
    name: (
        ("Access-Control-Expose-Headers", exposed),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    )
    for name, exposed in EXPOSED.items()
}


_ALWAYS_JSON = {
    name: json.encode({**dict(headers), "Content-Length": ""})[1:-2] for name, headers in _ALWAYS.items()
}
"""The same as members of a JSON object, up to the value of Content-Length."""


def complete_json(wire: Wire, request: Request, answer: Answer) -> bytes:
    """All headers of an answer, as a JSON object."""
    plain = answer.media_type == JSON and answer.status not in (204, 304) and answer.policy is None
    if not plain or wire.backoff is not None or "origin" in request.headers or isinstance(answer, Streamed):
        return json.encode(dict(complete(wire, request, answer)))
    own = json.encode(dict(answer.headers))[:-1]
    comma = b"," if len(own) > 1 else b""
    length = b'%d","Content-Type":"application/json"}' % len(answer.body)
    return own + comma + _ALWAYS_JSON[answer.exposed] + length


def complete(wire: Wire, request: Request, answer: Answer) -> list[tuple[str, str]]:
    """All headers of an answer."""
    headers = [*answer.headers, *_ALWAYS[answer.exposed]]
    if not isinstance(answer, Streamed):
        headers.append(("Content-Length", str(len(answer.body))))
    elif answer.length is not None:
        headers.append(("Content-Length", str(answer.length)))
    if answer.status not in (204, 304):
        headers.append(("Content-Type", answer.media_type))
    if answer.policy is not None:
        headers[len(answer.headers) + 2] = ("Content-Security-Policy", answer.policy)
    origin = request.headers.get("origin")
    if origin is not None and wire.cors.allows(origin):
        headers.append(("Access-Control-Allow-Origin", wire.cors.allow_origin(origin)))
        if not wire.cors.any:
            headers.append(("Vary", "Origin"))
    if wire.backoff is not None and wire.backs_off():
        headers.append(("Backoff", wire.backoff))
    if wire.alert is not None and not request.in_batch:
        headers.append(("Alert", wire.alert))
    return headers
