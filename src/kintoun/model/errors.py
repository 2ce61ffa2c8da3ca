"""The errors of the protocol: an HTTP status, an errno, and what was wrong (protocol section 1.4)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

MISSING_AUTH_TOKEN = 104
INVALID_PARAMETERS = 107
INVALID_POSTED_DATA = 109
INVALID_RESOURCE_ID = 110
MISSING_RESOURCE = 111
REQUEST_TOO_LARGE = 113
MODIFIED_MEANWHILE = 114
METHOD_NOT_ALLOWED = 115
VERSION_NOT_AVAILABLE = 116
CLIENT_REACHED_CAPACITY = 117
FORBIDDEN = 121
CONSTRAINT_VIOLATED = 122
CHANGES_FORGOTTEN = 123
BACKEND = 201
SERVICE_DEPRECATED = 202
UNDEFINED = 999


class ProtocolError(Exception):
    """An answer that is not a success.

    `status` is the HTTP status, `errno` the protocol's own code, `message`, `details` and `info` are left out
    of the body when None. `headers` are added to the answer.
    """

    def __init__(
        self,
        status: int,
        errno: int,
        message: str | None = None,
        *,
        error: str | None = None,
        details: Any = None,
        info: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message or HTTPStatus(status).phrase)
        self.status = status
        self.errno = errno
        self.error = error or HTTPStatus(status).phrase
        self.message = message
        self.details = details
        self.info = info
        self.headers = headers

    def body(self) -> dict[str, Any]:
        """The error as the JSON object that clients read."""
        body: dict[str, Any] = {"code": self.status, "errno": self.errno, "error": self.error}
        for key in ("message", "info", "details"):
            value = getattr(self, key)
            if value is not None:
                body[key] = value
        return body


class Detail:
    """One thing wrong with a request: `location` is body, querystring, header or path; `name` the field."""

    __slots__ = ("description", "location", "name")

    def __init__(self, location: str, name: str | None, description: str) -> None:
        self.location = location
        self.name = name
        self.description = description

    def __repr__(self) -> str:
        return f"Detail({self.location!r}, {self.name!r}, {self.description!r})"

    def message(self) -> str:
        """The sentence that stands as the message of the whole error."""
        if self.name is None:
            return f"{self.location}: {self.description}"
        if self.name in self.description:
            return self.description
        return f"{self.name} in {self.location}: {self.description}"


class InvalidParameters(ProtocolError):
    """A request whose headers, query string, body or path break a rule: every broken rule is named."""

    def __init__(self, *details: Detail, status: int = 400) -> None:
        ordered = sorted(details, key=lambda detail: str(detail.name))
        super().__init__(
            status,
            INVALID_PARAMETERS,
            ordered[0].message(),
            error="Invalid parameters",
            details=[{"location": d.location, "name": d.name, "description": d.description} for d in ordered],
        )
        self.broken = tuple(ordered)


def invalid(location: str, name: str | None, description: str) -> InvalidParameters:
    """The error for a single broken rule."""
    return InvalidParameters(Detail(location, name, description))
