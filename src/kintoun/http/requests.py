"""A request as handlers see it, whether it came over the wire or out of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from kintoun.http.incoming import Incoming
    from kintoun.http.routing import Endpoint


class Request:
    """One request.

    `path` is decoded and has the version prefix, `query` is the raw query string, `headers` have lower-case
    names. Where the endpoint takes the body as it arrives, that is `incoming`, and `body` is empty. `base` is
    what the URLs in answers begin with, as `https://example.org`. `in_batch` tells that it came out of one,
    `id` is its name in the log where it has one. `endpoint` is what serves the request and `parameters` are
    the values of its pattern, set when the request is routed. Out of a batch come also the `payload`, which
    is the body decoded, and the `new_id` that an object posted without one will have.
    """

    __slots__ = (
        "base",
        "body",
        "endpoint",
        "headers",
        "id",
        "in_batch",
        "incoming",
        "method",
        "new_id",
        "parameters",
        "path",
        "payload",
        "peer",
        "query",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes = b"",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        base: str = "http://localhost",
        peer: str | None = None,
        in_batch: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body
        self.base = base
        self.peer = peer
        self.in_batch = in_batch
        self.incoming: Incoming | None = None
        self.id: str | None = None
        self.endpoint: Endpoint | None = None
        self.parameters: tuple[str, ...] = ()
        self.payload: Any = None
        self.new_id: str | None = None

    def at(self, path: str, parameters: tuple[str, ...]) -> Request:
        """The same request under another path, routed already."""
        other = Request(
            self.method,
            path,
            self.query,
            self.headers,
            self.body,
            base=self.base,
            peer=self.peer,
            in_batch=self.in_batch,
        )
        other.incoming = self.incoming
        other.endpoint = self.endpoint
        other.parameters = parameters
        other.payload = self.payload
        other.new_id = self.new_id
        return other

    @property
    def raw_path(self) -> str:
        """The path, percent-encoded again."""
        return quote(self.path, safe="/:@!$&'()*+,;=~")

    @property
    def url(self) -> str:
        """The absolute URL of the request, without its query string."""
        return self.base + self.raw_path

    @property
    def media_type(self) -> str:
        """The type of the body in lower case, without parameters; empty when none was said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()
