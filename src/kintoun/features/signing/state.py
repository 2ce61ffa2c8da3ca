"""What is known of a source beside its metadata: who edited it, what is under review, what its targets hold.

It is an object of a kind that no URL leads to, so that it is written, locked and undone like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kintoun.model import json
from kintoun.model.kinds import BUCKET, Kind
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.storage.rows import Stored
from kintoun.storage.unit import Unit

WORKSPACE = Kind("workspace", "workspaces", BUCKET, (), new_id=None, shared=True)
"""One of these for each source, under the source's id in the source's bucket."""


class Edition(NamedTuple):
    """What a target holds since it was last signed.

    `list` is the number of its list, `timestamp` that list's, `digest` SHA-256 of what was signed, in
    hexadecimal. It has all changes of the source list `source` up to the timestamp `until`, 0 if unknown.
    `number` counts the editions, re-signed ones included.
    """

    list: int
    timestamp: int
    digest: str
    source: int
    until: int
    number: int


class State(NamedTuple):
    """The state of a source; `version` is that of its row, 0 while there is none.

    `editors` changed records since the last approval, `review` is the digest of the changes that somebody
    asked to be reviewed, `editions` stand by the path of the target.
    """

    version: int = 0
    editors: tuple[str, ...] = ()
    review: str | None = None
    editions: Mapping[str, Edition] = {}

    def edition(self, target: Path) -> Edition | None:
        return self.editions.get(str(target))

    async def save(self, unit: Unit, source: Path) -> None:
        """Write the state of a source."""
        attributes: dict[str, Any] = {
            "editors": list(self.editors),
            "review": self.review,
            "editions": {path: edition._asdict() for path, edition in self.editions.items()},
        }
        await unit.put(state_path(source), attributes, NO_GRANTS)


def state_path(source: Path) -> Path:
    """Where the state of a source stands."""
    return Path(WORKSPACE, source.ids)


def states_of(bucket: str) -> ListPath:
    """The list of the states of a bucket's sources."""
    return ListPath(WORKSPACE, (bucket,))


def state_in(row: Stored | None) -> State:
    """The state that a row spells."""
    if row is None or row.deleted:
        return State(row.timestamp if row is not None else 0)
    found = json.decode(row.body.encode())
    editions = {path: Edition(**edition) for path, edition in found["editions"].items()}
    return State(row.timestamp, tuple(found["editors"]), found["review"], editions)
