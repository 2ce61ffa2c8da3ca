"""Cross-origin requests (protocol section 1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model.errors import Detail, InvalidParameters, invalid

_PLAIN = ("Content-Type", "Backoff", "Retry-After", "Alert", "Content-Length")
_OBJECT = (
    "Backoff", "Retry-After", "Alert", "Content-Length", "Content-Type", "Last-Modified", "ETag",
    "Cache-Control", "Expires", "Pragma",
)  # fmt: skip
_FILE = (*_OBJECT, "Accept-Ranges", "Content-Encoding", "Content-Range")
_LIST = (*_OBJECT, "Next-Page")
_TOTALS = (*_LIST, "Total-Objects", "Total-Records")

EXPOSED = {
    "plain": ", ".join(_PLAIN),
    "object": ", ".join(_OBJECT),
    "file": ", ".join(_FILE),
    "list": ", ".join(_LIST),
    "totals": ", ".join(_TOTALS),
}
"""The headers that scripts may read, by what an answer is."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Cors:
    """Which origins may read answers."""

    def __init__(self, origins: Sequence[str], max_age: int) -> None:
        self.any = "*" in origins
        self._patterns = tuple(origins)
        self._max_age = str(max_age)

    def allows(self, origin: str) -> bool:
        return self.any or any(fnmatchcase(origin, pattern) for pattern in self._patterns)

    def allow_origin(self, origin: str) -> str:
        """The value of `Access-Control-Allow-Origin` for an origin that is allowed."""
        return "*" if self.any else origin

    def check(self, request: Request) -> None:
        """Refuse a request that comes from an origin that is not allowed."""
        origin = request.headers.get("origin")
        if origin is not None and not self.allows(origin):
            raise invalid("header", "Origin", f"{origin} not allowed")

    def preflight(self, request: Request, endpoint: Endpoint) -> Answer:
        """The answer to OPTIONS: what scripts of the origin may ask for."""
        origin = request.headers.get("origin")
        method = request.headers.get("access-control-request-method")
        wrong = [
            Detail("header", name, "this header is mandatory")
            for name, value in (("Origin", origin), ("Access-Control-Request-Method", method))
            if not value
        ]
        if wrong or origin is None or method is None:
            raise InvalidParameters(*wrong)
        self.check(request)
        if method not in METHODS or (method not in endpoint.methods and method != "OPTIONS"):
            raise invalid("header", "Access-Control-Request-Method", "Method not allowed")
        wanted = request.headers.get("access-control-request-headers", "")
        granted = dict.fromkeys(_exposed_by(endpoint))
        granted.update(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip()))
        return Answer(
            200,
            b"null",
            (
                ("Access-Control-Allow-Methods", ",".join((*endpoint.methods, "OPTIONS"))),
                ("Access-Control-Allow-Headers", ",".join(granted)),
                ("Access-Control-Max-Age", self._max_age),
            ),
        )


def _exposed_by(endpoint: Endpoint) -> tuple[str, ...]:
    if not endpoint.resource:
        return _PLAIN
    return _TOTALS if endpoint.name.endswith("-plural") else _OBJECT
