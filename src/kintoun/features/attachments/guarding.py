"""What clients may write into `attachment` by the record API."""

from __future__ import annotations

from typing import Any

from kintoun.features.attachments.privacy import Private
from kintoun.features.attachments.uploads import FILE
from kintoun.files import Files
from kintoun.model import json
from kintoun.model.changes import Change
from kintoun.model.errors import UNDEFINED, ProtocolError, invalid
from kintoun.resources.context import Work

_MARK = f'"{FILE}"'
_RECORD_API = frozenset(("record-object", "record-plural"))
"""What copies records by itself, as publishing and restoring do, goes by other endpoints."""

_KNOWN = "SELECT l.sha256, b.size FROM location l JOIN blob b ON b.sha256 = l.sha256 WHERE l.location = $1"


class Guard:
    """A file is changed by its own endpoint; the record API copies what it says, and drops it."""

    def __init__(self, files: Files, private: Private, *, allow_foreign: bool) -> None:
        self._files = files
        self._private = private
        self._allow_foreign = allow_foreign

    async def check(self, work: Work, change: Change) -> None:
        """Refuse a change of what a record says of its file."""
        if change.action == "delete" or _MARK not in change.new_body:
            return
        endpoint = work.context.request.endpoint
        if endpoint is None or endpoint.name not in _RECORD_API:
            return
        new = change.new.get(FILE)
        old = (change.old or {}).get(FILE)
        if not new or json.equal(old, new):
            return
        if old:
            raise ProtocolError(400, UNDEFINED, "Attachment metadata cannot be modified.")
        if not self._allow_foreign and not await self._known(work, new):
            raise invalid("body", f"data.{FILE}", "The attachment is no file of this server")
        if isinstance(new, dict) and isinstance(new.get("location"), str):
            await self._private.admit(work, change.path, self._files.relative(new["location"]))

    async def _known(self, work: Work, attachment: Any) -> bool:
        if not isinstance(attachment, dict) or not isinstance(attachment.get("location"), str):
            return False
        location = self._files.relative(attachment["location"])
        rows = await work.unit.transaction.fetch(_KNOWN, (location,))
        return bool(rows) and [attachment.get("hash"), attachment.get("size")] == list(rows[0])
