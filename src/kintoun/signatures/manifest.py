"""Manifests: what a content signature leaves open, signed beside it.

The signature of a collection covers its records and their timestamp, and nothing else. Whoever stands between
server and client can give an older state of it, the same state for ever, or another collection, and every
signature is good. A manifest says which collection this is, which state of it, after which other, and until
when; it is signed by the same signers, as content is. Clients that know nothing of manifests pass them by.

`verify` is what a client does, and the reference for clients in other languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal

from kintoun.model.canonical import SAFE_INTEGER, canonical

ATTRIBUTE = "manifest"
"""The attribute of a collection's metadata that has its manifest."""
FORMAT = "kintoun-manifest-1"
"""Stands in what is signed, so that no manifest is ever taken for anything else that is signed."""

Signatures = Sequence[Mapping[str, Any]]
Believe = Callable[[bytes, Signatures, int], None]
"""Raises an exception unless one of the signatures is of these bytes, by who is to sign the collection, with
a chain that is good at a time (milliseconds)."""

Reason = Literal[
    "missing",  # there is none
    "malformed",  # it is no manifest
    "signature",  # nobody who is trusted has signed it
    "collection",  # it is of another collection
    "content",  # it is of other records, or of another timestamp
    "expired",  # it is no longer the present state
    "replayed",  # it is older than what the client has
    "forked",  # the client has something else in its place
]

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Refused(Exception):
    """A manifest that is not to be believed, or that what came with it does not agree with."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Manifest:
    """One state of one published collection.

    `version` grows with every manifest of the collection; it is the time (milliseconds since the epoch) at
    which this one was made, so that it goes on growing when a backup was restored. `timestamp` is that of the
    records, `expires` when the manifest is no longer to be believed, both in milliseconds as well. Digests
    are SHA-256 in hexadecimal: `content` of what the content signature covers, `previous` of the manifest
    before, `log` is the hash of an entry of the publication log, which so is signed with all before it. The
    two are empty where there is none.
    """

    bucket: str
    collection: str
    version: int
    timestamp: int
    expires: int
    previous: str
    content: str
    log: str

    def as_json(self) -> dict[str, Any]:
        """The manifest as clients get it, but for its signatures."""
        return {"format": FORMAT, **asdict(self)}

    def signed(self) -> bytes:
        """What is signed."""
        return canonical(self.as_json())

    def digest(self) -> str:
        """What the next manifest calls this one by."""
        return sha256(self.signed()).hexdigest()


def following(
    before: Manifest | None,
    bucket: str,
    collection: str,
    *,
    timestamp: int,
    content: str,
    log: str,
    now: int,
    lifetime: int,
) -> Manifest:
    """The manifest after another one; `now` and `lifetime` are in milliseconds."""
    return Manifest(
        bucket,
        collection,
        version=now if before is None else max(now, before.version + 1),
        timestamp=timestamp,
        expires=now + lifetime,
        previous="" if before is None else before.digest(),
        content=content,
        log=log,
    )


def read(value: Any) -> tuple[Manifest, Signatures]:
    """A manifest as it is served, and its signatures. Raises Refused (missing, malformed)."""
    if value is None:
        raise Refused("missing", "there is no manifest")
    if not isinstance(value, Mapping) or value.get("format") != FORMAT:
        raise Refused("malformed", f"not a manifest of the format {FORMAT}")
    fields = {name: each for name, each in value.items() if name not in ("format", "signatures")}
    signatures = value.get("signatures")
    if set(fields) != set(Manifest.__slots__):
        raise Refused("malformed", "fields are missing, or there are others")
    if not isinstance(signatures, list) or not all(isinstance(each, Mapping) for each in signatures):
        raise Refused("malformed", "`signatures` is no list of signatures")
    for name in ("version", "timestamp", "expires"):
        number = fields[name]
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= SAFE_INTEGER:
            raise Refused("malformed", f"`{name}` is no time in milliseconds")
    for name in ("bucket", "collection", "previous", "content", "log"):
        if not isinstance(fields[name], str):
            raise Refused("malformed", f"`{name}` is no text")
    for name in ("previous", "content", "log"):
        may_lack = name != "content"
        if not _DIGEST.fullmatch(fields[name]) and not (may_lack and fields[name] == ""):
            raise Refused("malformed", f"`{name}` is no SHA-256 digest")
    return Manifest(**fields), signatures


def verify(
    value: Any,
    bucket: str,
    collection: str,
    *,
    timestamp: int,
    content: bytes,
    known: Manifest | None,
    now: int,
    believe: Believe,
) -> Manifest:
    """The manifest that came with a collection, for the client to remember when it has stored the records.

    `value` is the attribute of the metadata, `timestamp` and `content` (what the content signature is over)
    are those of the records that came with it, `known` is the last manifest of the collection that the client
    believed. Raises Refused, and nothing that came is to be used.
    """
    manifest, signatures = read(value)
    try:
        believe(manifest.signed(), signatures, now)
    except Exception as error:
        raise Refused("signature", f"the manifest is not signed: {error}") from error
    if (manifest.bucket, manifest.collection) != (bucket, collection):
        raise Refused("collection", f"this is {manifest.bucket}/{manifest.collection}")
    if manifest.timestamp != timestamp or manifest.content != sha256(content).hexdigest():
        raise Refused("content", "the records are not those of the manifest")
    if manifest.expires < now:
        raise Refused("expired", "what is served now has not been signed for too long")
    if known is not None:
        _compare(manifest, known)
    return manifest


def _compare(manifest: Manifest, known: Manifest) -> None:
    if manifest.version < known.version or manifest.timestamp < known.timestamp:
        raise Refused("replayed", "this is older than what is here")
    if manifest.version == known.version and manifest != known:
        raise Refused("forked", "there are two manifests of one version")
    if manifest.timestamp == known.timestamp and manifest.content != known.content:
        raise Refused("forked", "there are two contents of one timestamp")
