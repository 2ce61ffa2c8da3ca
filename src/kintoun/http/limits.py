"""What both adapters hold requests to, and what absolute URLs begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from kintoun.model.errors import INVALID_PARAMETERS, REQUEST_TOO_LARGE, ProtocolError, invalid

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class Limits(NamedTuple):
    """The most that a request may send, in bytes, and the seconds that its body may take to arrive."""

    body: int
    url: int
    header: int
    seconds: float

    def check_url(self, size: int) -> None:
        """Refuse a URL that is too long."""
        if size > self.url:
            raise ProtocolError(414, INVALID_PARAMETERS, f"The URL is longer than {self.url} bytes.")

    def read_headers(self, fields: Sequence[tuple[str, str]]) -> dict[str, str]:
        """The headers of a request, by their names. Raises InvalidParameters for one that is too long."""
        headers = dict(fields)
        if len(headers) == len(fields) and sum(map(len, headers.values())) <= self.header:
            return headers
        headers.clear()
        for name, value in fields:
            if len(value) > self.header:
                raise self._too_long(name)
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    def _too_long(self, name: str) -> ProtocolError:
        """The answer to a header that is too long."""
        return invalid("header", name, f"{name} is longer than {self.header} bytes")

    def check_body(self, size: int) -> None:
        """Refuse a body that is, or says that it is, too large."""
        if size > self.body:
            message = f"The request body is larger than {self.body} bytes."
            raise ProtocolError(413, REQUEST_TOO_LARGE, message)

    def too_slow(self) -> ProtocolError:
        """The answer to a body that did not arrive in time."""
        message = f"The request body took longer than {self.seconds:g} seconds."
        return ProtocolError(408, INVALID_PARAMETERS, message)

    def expects_body(self, method: str, headers: Mapping[str, str]) -> bool:
        """Whether there may be a body to read; refuses one that says that it is too large."""
        length = headers.get("content-length")
        if length is None:
            return method in WITH_BODY or "transfer-encoding" in headers
        self.check_body(announced_length(length) or 0)
        return length != "0"


def announced_length(text: str) -> int | None:
    """What a Content-Length says, in bytes; None when it is no number. Beyond 18 digits all are the same."""
    return int(text[:18]) if text.isascii() and text.isdigit() else None


class Base:
    """What absolute URLs begin with: the deployment's own scheme and host, or those of the request."""

    def __init__(self, scheme: str | None, host: str | None) -> None:
        self._scheme = scheme
        self._host = host
        self._made = lru_cache(maxsize=256)(self._make)

    def of(self, scheme: str, headers: Mapping[str, str]) -> str:
        """The scheme and host of a request's URLs. Raises InvalidParameters for a host that is none."""
        return self._made(self._scheme or scheme, self._host or headers.get("host") or "localhost")

    def _make(self, scheme: str, host: str) -> str:
        if not host.isprintable() or not host.isascii():
            raise invalid("header", "Host", "Invalid host")
        return f"{scheme}://{host.removesuffix(DEFAULT_PORTS.get(scheme, ''))}"
