"""What anybody gets of a published collection, verified by nothing of what published it."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import httpx

from kintoun.signatures import chain, content_signature
from tests.support.servers import Server

SECONDS = 60
SUFFIX = "content-signature.mozilla.org"


def changeset(server: Server, bucket: str, collection: str, **query: Any) -> dict[str, Any]:
    """What anybody gets of a collection."""
    path = f"{server.url}/buckets/{bucket}/collections/{collection}/changeset"
    answer = httpx.get(path, params={"_expected": 0, **query}, timeout=SECONDS).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def verified(server: Server, bucket: str, collection: str, signer: str = "remote-settings") -> dict[str, Any]:
    """All of a collection, after its signature has proved good for the root in the server's directory.

    `signer` is the first label of the name of who signs it.
    """
    found = changeset(server, bucket, collection)
    signed = {
        "data": sorted(found["changes"], key=itemgetter("id")),
        "last_modified": str(found["timestamp"]),
    }
    data = json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()
    (signature,) = found["metadata"]["signatures"]
    with urllib.request.urlopen(signature["x5u"], timeout=SECONDS) as answer:
        certificates = chain.parse(answer.read())
    (root,) = chain.parse((server.directory / "pki" / "root.pem").read_bytes())
    name = f"{signer}.{SUFFIX}"
    key = chain.verify(certificates, name, {chain.fingerprint(root)}, datetime.now(UTC))
    content_signature.verify(key, data, signature["signature"])
    return found
