"""What a Kinto 26 keeps in PostgreSQL, read as a stream of lists from one snapshot.

Its `objects` has buckets, collections, groups, records, accounts and history in one table, by `parent_id`
(a path without object at the root) and `resource_name`; `timestamps` has the timestamps of lists, and
`access_control_entries` who may do what, by the object's path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any, NamedTuple

import asyncpg

from kintoun.features.history.table import HISTORY
from kintoun.model.kinds import ACCOUNT, BUCKET, COLLECTION, GROUP, RECORD, Kind
from kintoun.model.paths import ACCOUNTS, BUCKETS, ListPath
from kintoun.operations import Refused

SCHEMA_VERSION = 26
"""The version of Kinto's storage schema that this reads."""

BATCH = 2000
"""Rows that are in memory at once."""

KINDS: dict[str, Kind] = {kind.name: kind for kind in (BUCKET, COLLECTION, GROUP, RECORD)}

_EPOCH = "(EXTRACT(EPOCH FROM {}) * 1000)::BIGINT"
_ROW = f"parent_id, resource_name, id, {_EPOCH.format('last_modified')} AS ts, deleted, data::text AS data"
_OBJECTS = (
    f"SELECT {_ROW} FROM objects WHERE resource_name IN ('bucket', 'collection', 'group', 'record')"
    " ORDER BY parent_id, resource_name, last_modified DESC, id"
)
_ACCOUNTS = (
    f"SELECT {_ROW} FROM objects WHERE resource_name = 'account' AND parent_id = id"
    " ORDER BY last_modified DESC, id"
)
_HISTORY = (
    f"SELECT {_ROW} FROM objects WHERE resource_name = 'history' AND EXISTS (SELECT 1 FROM objects b"
    " WHERE b.parent_id = '' AND b.resource_name = 'bucket' AND NOT b.deleted"
    " AND '/buckets/' || b.id = objects.parent_id) ORDER BY parent_id, last_modified DESC, id"
)
_HISTORY_TIMESTAMP = (
    f"SELECT {_EPOCH.format('last_modified')} FROM timestamps"
    " WHERE parent_id = $1 AND resource_name = 'history'"
)
_LIVE_BUCKET = (
    "EXISTS (SELECT 1 FROM objects b WHERE b.parent_id = '' AND b.resource_name = 'bucket'"
    " AND NOT b.deleted AND '/buckets/' || b.id = c.parent_id)"
)
_LISTS = f"""
SELECT l.parent_id, l.resource_name, {_EPOCH.format("t.last_modified")} AS ts FROM (
    SELECT '' AS parent_id, 'bucket' AS resource_name
    UNION ALL
    SELECT '/buckets/' || id, name FROM objects, (VALUES ('collection'), ('group')) AS n (name)
    WHERE parent_id = '' AND resource_name = 'bucket' AND NOT deleted
    UNION ALL
    SELECT c.parent_id || '/collections/' || c.id, 'record' FROM objects c
    WHERE c.resource_name = 'collection' AND NOT c.deleted AND {_LIVE_BUCKET}
) l LEFT JOIN timestamps t ON t.parent_id = l.parent_id AND t.resource_name = l.resource_name
ORDER BY l.parent_id COLLATE "C", l.resource_name COLLATE "C"
"""
_ACCOUNTS_TIMESTAMP = (
    f"SELECT max({_EPOCH.format('last_modified')}) FROM timestamps WHERE resource_name = 'account'"
)
_LOST_TIMESTAMPS = (
    f"SELECT parent_id, resource_name, {_EPOCH.format('last_modified')} AS ts FROM timestamps"
    " WHERE resource_name IN ('collection', 'group', 'record') ORDER BY parent_id, resource_name"
)
_GRANTS = (
    "SELECT object_id, permission, principal FROM access_control_entries WHERE object_id = ANY($1::text[])"
)
_OTHERS = (
    "SELECT resource_name, count(*) FROM objects"
    " WHERE resource_name NOT IN ('bucket', 'collection', 'group', 'record', 'account') GROUP BY 1 ORDER BY 1"
)
_STALE_MEMBERS = (
    "SELECT count(*) FROM user_principals u WHERE NOT EXISTS (SELECT 1 FROM objects g"
    " WHERE g.resource_name = 'group' AND NOT g.deleted AND g.parent_id || '/groups/' || g.id = u.principal"
    " AND g.data->'members' ? u.user_id)"
)
_ESTIMATE = "SELECT count(*) FROM objects WHERE resource_name <> 'history' OR $1"


