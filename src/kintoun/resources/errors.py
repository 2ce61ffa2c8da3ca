"""The errors that several handlers give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kintoun.http.negotiation import accepts
from kintoun.http.requests import Request
from kintoun.model.errors import (
    CHANGES_FORGOTTEN,
    INVALID_RESOURCE_ID,
    MISSING_RESOURCE,
    Detail,
    InvalidParameters,
    ProtocolError,
    invalid,
)
from kintoun.model.paths import Path

JSON_ONLY = ("application/json",)
PATCH_TYPES = (*JSON_ONLY, "application/json-patch+json", "application/merge-patch+json")


def unknown_object(path: Path) -> ProtocolError:
    """404: there is no such object."""
    return ProtocolError(404, INVALID_RESOURCE_ID, details={"id": path.id, "resource_name": path.kind.name})


def unknown_parent(path: Path) -> ProtocolError:
    """404: what the URL's object would stand in does not exist."""
    return ProtocolError(404, MISSING_RESOURCE, details={"id": path.id, "resource_name": path.kind.name})


def changes_forgotten(watermark: int) -> ProtocolError:
    """410: not all deletions since the time asked for are known; the same request will never succeed."""
    return ProtocolError(
        410,
        CHANGES_FORGOTTEN,
        "What was deleted since then is no longer known: fetch the whole list, and drop what is not in it.",
        details={"watermark": watermark},
        headers=(("Cache-Control", "no-cache, no-store, must-revalidate"),),
    )


def ill_formed_id() -> InvalidParameters:
    """400: no object can have the id of the URL or of the body."""
    return invalid("path", None, "Invalid object id")


def check_accept(request: Request) -> None:
    """Refuse with 406 a caller that does not take JSON (protocol section 1.1)."""
    accept = request.headers.get("accept")
    if accept is None or accept in ("*/*", "application/json") or not accept.strip():
        return
    if not accepts(accept, "application/json"):
        wrong = f"Accept header should be one of {list(JSON_ONLY)}"
        raise InvalidParameters(Detail("header", "Accept", wrong), status=406)


def check_content_type(request: Request) -> None:
    """Refuse with 415 a body of another type than the method takes (protocol section 1.1)."""
    if request.headers.get("content-type") == "application/json":
        return
    given = request.media_type
    known = PATCH_TYPES if request.method == "PATCH" else JSON_ONLY
    if given and given not in known:
        raise InvalidParameters(
            Detail("header", "Content-Type", f"Content-Type header should be one of {list(known)}"),
            status=415,
        )


def collect(*checks: Callable[[], Any]) -> list[Any]:
    """The results of several checks of one request, or one error that tells all that is wrong."""
    wrong: list[Detail] = []
    results: list[Any] = []
    for check in checks:
        try:
            results.append(check())
        except InvalidParameters as error:
            wrong.extend(error.broken)
    if wrong:
        raise InvalidParameters(*wrong)
    return results
