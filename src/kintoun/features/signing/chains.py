"""The chains that clients fetch: kept for ever, at URLs that are made of what they contain.

A client that cannot fetch the chain of a signature may throw away all that it has. So a chain is stored
before the first signature that names it, no chain is ever removed, and its URL always answers the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.model import timestamps
from kintoun.model.errors import MISSING_RESOURCE, ProtocolError
from kintoun.resources.context import Context
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.engine import Transaction

PATH = "/__x5u__/"
EVERYWHERE = frozenset(("", "0.0.0.0", "::", "*"))  # noqa: S104 - recognised, not listened on
REMEMBERED = 64
"""Chains that a worker keeps in memory, of 64 KiB at most."""

MIGRATIONS = (
    (
        # `digest` is SHA-256 of the chain in hexadecimal; `created` and `expires`, when the first of its
        # certificates does, are in milliseconds since the epoch.
        """CREATE TABLE chain (
            digest {text} NOT NULL PRIMARY KEY,
            pem {text} NOT NULL,
            created {int} NOT NULL,
            expires {int} NOT NULL
        )""",
    ),
)

_READ = "SELECT pem FROM chain WHERE digest = $1"
_KEEP = (
    "INSERT INTO chain (digest, pem, created, expires) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT (digest) DO NOTHING"
)
_NAME = re.compile(r"([0-9a-f]{64})\.(?:pem|chain)")

FOREVER = (("Cache-Control", "public, max-age=31536000, immutable"),)
NOT_KEPT = (("Cache-Control", "no-store"),)

OPERATIONS = {
    "GET": {
        "summary": "Read a certificate chain",
        "description": "The chain that a signature's `x5u` names: leaf, intermediate and root, in PEM.",
        "responses": {
            "200": {"description": "The chain. It never changes.", "content": {"text/plain": {}}},
            "404": {"description": "There is no such chain."},
        },
    },
    "HEAD": {
        "summary": "Ask whether there is a certificate chain",
        "responses": {
            "200": {"description": "There is."},
            "404": {"description": "There is none."},
        },
    },
}


class Chains:
    """The chains of this server, in the database for all workers."""

    def __init__(self, store: Store, base: str) -> None:
        """`base` is the URL of the API, as `https://example.org/v1`."""
        self._store = store
        self._base = base
        self._remembered: OrderedDict[str, bytes] = OrderedDict()

    async def keep(self, pem: bytes, expires: int) -> str:
        """Store a chain for ever, and return its URL. `expires` is in milliseconds since the epoch."""
        digest = hashlib.sha256(pem).hexdigest()
        row = (digest, pem.decode("ascii"), timestamps.now(), expires)

        async def keep(transaction: Transaction) -> None:
            await transaction.fetch(_KEEP, row)

        await self._store.transact(keep)
        return f"{self._base}{PATH}{digest}.pem"

    async def read(self, name: str) -> bytes | None:
        """The chain of that file name, or None."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        digest = match[1]
        pem = self._remembered.get(digest)
        if pem is None:
            rows = await self._store.fetch(_READ, (digest,))
            if not rows:
                return None
            pem = rows[0][0].encode()
            self._remembered[digest] = pem
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return pem

    async def answer(self, context: Context, request: Request) -> Answer:
        """GET of a chain, for anybody."""
        pem = await self.read(request.parameters[0])
        if pem is None:
            raise ProtocolError(404, MISSING_RESOURCE, "There is no such chain.", headers=NOT_KEPT)
        return Answer(200, pem, FOREVER, media_type="text/plain; charset=us-ascii")

    def endpoint(self) -> Endpoint:
        """Where clients fetch chains."""
        return Endpoint(
            "x5u", f"{PATH}{{name}}", {"GET": self.answer, "HEAD": self.answer}, operations=OPERATIONS
        )


def base_url(chains_url: str | None, settings: Settings) -> str:
    """The URL of the API below which chains are served, as clients have to call it."""
    if chains_url is not None:
        return chains_url.rstrip("/")
    http, server = settings.http, settings.server
    host = http.public_host
    if host is None:
        own = "127.0.0.1" if server.host in EVERYWHERE else server.host
        host = f"[{own}]:{server.port}" if ":" in own else f"{own}:{server.port}"
    return f"{http.public_scheme or 'http'}://{host}{PREFIX}"