class KintoObject(NamedTuple):
    """An object or a tombstone: its timestamp in milliseconds, its attributes as JSON, its grants."""

    id: str
    timestamp: int
    deleted: bool
    data: str
    grants: dict[str, list[str]]


class Piece(NamedTuple):
    """Some objects of a list, the newest first; a list without objects is one empty piece.

    `timestamp` is what `timestamps` says of the list (milliseconds), None when it says nothing.
    """

    path: ListPath
    timestamp: int | None
    objects: list[KintoObject]


class KintoSource:
    """The databases of a Kinto, as they were at one moment."""

    def __init__(self, storage: Any, permission: Any) -> None:
        self._storage = storage
        self._permission = permission
        self.skipped: Counter[str] = Counter()
        """What the last stream left out, by the reason."""

    @classmethod
    async def open(cls, storage_url: str, permission_url: str | None = None) -> KintoSource:
        """Connect, and begin to read from one snapshot. Raises Refused."""
        storage = await _connect(storage_url)
        try:
            await _check(storage, "storage_schema_version", str(SCHEMA_VERSION), "objects")
            permission = storage
            if permission_url is not None:
                permission = await _connect(permission_url)
            await _check(permission, "permission_schema_version", "2", "access_control_entries")
        except BaseException:
            await storage.close()
            raise
        return cls(storage, permission)

    async def close(self) -> None:
        """Disconnect; nothing was changed."""
        await self._storage.close()
        if self._permission is not self._storage:
            await self._permission.close()

    async def size(self, *, history: bool) -> int:
        """How many objects and tombstones the streams pass, those left out included."""
        return int(await self._storage.fetchval(_ESTIMATE, history))

    async def not_copied(self, *, history: bool) -> dict[str, int]:
        """What else is in the database, by its name, and in what number."""
        rows = await self._storage.fetch(_OTHERS)
        counts = {
            f"objects of the resource {name!r}": int(number)
            for name, number in rows
            if name != "history" or not history
        }
        if self._permission is self._storage:
            stale = int(await self._storage.fetchval(_STALE_MEMBERS))
            if stale:
                counts["memberships of groups that do not name the member"] = stale
        return counts

    async def stream(self) -> AsyncIterator[Piece]:
        """Every list whose parent is there, in one order, with all its objects."""
        self.skipped.clear()
        async for piece in self._accounts():
            yield piece
        lists = self._lists()
        current, begun = await anext(lists, None), False
        async for batch in self._batches(_OBJECTS):
            for key, rows in groupby(batch, key=lambda row: (row[0], row[1])):
                while current is not None and current[0] < key:
                    if not begun and (empty := self._piece(current, [])) is not None:
                        yield empty
                    current, begun = await anext(lists, None), False
                if current is None or current[0] != key:
                    self.skipped["objects whose parent is not there"] += len(list(rows))
                    continue
                begun = True
                if (piece_of := self._piece(current, [row[2] for row in rows])) is not None:
                    yield piece_of
        while current is not None:
            if not begun and (empty := self._piece(current, [])) is not None:
                yield empty
            current, begun = await anext(lists, None), False

    async def history(self) -> AsyncIterator[Piece]:
        """The entries of the history of every bucket that is there and has any, the newest first."""
        async for batch in self._batches(_HISTORY):
            for parent, rows in groupby(batch, key=lambda row: row[0]):
                bucket = parent.removeprefix("/buckets/")
                entries = [row[2] for row in rows]
                if BUCKET.accepts(bucket):
                    timestamp = await self._storage.fetchval(_HISTORY_TIMESTAMP, parent)
                    yield self._sound(Piece(ListPath(HISTORY, (bucket,)), timestamp, entries))

    async def lost_timestamps(self) -> AsyncIterator[tuple[ListPath, int]]:
        """The timestamps in `timestamps` of every list below a bucket, whether or not its parent is there."""
        async for row in self._storage.cursor(_LOST_TIMESTAMPS, prefetch=BATCH):
            path = list_path(row[0], row[1])
            if path is not None:
                yield path, int(row[2])

    async def _accounts(self) -> AsyncIterator[Piece]:
        """Every account has a list of its own there; here they are one."""
        timestamp = await self._storage.fetchval(_ACCOUNTS_TIMESTAMP)
        begun = False
        async for batch in self._batches(_ACCOUNTS):
            begun = True
            yield self._sound(Piece(ACCOUNTS, timestamp, [row[2] for row in batch]))
        if not begun:
            yield Piece(ACCOUNTS, timestamp, [])

    async def _lists(self) -> AsyncIterator[tuple[tuple[str, str], int | None]]:
        async for row in self._storage.cursor(_LISTS, prefetch=BATCH):
            yield (row[0], row[1]), row[2]

    async def _batches(self, sql: str) -> AsyncIterator[list[tuple[str, str, KintoObject]]]:
        cursor = await self._storage.cursor(sql)
        while rows := await cursor.fetch(BATCH):
            uris = [_uri(row[0], row[1], row[2]) for row in rows]
            grants: dict[str, dict[str, list[str]]] = {}
            for uri, permission, principal in await self._permission.fetch(_GRANTS, uris):
                grants.setdefault(uri, {}).setdefault(permission, []).append(principal)
            yield [
                (row[0], row[1], KintoObject(row[2], row[3], row[4], row[5], grants.get(uri, {})))
                for row, uri in zip(rows, uris, strict=True)
            ]

    def _piece(self, current: tuple[tuple[str, str], int | None], objects: list[KintoObject]) -> Piece | None:
        (parent, name), timestamp = current
        path = list_path(parent, name)
        if path is None:
            self.skipped["objects below an id that is not well formed"] += len(objects)
            return None
        return self._sound(Piece(path, timestamp, objects))

    def _sound(self, piece: Piece) -> Piece:
        """The piece without objects whose id is not well formed: no URL leads to them."""
        accepts = piece.path.kind.accepts
        sound = [obj for obj in piece.objects if accepts(obj.id)]
        if len(sound) < len(piece.objects):
            self.skipped["objects whose id is not well formed"] += len(piece.objects) - len(sound)
        return piece._replace(objects=sound)


