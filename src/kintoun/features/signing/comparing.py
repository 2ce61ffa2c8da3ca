"""What differs between a source and what is published of it (signing section 9)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kintoun.features.signing.reading import Candidate, Role
from kintoun.features.signing.signable import TIMESTAMP, Content
from kintoun.model import json
from kintoun.model.tuples import made
from kintoun.storage.rows import Stored

_IGNORED = (TIMESTAMP, "schema")
ATTACHMENT = "attachment"


class Difference(NamedTuple):
    """What a record has to become, None when it has to go, and the row `before` in its place.

    `more` is by how much there will be more live records: 1, 0 or -1.
    """

    id: str
    content: Content | None
    before: Stored | None
    more: int


def differences(found: Iterable[Candidate], wanted: Role, *present: Role) -> list[list[Difference]]:
    """For each of several roles, what has to happen for its records to become those of another.

    Timestamps do not count, and neither does `schema`, which says by which schema a record was checked.
    """
    changes: list[list[Difference]] = [[] for _ in present]
    for candidate in found:
        row = candidate.live(wanted)
        content = _content(row) if row is not None else None
        for role, differing in zip(present, changes, strict=True):
            other = candidate.live(role)
            if content is None and other is None:
                continue
            if content is None or other is None or not _same(content, other):
                more = int(content is not None) - int(other is not None)
                before: Stored | None = getattr(candidate, role)
                differing.append(made(Difference, (candidate.id, content, before, more)))
    return changes


def review_digest(published: str, changes: Sequence[Difference]) -> str:
    """What names the changes that a review is about, made to what has the digest `published`."""
    digest = hashlib.sha256(published.encode())
    for name, content, _, _ in sorted(changes, key=lambda change: change.id):
        compared = None if content is None else sorted(_compared(content.attributes).items())
        digest.update(json.encode([name, compared]) + b"\n")
    return digest.hexdigest()


def _content(row: Stored) -> Content:
    """What is to be published of a record: a file that was taken away is not.

    There are clients that pass over `"attachment": null`, and then find another signature than ours.
    """
    attributes = json.decode_stored(row.body)
    del attributes[TIMESTAMP]
    if attributes.get(ATTACHMENT, "") is None:
        del attributes[ATTACHMENT]
    return Content(attributes)


def _same(content: Content, row: Stored) -> bool:
    return json.equal(_compared(content.attributes), _compared(json.decode_stored(row.body)))


def _compared(attributes: dict[str, Any]) -> dict[str, Any]:
    """What counts of a record."""
    return {
        name: value
        for name, value in attributes.items()
        if name not in _IGNORED and not (name == ATTACHMENT and value is None)
    }
