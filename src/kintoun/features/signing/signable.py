"""Which records can be signed: every client makes the same bytes of them (signing sections 3.2, 3.4)."""

from __future__ import annotations

import secrets
from typing import Any

from kintoun.model.canonical import NotCanonical, canonical
from kintoun.model.errors import INVALID_POSTED_DATA, ProtocolError

RESERVED = "field 'deleted' cannot be signed: clients take it for a deletion"
TIMESTAMP = "last_modified"

_STAND_IN = secrets.randbelow(9 * 10**14) + 10**14
"""In the place of a timestamp: a number that nobody knows, so that no record has it anywhere else."""


def fragment(record: dict[str, Any]) -> bytes:
    """The canonical form of a record. Raises ProtocolError when there is none."""
    if "deleted" in record:
        raise ProtocolError(400, INVALID_POSTED_DATA, RESERVED)
    try:
        return canonical(record)
    except NotCanonical as error:
        raise ProtocolError(400, INVALID_POSTED_DATA, str(error)) from error


class Content:
    """What a record says, whenever that is written and wherever: all of it but its timestamp."""

    __slots__ = ("_around", "attributes")

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes
        self._around: tuple[str, str] | None = None

    def fragment(self, timestamp: int) -> str:
        """The canonical form under a timestamp (milliseconds). Raises ProtocolError when there is none."""
        if self._around is None:
            self._around = self._canonical()
        before, after = self._around
        return f"{before}{timestamp}{after}"

    def _canonical(self) -> tuple[str, str]:
        """What stands before the timestamp, and what after it."""
        text = fragment({**self.attributes, TIMESTAMP: _STAND_IN}).decode()
        before, _, after = text.partition(str(_STAND_IN))
        return before, after
