"""Comparing a migrated database with the Kinto that it came from, object by object.

Nothing of the copy is used but how an object is converted: both sides are read again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from kintoun.model import json
from kintoun.model.kinds import ACCOUNT, GROUP
from kintoun.model.paths import CREDENTIALS, ListPath
from kintoun.model.permissions import parse_acl
from kintoun.operations.acls import missing_entries
from kintoun.operations.kinto_copy import Converted, Converter
from kintoun.operations.kinto_source import Piece
from kintoun.storage.engine import Transaction

MOST_FAULTS = 50
"""Differences that are described; those after are counted."""

_CLOCK = "SELECT list, ts, live, dead, bytes FROM clock WHERE path = $1"
_NEWEST = "SELECT id, ts, deleted, body, grants FROM object WHERE list = $1 ORDER BY ts DESC LIMIT $2"
_OLDER = (
    "SELECT id, ts, deleted, body, grants FROM object WHERE list = $1 AND ts < $2 ORDER BY ts DESC LIMIT $3"
)
_REST = "SELECT count(*) FROM object WHERE list = $1 AND ts < $2"
_ALL = "SELECT count(*) FROM object WHERE list = $1"
_MEMBERS = "SELECT principal FROM member WHERE list = $1 AND id = $2 ORDER BY principal"
_HASH = (
    "SELECT o.body FROM object o WHERE o.deleted = 0 AND o.id = $2"
    " AND o.list = (SELECT k.list FROM clock k WHERE k.path = $1)"
)
canonical = msgspec.json.Encoder(order="sorted").encode


@dataclass
class Verified:
    """What was compared, and what differs; `digest` is that of all objects and their permissions."""

    lists: int = 0
    objects: int = 0
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0
    digest: str = ""

    def fault(self, text: str) -> None:
        """Note a difference."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)
        else:
            self.more_faults += 1


@dataclass
class _List:
    """The list that is being compared: its row here, and what Kinto's objects add up to."""

    path: ListPath
    row: Any
    converter: Converter
    expected_timestamp: int | None
    last: int | None = None
    live: int = 0
    dead: int = 0
    bytes: int = 0


class Verification:
    """The comparison of one snapshot of a Kinto with what a transaction sees here."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._digest = blake2b(digest_size=16)
        self._list: _List | None = None
        self.report = Verified()

    async def take(self, piece: Piece) -> None:
        """Compare a piece."""
        if self._list is None or self._list.path != piece.path:
            await self._finish_list()
            rows = await self._transaction.fetch(_CLOCK, (str(piece.path),))
            newest = [piece.objects[0].timestamp] if piece.objects else []
            known = newest if piece.timestamp is None else [piece.timestamp, *newest]
            row = rows[0] if rows else None
            self._list = _List(piece.path, row, Converter(piece.path), max(known, default=None))
        if self._list.row is None or self._list.row[0] is None:
            return
        await self._compare_objects(self._list, [self._list.converter.convert(o) for o in piece.objects])

    async def _compare_objects(self, current: _List, expected: list[Converted]) -> None:
        number = current.row[0]
        if current.last is None:
            found = await self._transaction.fetch(_NEWEST, (number, len(expected)))
        else:
            found = await self._transaction.fetch(_OLDER, (number, current.last, len(expected)))
        if len(found) < len(expected):
            self.report.fault(f"{current.path}: {len(expected) - len(found)} objects are missing")
        for want, have in zip(expected, found, strict=False):
            await self._compare(current, want, have)
            current.last = want.timestamp
            if want.deleted:
                current.dead += 1
            else:
                current.live += 1
                current.bytes += len(have[3].encode())

    async def _compare(self, current: _List, want: Converted, have: Any) -> None:
        place = current.path.object(want.id)
        object_id, timestamp, deleted, body, grants = have
        self.report.objects += 1
        if (object_id, timestamp, bool(deleted)) != (want.id, want.timestamp, want.deleted):
            self.report.fault(
                f"{place}: is {object_id!r} at {timestamp}, should be {want.id!r} at {want.timestamp}"
            )
            return
        expected, stored = canonical(want.attributes), canonical(json.decode(body.encode(), max_depth=900))
        if stored != expected:
            self.report.fault(f"{place}: the attributes differ")
        if parse_acl(grants) != parse_acl(want.grants):
            self.report.fault(f"{place}: the permissions differ")
        self._digest.update(b"%d %d %s\n" % (timestamp, deleted, str(place).encode()))
        self._digest.update(stored + grants.encode())
        if current.path.kind is GROUP and not want.deleted:
            rows = await self._transaction.fetch(_MEMBERS, (current.row[0], want.id))
            if {row[0] for row in rows} != want.members:
                self.report.fault(f"{place}: the members differ")
        if current.path.kind is ACCOUNT and want.hashed is not None:
            rows = await self._transaction.fetch(_HASH, (str(CREDENTIALS), want.id))
            if not rows or json.decode(rows[0][0].encode()).get("hash") != want.hashed:
                self.report.fault(f"{place}: the password's hash differs")

    async def _finish_list(self) -> None:
        current = self._list
        if current is None:
            return
        self.report.lists += 1
        if current.row is None or current.row[0] is None:
            self.report.fault(f"{current.path}: the list is missing")
            return
        number, timestamp, *counts = current.row
        if current.expected_timestamp is not None and timestamp != current.expected_timestamp:
            self.report.fault(
                f"{current.path}: the timestamp is {timestamp}, should be {current.expected_timestamp}"
            )
        if counts != [current.live, current.dead, current.bytes]:
            self.report.fault(
                f"{current.path}: counts {counts} live objects, tombstones and bytes,"
                f" has {[current.live, current.dead, current.bytes]}"
            )
        if current.last is None:
            rest = await self._transaction.fetch(_ALL, (number,))
        else:
            rest = await self._transaction.fetch(_REST, (number, current.last))
        if rest[0][0]:
            self.report.fault(f"{current.path}: has {rest[0][0]} objects that Kinto does not have")

    async def finish(self) -> Verified:
        """Compare what can only be compared as a whole, and report."""
        await self._finish_list()
        for text in await missing_entries(self._transaction):
            self.report.fault(f"permissions {text} cannot be found by their principals")
        self.report.digest = self._digest.hexdigest()
        return self.report
