"""A name for each request, by which what is logged of it can be found again.

The client, or a proxy before the server, may give one in `X-Request-Id`; it is told in the answer.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

from kintoun.http.answers import Answer
from kintoun.http.asgi import Respond
from kintoun.http.requests import Request

HEADER = "X-Request-Id"

_WELL_FORMED = re.compile(r"[A-Za-z0-9._~:@/+=-]{1,128}")

current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""


def request_id(request: Request) -> str:
    """The id that came with a request if it can be one, else a new one."""
    given = request.headers.get("x-request-id")
    if given is not None and _WELL_FORMED.fullmatch(given):
        return given
    return secrets.token_hex(16)


def identified(respond: Respond) -> Respond:
    """As `respond`, with an id for each request, and in each answer."""

    async def with_id(request: Request) -> Answer:
        request.id = request_id(request)
        token = current.set(request.id)
        try:
            answer = await respond(request)
        finally:
            current.reset(token)
        return answer.with_header(HEADER, request.id)

    return with_id


def add_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the id into a line of the log, as `rid`: a processor of structlog."""
    present = current.get()
    if present is not None:
        event["rid"] = present
    return event
