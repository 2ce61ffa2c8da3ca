"""What those who follow a published collection are told of its manifest: which state of it this is."""

from __future__ import annotations

from typing import Any

from kintoun.model import json
from kintoun.signatures.manifest import ATTRIBUTE, Manifest, Refused, read

EVENT = "manifest"

_MARK = f'"{ATTRIBUTE}"'


def manifest_of(body: str) -> Manifest | None:
    """The manifest in a collection's metadata; None when there is none that clients could read."""
    if _MARK not in body:
        return None
    metadata: Any = json.decode(body.encode())
    try:
        return read(metadata.get(ATTRIBUTE))[0]
    except Refused:
        return None


def told(manifest: Manifest) -> str:
    """The data of the event; what proves it stands in the metadata."""
    return json.encode_text(
        {"version": manifest.version, "timestamp": manifest.timestamp, "expires": manifest.expires}
    )
