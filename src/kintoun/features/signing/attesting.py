"""A manifest for every publication, signed as its content is, and its entry in the publication log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kintoun.features.signing.publication_log import append, head, last_manifest
from kintoun.features.signing.publishing import Published, Sign
from kintoun.features.signing.review import Metadata
from kintoun.model import json, timestamps
from kintoun.model.canonical import canonical
from kintoun.resources.context import Work
from kintoun.signatures.manifest import ATTRIBUTE, Manifest, Refused, following, read
from kintoun.signatures.message import Message
from kintoun.storage import Store

DAY = 86_400_000
RENEWED_BEFORE = 0.5
"""The share of a manifest's life that is left when it is made anew."""


class Attestation:
    """What manifests add to publications."""

    fields: Sequence[str] = (ATTRIBUTE,)

    def __init__(self, store: Store, sign: Sign, days: float) -> None:
        """`days` is how long a manifest is believed."""
        self._store = store
        self._sign = sign
        self._lifetime = int(days * DAY)

    async def attest(self, published: Published) -> Mapping[str, Any]:
        """The manifest. Nothing is locked: a plan that others have overtaken is not committed."""
        bucket, collection = published.target.ids
        before = await last_manifest(self._store.fetch, bucket, collection)
        manifest = following(
            _parsed(before),
            bucket,
            collection,
            timestamp=published.timestamp,
            content=published.digest,
            log=(await head(self._store.fetch)).hash,
            now=timestamps.now(),
            lifetime=self._lifetime,
        )
        signatures = await self._sign(published.source, Message(manifest.signed()))
        return {ATTRIBUTE: {**manifest.as_json(), "signatures": [dict(each) for each in signatures]}}

    async def record(self, work: Work, published: Published, metadata: Metadata) -> None:
        """Enter the publication, in the name of who asked for it."""
        manifest = canonical(metadata[ATTRIBUTE]).decode()
        bucket, collection = published.target.ids
        append(work.unit, work.context.author, published.step.name.lower(), bucket, collection, manifest)

    def outdated(self, metadata: Metadata) -> bool:
        """Whether what is published needs another manifest: it has none, or half of its time is over."""
        try:
            manifest, _ = read(metadata.get(ATTRIBUTE))
        except Refused:
            return True
        return manifest.expires - timestamps.now() < self._lifetime * RENEWED_BEFORE


def _parsed(text: str | None) -> Manifest | None:
    return None if text is None else read(json.decode(text.encode()))[0]
