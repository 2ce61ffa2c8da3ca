"""How a list's changes look to those who ask the same of it: encoded once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from kintoun.features.live import manifests
from kintoun.features.live.events import event, place_of, position
from kintoun.model import json
from kintoun.model.fields import Fields
from kintoun.model.filters import matches
from kintoun.model.query import Filter

if TYPE_CHECKING:
    from kintoun.signatures.manifest import Manifest
    from kintoun.storage.rows import Row

Form = Literal["plain", "named", "timestamps"]
"""Objects as they are; objects with the list that they stand in; nothing but the list's timestamp."""


class Segment(NamedTuple):
    """What changed in a list after `start`, up to and including `end`, in the order of timestamps.

    `until` is 0 when that is all that was committed by then, else the timestamp that the rest leads up to.
    `manifest` is that of the published collection, when readers are to be told which it has by then.
    """

    start: int
    end: int
    until: int
    rows: Collection[Row]
    manifest: Manifest | None = None

    def size(self) -> int:
        """About how many bytes it holds."""
        return sum(len(row[3]) for row in self.rows)


class Look(NamedTuple):
    """What is asked of a list.

    `principals` are those of a reader who sees only what its own ACL shows, None for one who sees all;
    `seen_by` the permissions that do, None for any.
    """

    path: str
    filters: tuple[Filter, ...] = ()
    fields: Fields | None = None
    principals: frozenset[str] | None = None
    seen_by: tuple[str, ...] | None = None
    form: Form = "plain"

    def render(self, segment: Segment, own: Own | None = None, *, fresh: bool = False) -> bytes:
        """The events of a segment; nothing when there are none.

        `own` is for readers who see only their own objects of those in the segment. A `fresh` reader has
        nothing that it would have to drop.
        """
        # It is the collection's, and who sees only some records may not read that.
        manifest = segment.manifest if self.principals is None else None
        if self.form == "timestamps":
            return self._timestamp(segment.end, manifest)
        events = self._events(segment.rows, own, fresh)
        if manifest is not None:
            events.insert(0, (manifests.told(manifest), manifests.EVENT))
        if not events:
            return b""
        if self.form == "plain":
            data, name = events[-1]
            last = event(data, name, place_of((position(segment.end, segment.until),)))
            return ("".join([event(*each) for each in events[:-1]]) + last).encode()
        return "".join([event(self._named(data), name) for data, name in events]).encode()

    def _timestamp(self, timestamp: int, manifest: Manifest | None) -> bytes:
        data: dict[str, Any] = {"list": self.path, "last_modified": timestamp}
        if manifest is not None:
            data["version"] = manifest.version
        return event(json.encode_text(data)).encode()

    def _named(self, data: str) -> str:
        return f'{{"list":{json.encode_text(self.path)},"data":{data}}}'

    def _events(self, rows: Iterable[Row], own: Own | None, fresh: bool) -> list[tuple[str, str | None]]:
        if own is None and not self.filters and self.fields is None:
            return [(row[3], None) for row in rows]
        events: list[tuple[str, str | None]] = []
        for row in rows:
            if own is not None and not own.shows(row):
                if own.loses(row):
                    events.append(_gone(row))
                continue
            shown = self._shown(row)
            if shown is not None:
                events.append((shown, None))
            elif not fresh:
                events.append(_gone(row))
        return events

    def _shown(self, row: Row) -> str | None:
        """The object as it is shown; None when the filters keep it back."""
        if not self.filters and self.fields is None:
            return row[3]
        content: Any = json.decode(row[3].encode())
        if not matches(self.filters, content):
            return None
        if self.fields is None or row[0] & 1:  # a tombstone is shown whole
            return row[3]
        return json.encode_text(self.fields.apply(content))


def _gone(row: Row) -> tuple[str, str | None]:
    """What is told of an object that is not, or no longer, among those that a reader asked for."""
    if row[0] & 1:
        return row[3], None
    return json.encode_text({"id": row[1], "last_modified": row[2]}), "left"


class Own:
    """What readers who see only their own objects of a list see of it.

    `known` are the objects that they were shown, `visible` the timestamps of those that they may see now, of
    the ones that changed.
    """

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.visible: Mapping[str, int] = {}

    def shows(self, row: Row) -> bool:
        """Whether a row is to be shown; one that has changed again meanwhile will be later."""
        if self.visible.get(row[1]) != row[2]:
            return False
        self.known.add(row[1])
        return True

    def loses(self, row: Row) -> bool:
        """Whether they saw an object that they may not see any more."""
        if row[1] in self.visible or row[1] not in self.known:
            return False
        self.known.discard(row[1])
        return True


class Follower(Protocol):
    """Somebody who is sent what a view shows."""

    def push(self, segment: Segment, data: bytes) -> None:
        """Send it what comes next. Whoever is not where the segment begins has been sent it already."""
        ...

    def lose(self) -> None:
        """It cannot be told what changed: start over."""
        ...

    def doubt(self) -> None:
        """It has to be looked at whether it may still follow."""
        ...


class View:
    """Those who follow a list with the same question."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.followers: set[Follower] = set()
        self.own: Own | None = None
        """Of readers who do not see all; None before it is known what they see."""
        self.emptied = False
        """Whether they lost their last object with what was rendered last, and with it perhaps all rights."""

    def render(self, segment: Segment, visible: Mapping[str, int] | None) -> bytes | None:
        """What the followers are sent of a segment; None when they cannot be told and start over.

        `visible` are the timestamps of what they may see, for those who do not see all.
        """
        if self.look.principals is not None:
            if self.own is None or visible is None:
                for follower in tuple(self.followers):
                    follower.lose()
                return None
            self.own.visible = visible
            had = bool(self.own.known)
            data = self.look.render(segment, self.own)
            self.emptied = had and not self.own.known
            return data
        return self.look.render(segment)
