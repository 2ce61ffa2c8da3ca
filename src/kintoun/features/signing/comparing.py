"""What differs between a source and what is published of it (signing section 9)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from kintoun.features.signing.reading import Candidate
from kintoun.model import json

Role = Literal["source", "preview", "destination"]

_IGNORED = ("last_modified", "schema")


class Difference(NamedTuple):
    """What a record has to become: its attributes without a timestamp, None when it has to go.

    `more` is by how much there will be more live records: 1, 0 or -1.
    """

    id: str
    attributes: dict[str, Any] | None
    more: int


def differences(found: Iterable[Candidate], wanted: Role, present: Role) -> list[Difference]:
    """What has to happen for the records of one role to become those of another.

    Timestamps do not count, and neither does `schema`, which says by which schema a record was checked.
    """
    changes = []
    for candidate in found:
        body: str | None = getattr(candidate, wanted)
        other: str | None = getattr(candidate, present)
        if body is None:
            if other is not None:
                changes.append(Difference(candidate.id, None, -1))
            continue
        attributes = json.decode(body.encode())
        if other is None or not json.equal(_content(attributes), _content(json.decode(other.encode()))):
            del attributes["last_modified"]
            changes.append(Difference(candidate.id, attributes, int(other is None)))
    return changes


def review_digest(published: str, changes: Sequence[Difference]) -> str:
    """What names the changes that a review is about, made to what has the digest `published`."""
    digest = hashlib.sha256(published.encode())
    for name, attributes, _ in sorted(changes):
        content = None if attributes is None else sorted(_content(attributes).items())
        digest.update(json.encode([name, content]) + b"\n")
    return digest.hexdigest()


def _content(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in _IGNORED}
