"""Chains that others serve: fetched as clients do, but only from where the configuration says they are."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import httpx

from kintoun.signatures import chain
from kintoun.signatures.autograph import tls
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.trust import Unchecked

SECONDS = 10.0
"""How long one chain may take."""
PAUSE_SECONDS = 60.0
"""After how long a place that could not be reached is tried again."""
REMEMBERED = 256
"""Chains that are kept: what stands at a URL of one never changes."""


class Place(NamedTuple):
    """A URL, or all that are below one. Chains from there end in `root` (SHA-256), if one is given."""

    url: str
    root: bytes | None = None

    def has(self, url: httpx.URL) -> bool:
        own = httpx.URL(self.url)
        if (own.scheme, own.host, own.port) != (url.scheme, url.host, url.port) or url.userinfo:
            return False
        if ".." in url.path.split("/"):
            return False
        return url == own or url.path.startswith(f"{own.path.rstrip('/')}/")


class Missing(Unchecked):
    """A chain that is not there, though its server answers: no client finds it either."""


class Elsewhere:
    """The chains at some places. Redirects are not followed, and nothing else is ever asked."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._found: OrderedDict[str, bytes] = OrderedDict()
        self._unreachable: dict[Place, tuple[float, str]] = {}

    async def read(self, url: str) -> bytes:
        """The chain (PEM) at a URL. Raises Unchecked, and InvalidSignature for one that is none."""
        known = self._found.get(url)
        if known is not None:
            return known
        place = self._place(url)
        until, reason = self._unreachable.get(place, (0.0, ""))
        if time.monotonic() < until:
            raise Unchecked(reason)
        try:
            pem = await self._fetched(url)
        except (TimeoutError, httpx.HTTPError) as error:
            said = f"within {SECONDS:g} seconds" if isinstance(error, TimeoutError) else f"now: {error}"
            reason = f"the chain at {url} cannot be fetched {said}"
            self._unreachable[place] = time.monotonic() + PAUSE_SECONDS, reason
            raise Unchecked(reason) from error
        _check(pem, place)
        self._found[url] = pem
        if len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        return pem

    def _place(self, url: str) -> Place:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Missing(f"{url!r} is no URL of a chain") from error
        for place in self._places:
            if place.has(parsed):
                return place
        raise Unchecked(f"the chain at {url} is not here, nor where the configuration says chains are")

    async def _fetched(self, url: str) -> bytes:
        context = await asyncio.to_thread(tls)
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(timeout=None, follow_redirects=False, verify=context) as client,  # noqa: S113
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                answer.raise_for_status()
            if answer.status_code != httpx.codes.OK:
                raise Missing(f"GET {url} answers {answer.status_code}")
            parts = bytearray()
            async for part in answer.aiter_raw():
                parts += part
                if len(parts) > chain.MOST_BYTES:
                    break  # which is said of it when it is parsed
            return bytes(parts)


def _check(pem: bytes, place: Place) -> None:
    certificates = chain.parse(pem)
    if not certificates:
        raise InvalidSignature("malformed", "no certificates in PEM")
    if place.root is not None and chain.fingerprint(certificates[-1]) != place.root:
        raise InvalidSignature("root", "the chain ends in another root than the configured one")
