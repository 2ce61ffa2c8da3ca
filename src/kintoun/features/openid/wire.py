"""Asking a provider over HTTP, within bounds of time and size.

Nothing but URLs of the settings, and those that their discovery documents name, is ever asked; no redirect is
followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple

import httpx

CONNECTIONS = 20
"""Connections of one worker to all providers together."""


_PLAIN = "identity"
# What is compressed tells its size only when it is too late.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": _PLAIN}


class Unavailable(Exception):
    """The provider cannot be reached, or answers what is no answer; the message says what happened."""


class Reply(NamedTuple):
    """An answer of a provider that came in time and was not too long."""

    status: int
    body: bytes


class Wire:
    """The client of one worker, for all its providers."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def ask(
        self,
        method: str,
        url: str,
        *,
        seconds: float,
        most: int,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
    ) -> Reply:
        """The answer to a request, in `seconds` and of at most `most` bytes; raises Unavailable without one.

        Answers that are the provider's fault (5xx, and redirects) are none.
        """
        arguments: dict[str, Any] = {"headers": {**_HEADERS, **(headers or {})}}
        if form is not None:
            arguments["data"] = dict(form)
        if basic is not None:
            arguments["auth"] = basic
        try:
            async with asyncio.timeout(seconds), self._open().stream(method, url, **arguments) as response:
                status = response.status_code
                if 300 <= status < 400 or status >= 500:
                    raise Unavailable(f"answers {status}")
                if response.headers.get("content-encoding", _PLAIN) != _PLAIN:
                    raise Unavailable("answers in a compressed form, which was not asked for")
                body = bytearray()
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > most:
                        raise Unavailable(f"answers more than {most} bytes")
                return Reply(status, bytes(body))
        except TimeoutError as error:
            raise Unavailable(f"does not answer within {seconds} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}"[:300]) from error

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
            self._client = httpx.AsyncClient(
                limits=limits,
                timeout=None,  # noqa: S113 - `ask` has one
                transport=self._transport,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        return self._client

    async def close(self) -> None:
        """Close the connections; a later question opens them again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
