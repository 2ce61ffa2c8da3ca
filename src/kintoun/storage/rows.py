"""What storage takes and gives: rows, clocks, and the questions that one statement answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kintoun.model.paths import ListPath, Path
from kintoun.model.query import Filter, Sort
from kintoun.storage.sources import OBJECTS, Source


class Stored(NamedTuple):
    """The row of an object. `body` is its finished JSON, `grants` the text of its ACL."""

    id: str
    timestamp: int
    deleted: bool
    body: str
    grants: str


class Written(NamedTuple):
    """What a write did: the `row` that stands there now, the one that stood there `before`, a tombstone
    perhaps or None, and `since`, the timestamp (milliseconds) that the list had."""

    row: Stored
    before: Stored | None
    since: int


class Clock(NamedTuple):
    """The row of a list.

    `list` is the list's number, never reused, and None while the list's parent does not exist. `version`
    changes with every change of the list, also with those that leave the timestamp alone. `bytes` is the size
    of the bodies of its live objects. Who has seen the list before `watermark` (milliseconds) can no longer
    be told what was deleted since.
    """

    path: ListPath
    list: int | None
    timestamp: int
    version: int
    live: int
    dead: int
    bytes: int
    watermark: int


class Page(NamedTuple):
    """Which objects of a list, in which order.

    `until` is the highest timestamp (milliseconds) that belongs to the snapshot being paged; `after` holds
    the sort values of the last object already seen; `holders` restricts to objects whose own ACL names one
    of these principals, in one of `permissions` when that is not None. `source` is where the rows stand.
    """

    filters: tuple[Filter, ...]
    sort: tuple[Sort, ...]
    limit: int
    deleted: bool = False
    after: tuple[Any, ...] | None = None
    until: int | None = None
    holders: frozenset[str] | None = None
    permissions: tuple[str, ...] | None = None
    source: Source = OBJECTS


class Wanted(NamedTuple):
    """One question to the store, answered from one snapshot.

    `points` are objects, `principals` those whose groups are looked up, `clock` a list whose row is wanted,
    `page` objects of that list, `total` how many live ones match (its limit and order are ignored).
    """

    points: tuple[Path, ...] = ()
    principals: tuple[str, ...] = ()
    clock: ListPath | None = None
    page: Page | None = None
    total: Page | None = None


class Row(NamedTuple):
    """How a row of a page is laid out. The tag is odd for tombstones.

    Engines return plain sequences of this layout: building objects of a thousand rows that are only passed
    on would cost more than reading them.
    """

    tag: int
    id: str
    timestamp: int
    body: str
    grants: str


@dataclass(slots=True)
class Found:
    """The answer: `points` in the order of the question, None where there is no row.

    `groups` are pairs of a principal and the URI of a group that it is a member of; `rows` are laid out as
    `Row`.
    """

    points: list[Stored | None]
    groups: list[tuple[str, str]]
    clock: Clock | None = None
    rows: Sequence[Row] | None = None
    total: int | None = None


class Conflict(Exception):
    """The engine asks for the transaction to be run again: a deadlock or a failed serialisation."""


class Unavailable(Exception):
    """The engine cannot be reached, or cannot write; the cause says why."""
