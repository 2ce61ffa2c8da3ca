"""Keeping content: small content in the database, beside what names it, and the rest in the back end.

To create one file takes a disk longer than to write ten kilobytes in a transaction that is made anyway, and
an object store longer still. So small content comes to be by the commit of what names it, and by no other.

The bytes of the rest stand in the back end before the database hears of them, under keys that are announced
in the database before that: so whatever happens in between, the sweeper knows of them. A stock of keys is
announced at a time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

from kintoun.files.backends import Backend
from kintoun.files.measuring import FileMeasures
from kintoun.files.spool import Spool
from kintoun.model import timestamps
from kintoun.storage import Store
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Transaction

IN_DATABASE = "/"
"""What the keys of content in the database begin with, and those of a back end never do."""

STOCK = 64
STOCK_SECONDS = 1800.0
"""How long a key may wait for its upload, which has at least as long again (`sweeping.UPLOAD_MS`)."""

_HELD = "SELECT key FROM blob WHERE sha256 = $1"
_CLAIM = "UPDATE blob SET touched = $2 WHERE sha256 = $1 RETURNING key"
_ANNOUNCE = "INSERT INTO loose (key, since, condemned) VALUES ($1, $2, 0)"
_SETTLE = "DELETE FROM loose WHERE key = $1 AND condemned = 0 RETURNING key"
_ADD_BLOB = (
    "INSERT INTO blob (sha256, key, size, created, touched) VALUES ($1, $2, $3, $4, $4)"
    " ON CONFLICT (sha256) DO UPDATE SET touched = excluded.touched,"
    " key = CASE WHEN blob.key = $5 THEN excluded.key ELSE blob.key END RETURNING key"
)
_CONDEMN = "INSERT INTO loose (key, since, condemned) VALUES ($1, $2, 1)"
_CONDEMN_UNNAMED = (
    "INSERT INTO loose (key, since, condemned) SELECT $1, $2, 1"
    " WHERE NOT EXISTS (SELECT 1 FROM blob WHERE key = $1)"
    " ON CONFLICT (key) DO UPDATE SET condemned = 1"
)

_ADD_SMALL = (
    "INSERT INTO blob (sha256, key, size, created, touched) VALUES ($1, $2, $3, $4, $4)"
    " ON CONFLICT (sha256) DO UPDATE SET touched = excluded.touched RETURNING key, created"
)
_ADD_CONTENT = "INSERT INTO content (key, bytes) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING"
_ADD_SMALL_AT_ONCE = (
    # One after the other, because it is the lock on the blob's row that keeps a sweeper from its content.
    f"WITH kept AS ({_ADD_SMALL}), written AS (INSERT INTO content (key, bytes) SELECT $2, $5 FROM kept"
    " ON CONFLICT (key) DO NOTHING) SELECT key, created FROM kept"
)
_MOVE = "UPDATE blob SET key = $2 WHERE sha256 = $1"

_ADD_VARIANT = (
    "INSERT INTO variant (sha256, coding, source, key, size) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (sha256, coding, source) DO NOTHING RETURNING coding"
)
_HOLD_BLOB = "UPDATE blob SET touched = touched WHERE sha256 = $1 RETURNING key"

_CONTENT = "SELECT bytes FROM content WHERE key = $1"
_REMOVE_CONTENT = "DELETE FROM content WHERE key = $1"


class BlobGone(Exception):
    """The content was swept between being kept and being named; keeping it again helps."""


class Blob(NamedTuple):
    """Some content: the hexadecimal SHA-256 of it, its size in bytes, and where its bytes are.

    That is under `key`; or nowhere yet, and they are `content`. `new` ones are not known to the database,
    `lost` is the key under which it believes to have the same content, whose bytes are gone.
    """

    sha256: str
    size: int
    key: str
    content: bytes | None = None
    new: bool = False
    lost: str = ""


def in_database(key: str) -> bool:
    """Whether the bytes under a key stand in the database."""
    return key.startswith(IN_DATABASE)


class Keys:
    """Keys of a back end that were announced ahead, in folders of their own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: list[str] = []
        self._until = 0.0
        self._announcing = asyncio.Lock()

    async def take(self) -> str:
        """A key that was never used. Raises `Unavailable`."""
        async with self._announcing:
            if not self._keys or time.monotonic() > self._until:
                await self._announce()
            return self._keys.pop()

    def drop(self) -> None:
        """Announce others: somebody, whose clock may be ahead, thinks that these have waited too long."""
        self._keys.clear()

    async def _announce(self) -> None:
        until = time.monotonic() + STOCK_SECONDS
        folder = f"blobs/{secrets.token_hex(8)}"
        keys = [f"{folder}/{number:02}" for number in range(STOCK)]
        rows = [(key, timestamps.now()) for key in keys]
        await self._store.transact(lambda transaction: transaction.execute_many(_ANNOUNCE, rows))
        self._keys, self._until = keys[::-1], until


