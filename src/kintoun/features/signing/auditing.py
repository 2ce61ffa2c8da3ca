"""Auditing the publication log in the database: its chain, its signatures, and that it has what is served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from kintoun.features.signing.publication_log import page
from kintoun.features.signing.resources import Resources
from kintoun.model import json
from kintoun.signatures.manifest import ATTRIBUTE, Manifest, Refused, Signatures, read
from kintoun.signatures.publication_log import Auditor, Problem
from kintoun.signatures.trust import Trust, Unchecked, roots_of
from kintoun.storage import Fetch

AT_ONCE = 1000

_METADATA = (
    "SELECT k.bucket, o.id, o.body FROM clock k JOIN object o ON o.list = k.list"
    " WHERE k.path = '/buckets/' || k.bucket || '/collections' AND o.deleted = 0"
)
_CHAINS = "SELECT digest, pem FROM chain"


async def audit(
    fetch: Fetch, resources: Resources, copy: Mapping[int, str] | None = None
) -> AsyncIterator[Problem]:
    """All that is wrong with the log; `copy` has the hashes of an older copy, by number.

    Signatures are checked by the chains that this server serves. Those of others are left to whoever knows
    their roots: see `kintoun log verify`.
    """
    chains = await chains_of(fetch)
    trust = Trust(lambda url: chains.get(digest_in(url)), roots_of(chains.values()))

    def believe(data: bytes, signatures: Signatures, at: int) -> None:
        try:
            trust.believe(data, signatures, at)
        except Unchecked:
            return

    auditor = Auditor(believe, copy)
    after = 0
    while entries := await page(fetch, after, AT_ONCE):
        for entry in entries:
            for problem in auditor.add(entry):
                yield problem
        after = entries[-1].number
    for problem in auditor.end(await served(fetch, resources)):
        yield problem


async def chains_of(fetch: Fetch) -> dict[str, bytes]:
    """The chains that this server serves, by their SHA-256 digests in hexadecimal."""
    return {digest: pem.encode() for digest, pem in await fetch(_CHAINS)}


def digest_in(url: str) -> str:
    """The digest of a chain of this server, by its URL."""
    return url.rpartition("/")[2].partition(".")[0]


async def served(fetch: Fetch, resources: Resources) -> list[Manifest]:
    """The manifests that clients are given now. One that cannot be read is told of its collection."""
    found = []
    for bucket, collection, body in await fetch(_METADATA):
        if resources.target(bucket, collection) is not None:
            with suppress(Refused):
                found.append(read(json.decode(body.encode()).get(ATTRIBUTE))[0])
    return found
