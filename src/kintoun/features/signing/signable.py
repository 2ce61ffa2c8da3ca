"""Which records can be signed: every client makes the same bytes of them (signing sections 3.2, 3.4)."""

from __future__ import annotations

from typing import Any

from kintoun.model.canonical import NotCanonical, canonical
from kintoun.model.errors import INVALID_POSTED_DATA, ProtocolError

RESERVED = "field 'deleted' cannot be signed: clients take it for a deletion"


def fragment(record: dict[str, Any]) -> bytes:
    """The canonical form of a record. Raises ProtocolError when there is none."""
    if "deleted" in record:
        raise ProtocolError(400, INVALID_POSTED_DATA, RESERVED)
    try:
        return canonical(record)
    except NotCanonical as error:
        raise ProtocolError(400, INVALID_POSTED_DATA, str(error)) from error
