"""Auditing the publication log in the database: its chain, its signatures, and that it has what is served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from kintoun.features.signing.publication_log import page
from kintoun.features.signing.resources import Resources
from kintoun.model import json
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.elsewhere import Elsewhere
from kintoun.signatures.manifest import ATTRIBUTE, Manifest, Refused, Signatures, read
from kintoun.signatures.publication_log import Auditor, Entry, Problem
from kintoun.signatures.trust import Trust, Unchecked, roots_of
from kintoun.storage import Fetch

AT_ONCE = 1000

_METADATA = (
    "SELECT k.bucket, o.id, o.body FROM clock k JOIN object o ON o.list = k.list"
    " WHERE k.path = '/buckets/' || k.bucket || '/collections' AND o.deleted = 0"
)
_CHAINS = "SELECT digest, pem FROM chain"


async def audit(
    fetch: Fetch,
    resources: Resources,
    copy: Mapping[int, str] | None = None,
    elsewhere: Elsewhere | None = None,
) -> AsyncIterator[Problem]:
    """All that is wrong with the log; `copy` has the hashes of an older copy, by number.

    Signatures are checked by the chains that this server serves, and by those of others that `elsewhere`
    still gets: what is no longer published, no client asks the chain of.
    """
    chains = await chains_of(fetch)
    others: dict[str, bytes] = {}
    roots = roots_of(chains.values())
    trust = Trust(lambda url: chains.get(digest_in(url)) or others.get(url), roots)

    def believe(data: bytes, signatures: Signatures, at: int) -> None:
        try:
            trust.believe(data, signatures, at)
        except Unchecked:
            return

    auditor = Auditor(believe, copy)
    after = 0
    while entries := await page(fetch, after, AT_ONCE):
        if elsewhere is not None:
            await _get(elsewhere, entries, chains, others)
            roots |= roots_of(others.values())
        for entry in entries:
            for problem in auditor.add(entry):
                yield problem
        after = entries[-1].number
    for problem in auditor.end(await served(fetch, resources)):
        yield problem


async def _get(
    elsewhere: Elsewhere, entries: Sequence[Entry], chains: Mapping[str, bytes], others: dict[str, bytes]
) -> None:
    """Get the chains of entries that this server does not serve."""
    for url in sorted({url for entry in entries for url in _urls(entry)} - others.keys()):
        if digest_in(url) not in chains:
            with suppress(InvalidSignature, Unchecked):
                others[url] = await elsewhere.read(url)


def _urls(entry: Entry) -> list[str]:
    """Where the chains of an entry's manifest are; of one that cannot be read, something else is told."""
    try:
        _, signatures = read(json.decode(entry.manifest.encode()))
    except (json.InvalidJSON, Refused):
        return []
    return [str(each["x5u"]) for each in signatures if each.get("x5u")]


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
