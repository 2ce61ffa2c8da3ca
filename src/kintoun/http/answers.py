"""An answer as handlers give it."""

from __future__ import annotations

from typing import Any

from kintoun.model import json
from kintoun.model.errors import ProtocolError

Headers = tuple[tuple[str, str], ...]

JSON = "application/json"


class Answer:
    """One answer. `headers` are those that say something of this answer; the wire adds what every answer has.

    `exposed` names the group of headers that scripts of other origins may read: see `cors.EXPOSED`. `policy`
    is a content security policy for pages that need another than nothing at all.
    """

    __slots__ = ("body", "exposed", "headers", "media_type", "policy", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        headers: Headers = (),
        *,
        media_type: str = JSON,
        exposed: str = "plain",
        policy: str | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.media_type = media_type
        self.exposed = exposed
        self.policy = policy

    def with_header(self, name: str, value: str) -> Answer:
        """The same answer with one more header."""
        headers = (*self.headers, (name, value))
        return Answer(
            self.status,
            self.body,
            headers,
            media_type=self.media_type,
            exposed=self.exposed,
            policy=self.policy,
        )


def json_answer(value: Any, status: int = 200, headers: Headers = (), *, exposed: str = "plain") -> Answer:
    """The answer whose body is `value` as JSON."""
    return Answer(status, json.encode(value), headers, exposed=exposed)


def error_answer(error: ProtocolError, *, exposed: str = "plain") -> Answer:
    """The answer that tells of an error."""
    return json_answer(error.body(), error.status, error.headers, exposed=exposed)
