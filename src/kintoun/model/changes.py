"""What one write did to one object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from kintoun.model import json
from kintoun.model.paths import Path

Action = Literal["create", "update", "delete"]


class Change(NamedTuple):
    """One object before and after one write.

    The bodies are finished JSON, ids and timestamps included: `old_body` is None for a creation, `new_body`
    the tombstone of a deletion. `grants` is the text of the ACL after the write, `timestamp` the object's new
    timestamp in milliseconds, `user` the id of who wrote, None for anonymous.

    What stood there before has the ACL `old_grants` and the timestamp `old_timestamp`; with a timestamp but
    without a body it was a tombstone. `since` is the timestamp that the list had. They are None where nobody
    said so.
    """

    action: Action
    path: Path
    old_body: str | None
    new_body: str
    grants: str
    timestamp: int
    user: str | None
    old_grants: str | None = None
    old_timestamp: int | None = None
    since: int | None = None

    @property
    def old(self) -> dict[str, Any] | None:
        """The attributes before the write."""
        return json.decode(self.old_body.encode()) if self.old_body is not None else None

    @property
    def new(self) -> dict[str, Any]:
        """The attributes after the write, or the tombstone."""
        attributes: dict[str, Any] = json.decode(self.new_body.encode())
        return attributes


class Event(NamedTuple):
    """Something that a feature tells the others of, beyond the change of an object: a review was requested.

    `name` is qualified, as `kinto_remote_settings.signer.events.ReviewRequested`; `path` is the object that
    it happened to, `timestamp` that object's (milliseconds), `user` the id of who did it. `values` is what
    else there is to say.
    """

    name: str
    path: Path
    timestamp: int
    user: str | None
    values: Mapping[str, Any]
