"""Copying what a Kinto keeps into an empty database, in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kintoun.features.accounts import MASK
from kintoun.model import json, timestamps
from kintoun.model.kinds import ACCOUNT, GROUP, Kind
from kintoun.model.paths import CREDENTIALS, ROOT_LISTS, ListPath
from kintoun.model.permissions import NO_GRANTS, acl_text, parse_acl
from kintoun.operations import Refused
from kintoun.operations.kinto_source import KintoObject, KintoSource, Piece
from kintoun.storage import schema
from kintoun.storage.engine import Transaction, Writes
from kintoun.storage.outgoing import digest
from kintoun.storage.rows import Clock

MEMBER_COLUMNS = ("principal", "list", "id")
BEGUN = 2
"""A version that no list has before something was written to it."""

KNOWN_ACLS = 50_000
"""ACLs that are remembered as written already."""

_ENTRY = "INSERT INTO acl_entry (principal, permission, acl) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_CLOCK = (
    "INSERT INTO clock (path, bucket, list, ts, version, live, dead, bytes, watermark)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"
)


class Converted(NamedTuple):
    """An object of Kinto's as it is kept here; `members` are those of a group, `hashed` an account's hash."""

    id: str
    timestamp: int
    deleted: bool
    attributes: dict[str, Any]
    grants: str
    members: frozenset[str] = frozenset()
    hashed: str | None = None


class Converter:
    """Converts the objects of one list, which come newest first."""

    def __init__(self, path: ListPath) -> None:
        self._path = path
        self._last: int | None = None
        self.moved = 0
        """How many timestamps were moved by a millisecond or more, because another object bears them."""

    def convert(self, found: KintoObject) -> Converted:
        """The object as it is kept here. Raises Refused when it is no JSON that can be kept."""
        timestamp = found.timestamp
        if self._last is not None and timestamp >= self._last:
            timestamp = self._last - 1
            self.moved += 1
        self._last = timestamp
        if found.deleted:
            attributes = {"id": found.id, "last_modified": timestamp, "deleted": True}
            return Converted(found.id, timestamp, True, attributes, NO_GRANTS)
        try:
            attributes = json.decode(found.data.encode(), max_depth=900)
        except json.InvalidJSON as error:
            raise Refused(f"{self._path.object(found.id)}: {error.description}") from error
        kind = self._path.kind
        hashed = None
        if kind is ACCOUNT and isinstance(attributes.get("password"), str):
            hashed, attributes["password"] = attributes["password"], MASK
        members = frozenset(_texts(attributes.get("members"))) if kind is GROUP else frozenset[str]()
        attributes["id"] = found.id
        attributes["last_modified"] = timestamp
        grants = acl_text(_permitted(kind, found.grants))
        return Converted(found.id, timestamp, False, attributes, grants, members, hashed)


@dataclass
class Copied:
    """What was copied, in numbers; `objects` by the name of their kind."""

    objects: dict[str, int] = field(default_factory=dict)
    tombstones: int = 0
    lists: int = 0
    moved: int = 0
    credentials: int = 0
    dropped_grants: int = 0


class Copy:
    """The copy of one snapshot into one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.report = Copied()
        self._roots: dict[ListPath, Clock] = {}
        self._clock: Clock | None = None
        self._converter: Converter | None = None
        self._clocks: list[Clock] = []
        self._credentials = Clock(CREDENTIALS, 0, timestamps.now(), 0, 0, 0, 0, 0)
        self._acls: set[str] = set()

    async def begin(self) -> None:
        """Look at the target. Raises Refused when it has objects, or lists of any."""
        if await self._transaction.fetch("SELECT 1 FROM object LIMIT 1"):
            raise Refused("the database has objects already: migrate into an empty one")
        for clock in await self._transaction.lock([str(path) for path in ROOT_LISTS], ()):
            self._roots[clock.path] = clock
        others = await self._transaction.fetch("SELECT count(*) FROM clock")
        if others[0][0] > len(ROOT_LISTS):
            raise Refused("the database has lists already: migrate into an empty one")
        self._credentials = self._roots[CREDENTIALS]

    async def take(self, piece: Piece) -> None:
        """Write a piece."""
        if self._clock is None or self._clock.path != piece.path:
            self._next_list(piece)
        clock, converter = self._clock, self._converter
        assert clock is not None
        assert clock.list is not None
        assert converter is not None
        converted = [converter.convert(obj) for obj in piece.objects]
        await self._write_objects(clock.list, converted)
        live = sum(not obj.deleted for obj in converted)
        name = piece.path.kind.name
        self.report.objects[name] = self.report.objects.get(name, 0) + live
        self.report.tombstones += len(converted) - live
        self.report.dropped_grants += sum(
            len(principals)
            for obj in piece.objects
            for permission, principals in obj.grants.items()
            if permission not in piece.path.kind.permissions
        )
        if piece.path.kind is ACCOUNT:
            await self._write_credentials(converted)

    def _next_list(self, piece: Piece) -> None:
        self._finish_list()
        path = piece.path
        root = self._roots.get(path)
        number = root.list if root is not None else secrets.randbits(62) + 1
        newest = piece.objects[0].timestamp if piece.objects else None
        known = [stamp for stamp in (piece.timestamp, newest) if stamp is not None]
        # No list begins here: lists of the past must not take it for the whole of its history.
        self._clock = Clock(path, number, max(known, default=timestamps.now()), BEGUN, 0, 0, 0, 0)
        self._converter = Converter(path)
        self.report.lists += 1

    def _finish_list(self) -> None:
        if self._clock is not None and self._converter is not None:
            self._clocks.append(self._clock)
            self.report.moved += self._converter.moved

    async def _write_objects(self, number: int, converted: Iterable[Converted]) -> None:
        rows, members, entries = [], [], []
        for obj in converted:
            body = json.encode_text(obj.attributes)
            rows.append(
                (number, obj.id, obj.timestamp, int(obj.deleted), body, obj.grants, digest(obj.grants))
            )
            members += [(principal, number, obj.id) for principal in sorted(obj.members)]
            if obj.grants not in self._acls:
                self._acls.add(obj.grants)
                entries += list(acl_entries(obj.grants))
            self._count(obj.deleted, len(body.encode()))
        if len(self._acls) > KNOWN_ACLS:
            self._acls.clear()
        if entries:
            await self._transaction.execute_many(_ENTRY, entries)
        await self._transaction.append("object", schema.OBJECT_COLUMNS, rows)
        if members:
            await self._transaction.append("member", MEMBER_COLUMNS, members)
        if len(self._clocks) > KNOWN_ACLS // 10:
            await self._write_clocks()

    def _count(self, deleted: bool, size: int) -> None:
        clock = self._clock
        assert clock is not None
        if deleted:
            self._clock = clock._replace(dead=clock.dead + 1)
        else:
            self._clock = clock._replace(live=clock.live + 1, bytes=clock.bytes + size)

    async def _write_credentials(self, converted: Iterable[Converted]) -> None:
        clock = self._credentials
        number = clock.list
        rows = []
        for obj in converted:
            if obj.hashed is None:
                continue
            stamp = timestamps.following(clock.timestamp, timestamps.now())
            body = json.encode_text({"hash": obj.hashed, "id": obj.id, "last_modified": stamp})
            rows.append((number, obj.id, stamp, 0, body, NO_GRANTS, digest(NO_GRANTS)))
            clock = clock._replace(
                timestamp=stamp, live=clock.live + 1, bytes=clock.bytes + len(body), version=clock.version + 1
            )
        self._credentials = clock
        self.report.credentials += len(rows)
        await self._transaction.append("object", schema.OBJECT_COLUMNS, rows)

    async def _write_clocks(self) -> None:
        await self._transaction.write(Writes(clocks=self._clocks))
        self._clocks = []

    async def finish(self, source: KintoSource) -> None:
        """Write what is known only at the end: the clocks, those of lists without a parent included."""
        self._finish_list()
        self._clocks.append(self._credentials)
        await self._write_clocks()
        lost: list[tuple[Any, ...]] = []
        async for path, stamp in source.lost_timestamps():
            lost.append(schema.clock_row(Clock(path, None, stamp, 0, 0, 0, 0, 0)))
            if len(lost) >= KNOWN_ACLS // 10:
                await self._transaction.execute_many(_CLOCK, lost)
                lost = []
        if lost:
            await self._transaction.execute_many(_CLOCK, lost)


def acl_entries(grants: str) -> Iterator[tuple[str, str, bytes]]:
    """The entries of an ACL, as rows of their table."""
    name = digest(grants)
    for permission, principals in parse_acl(grants).items():
        for principal in sorted(principals):
            yield principal, permission, name


def _permitted(kind: Kind, grants: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: principals for name, principals in grants.items() if name in kind.permissions}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