def list_path(parent: str, name: str) -> ListPath | None:
    """The list of Kinto's `parent_id` and `resource_name`; None when an id in it is not well formed."""
    kind = KINDS[name]
    if kind is BUCKET:
        return BUCKETS if parent == "" else None
    parts = parent.split("/")[1:]
    above = kind.lineage[:-1]
    if parts[0::2] != [step.plural for step in above] or len(parts) != 2 * len(above):
        return None
    ids = tuple(parts[1::2])
    sound = all(step.accepts(each) for step, each in zip(above, ids, strict=True))
    return ListPath(kind, ids) if sound else None


def _uri(parent: str, name: str, object_id: str) -> str:
    if name == ACCOUNT.name:
        return f"/accounts/{object_id}"
    if name == HISTORY.name:
        return f"{parent}/history/{object_id}"
    return f"{parent}/{name}s/{object_id}"


async def _connect(url: str) -> Any:
    scheme, separator, rest = url.partition("://")
    if scheme.partition("+")[0] not in ("postgresql", "postgres") or not separator:
        raise Refused("the URL of Kinto's database must begin with postgresql://")
    try:
        connection = await asyncpg.connect(f"postgresql://{rest}", timeout=30)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise Refused(f"Kinto's database cannot be reached: {error}") from error
    await connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return connection


async def _check(connection: Any, name: str, expected: str, table: str) -> None:
    """Refuse a database that is not that of a Kinto 26."""
    missing = [
        each
        for each in (table, "metadata")
        if await connection.fetchval("SELECT to_regclass($1)", each) is None
    ]
    if missing:
        raise Refused(f"this is not the database of a Kinto: it has no table {missing[0]!r}")
    found = {row[0] for row in await connection.fetch("SELECT value FROM metadata WHERE name = $1", name)}
    if expected not in found:
        known = ", ".join(sorted(found)) or "not there"
        raise Refused(
            f"{name} is {known}, and must be {expected}: run `kinto migrate` of Kinto 26 there first"
        )