class Keeper:
    """Keeps content of up to `small` bytes in the database, and what is larger in the back end."""

    def __init__(self, store: Store, backend: Backend, small: int, measures: FileMeasures) -> None:
        self._store = store
        self._backend = backend
        self._small = small
        self._measures = measures
        self._keys = Keys(store)

    async def keep(self, spool: Spool) -> Blob:
        """Have what was spooled where it is kept; what is small will be there when it is settled.

        Raises BackendFailed, OSError and `Unavailable`.
        """
        await spool.finish()
        digest, size, content = spool.sha256, spool.size, spool.content
        if content is not None and size <= self._small:
            return Blob(digest, size, IN_DATABASE + digest, content, new=True)
        rows = await self._store.fetch(_HELD, (digest,))
        held = str(rows[0][0]) if rows else ""
        if held and (in_database(held) or await self._backend.size(held) == size):
            return Blob(digest, size, held)
        key = await self._keys.take()
        await self._backend.keep(key, spool.path if content is None else content)
        # If there were bytes once, somebody who cleaned up in the store removed them: here they are again.
        return Blob(digest, size, key, new=True, lost=held)

    async def settle(self, transaction: Transaction, blob: Blob) -> None:
        """Have a blob in the database, in the transaction that names it.

        Raises BlobGone when it was swept meanwhile.
        """
        now = timestamps.now()
        if blob.content is not None:
            new = await self._settle_small(transaction, blob, blob.content, now)
        elif blob.new and await transaction.fetch(_SETTLE, (blob.key,)):
            row = (blob.sha256, blob.key, blob.size, now, blob.lost)
            new = (await transaction.fetch(_ADD_BLOB, row))[0][0] == blob.key
            if not new:
                # Somebody else kept the same content meanwhile.
                await transaction.fetch(_CONDEMN, (blob.key, now))
        else:
            new = False
            held = await transaction.fetch(_CLAIM, (blob.sha256, now))
            if not held or (blob.new and held[0][0] != blob.key):
                self._keys.drop()
                raise BlobGone(blob.sha256)  # or it took so long that it seemed to have broken off
        self._measures.kept(blob.size, new=new)

    async def take_back(self, blob: Blob) -> None:
        """Have a blob's bytes removed, if they are not settled and never will be: its write was refused."""
        if blob.new and blob.content is None:
            row = (blob.key, timestamps.now())
            await self._store.transact(lambda transaction: transaction.fetch(_CONDEMN_UNNAMED, row))

    async def _settle_small(self, transaction: Transaction, blob: Blob, content: bytes, now: int) -> bool:
        row = (blob.sha256, blob.key, blob.size, now)
        if self._store.engine.dialect is Dialect.POSTGRESQL:
            rows = await transaction.fetch(_ADD_SMALL_AT_ONCE, (*row, content))
        else:
            rows = await transaction.fetch(_ADD_SMALL, row)
            await transaction.fetch(_ADD_CONTENT, (blob.key, content))
        key, created = rows[0]
        if key != blob.key:
            # It stands in the back end, if nobody removed it there. As nothing stands for those bytes now,
            # they go as an upload does that broke off: not before whoever is reading them has done so.
            await transaction.fetch(_MOVE, (blob.sha256, blob.key))
            await transaction.fetch(_ANNOUNCE, (key, now))
        return bool(created == now)

    async def keep_variant(self, sha256: str, coding: str, source: str, spool: Spool | None) -> bool:
        """Keep a blob's content in another encoding: see `Files.keep_variant`."""
        if spool is None:
            none = (sha256, coding, source, None, 0)
            return await self._store.transact(lambda transaction: _add_variant(transaction, none, None))
        await spool.finish()
        if spool.content is not None and spool.size <= self._small:
            key, content = f"{IN_DATABASE}{sha256}.{coding}{source and '-'}{source}", spool.content
        else:
            key, content = f"variants/{sha256[:2]}/{sha256}-{secrets.token_hex(4)}.{coding}", None
            announced = (key, timestamps.now())
            await self._store.transact(lambda transaction: transaction.fetch(_ANNOUNCE, announced))
            await self._backend.keep(key, spool.path if spool.content is None else spool.content)
        row = (sha256, coding, source, key, spool.size)
        return await self._store.transact(lambda transaction: _add_variant(transaction, row, content))

    async def content(self, key: str) -> bytes:
        """Content that stands in the database. Raises KeyError when it does no more, and `Unavailable`."""
        rows = await self._store.fetch(_CONTENT, (key,))
        if not rows:
            raise KeyError(key)
        return bytes(rows[0][0])


async def _add_variant(
    transaction: Transaction, row: tuple[str, str, str, str | None, int], content: bytes | None
) -> bool:
    sha256, _, _, key, _ = row
    held = await transaction.fetch(_HOLD_BLOB, (sha256,))
    announced = key is not None and content is None
    if announced and not await transaction.fetch(_SETTLE, (key,)):
        return False
    if held and await transaction.fetch(_ADD_VARIANT, row):
        if content is not None:
            await transaction.fetch(_ADD_CONTENT, (key, content))
        return True
    if announced:
        await transaction.fetch(_CONDEMN, (key, timestamps.now()))
    return False


async def let_go(transaction: Transaction, keys: Sequence[str]) -> int:
    """Have the bytes removed for which nothing stands any longer; returns how many keys there are."""
    now = timestamps.now()
    small = [(key,) for key in keys if in_database(key)]
    if small:
        await transaction.execute_many(_REMOVE_CONTENT, small)
    if len(small) < len(keys):
        await transaction.execute_many(_CONDEMN, [(key, now) for key in keys if not in_database(key)])
    return len(keys)
