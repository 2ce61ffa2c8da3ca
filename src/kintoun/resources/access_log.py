"""One line in the log for each answer, with the fields that Kinto gives them.

No header but the name and the language of the client is logged, no body, and of the query string no value
that may be a credential.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import structlog

from kintoun.http.answers import JSON, Answer
from kintoun.http.requests import Request

log = structlog.get_logger()

MOST_CHARACTERS = 1000
"""Of a path, a query string or the name of a program."""

_SECRET = re.compile(
    r"(?i)((?:^|[&;])[^=&;]*(?:token|code|state|secret|pass|key|auth|sign|session|cred)[^=&;]*=)[^&;]*"
)


def log_access(request: Request, answer: Answer, user: str | None, seconds: float) -> None:
    """Log an answer: an observer of requests."""
    fields: dict[str, Any] = {
        "method": request.method[:MOST_CHARACTERS],
        "path": request.raw_path[:MOST_CHARACTERS],
        "code": answer.status,
        "errno": _errno(answer),
        "t": round(seconds * 1000, 3),
        "uid": user,
        "agent": request.headers.get("user-agent", "")[:MOST_CHARACTERS],
        "lang": request.headers.get("accept-language", "")[:MOST_CHARACTERS],
    }
    if request.query:
        fields["querystring"] = redacted(request.query)
    if request.in_batch:
        fields["batch"] = True
    log.info("request.summary", **{name: value for name, value in fields.items() if value not in (None, "")})


def redacted(query: bytes) -> str:
    """A query string without the values that may be credentials."""
    return _SECRET.sub(r"\1…", query.decode("latin-1"))[:MOST_CHARACTERS]


class _Error(msgspec.Struct):
    errno: int = 0


def _errno(answer: Answer) -> int:
    """The number of the error that an answer tells of; 0 for none."""
    if answer.status < 400 or answer.media_type != JSON:
        return 0
    try:
        return msgspec.json.decode(answer.body, type=_Error).errno
    except msgspec.DecodeError:
        return 0
