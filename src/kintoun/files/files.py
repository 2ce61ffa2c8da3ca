"""Keeping files and finding them again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kintoun.files.backends import Backend, make_backend
from kintoun.files.measuring import FileMeasures
from kintoun.files.references import follow_references
from kintoun.files.settings import FileSettings, place_of
from kintoun.files.spool import Spool
from kintoun.files.sweeping import Sweeper
from kintoun.measures import Measures
from kintoun.model import timestamps
from kintoun.plugin import Registry
from kintoun.resources.context import Service
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.engine import Transaction

ATTEMPTS = 5
"""How often content is kept anew that was swept meanwhile; only grace periods near zero need a second."""

_CLAIM = "UPDATE blob SET touched = $2 WHERE sha256 = $1 RETURNING key, size"
_ANNOUNCE = "INSERT INTO loose (key, since, condemned) VALUES ($1, $2, 0)"
_SETTLE = "DELETE FROM loose WHERE key = $1 AND condemned = 0 RETURNING key"
_ADD_BLOB = (
    "INSERT INTO blob (sha256, key, size, created, touched) VALUES ($1, $2, $3, $4, $4)"
    " ON CONFLICT (sha256) DO UPDATE SET touched = excluded.touched,"
    " key = CASE WHEN blob.key = $5 THEN excluded.key ELSE blob.key END RETURNING key"
)
_CONDEMN = "INSERT INTO loose (key, since, condemned) VALUES ($1, $2, 1)"
_COLUMNS = "location, sha256, filename, mimetype, bucket, collection, record, created"
_ADD_LOCATION = (
    f"INSERT INTO location ({_COLUMNS}, keep) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    " ON CONFLICT (location) DO NOTHING RETURNING location"
)
_PUBLISH = (
    f"INSERT INTO location ({_COLUMNS}, keep) VALUES ($1, $2, $3, $4, '', '', '', $5, 1)"
    " ON CONFLICT (location) DO UPDATE SET sha256 = excluded.sha256, filename = excluded.filename,"
    " mimetype = excluded.mimetype, created = excluded.created, keep = 1, orphaned = NULL"
)
_WITHDRAW = "DELETE FROM location WHERE location = $1 AND keep = 1 AND bucket = '' RETURNING location"
_PUBLISHED = (
    "SELECT location FROM location WHERE location >= $1 AND location < $2 AND keep = 1 AND bucket = ''"
    " ORDER BY location"
)
_FIND = (
    "SELECT l.location, l.sha256, l.filename, l.mimetype, l.bucket, l.collection, l.record, l.created,"
    " b.key, b.size, v.coding, v.source, v.key, v.size FROM location l JOIN blob b ON b.sha256 = l.sha256"
    " LEFT JOIN variant v ON v.sha256 = l.sha256 AND v.key IS NOT NULL WHERE l.location = $1"
)
_ADD_VARIANT = (
    "INSERT INTO variant (sha256, coding, source, key, size) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (sha256, coding, source) DO NOTHING RETURNING key"
)
_HOLD_BLOB = "UPDATE blob SET touched = touched WHERE sha256 = $1 RETURNING key"


class BlobGone(Exception):
    """The content was swept between being kept and being named; keeping it again helps."""


class Blob(NamedTuple):
    """Some content: the hexadecimal SHA-256 of it, and its size in bytes."""

    sha256: str
    size: int


class Variant(NamedTuple):
    """The same content in another encoding, as `gzip`; `source` is the SHA-256 of the dictionary it needs."""

    coding: str
    source: str
    key: str
    size: int


class Location(NamedTuple):
    """A name that readers know, and what it stands for.

    `created` is in milliseconds since the epoch; `bucket`, `collection` and `record` are those that the file
    was uploaded to, empty for files that the server made itself.
    """

    location: str
    sha256: str
    filename: str
    mimetype: str
    bucket: str
    collection: str
    record: str
    created: int
    key: str
    size: int
    variants: tuple[Variant, ...]


class Files:
    """The files of a server."""

    def __init__(
        self,
        store: Store,
        backend: Backend,
        base_url: str | None = None,
        prefix: str = "",
        measures: Measures | None = None,
    ) -> None:
        self.store = store
        self.backend = backend
        self.base_url = base_url if base_url is None or base_url.endswith("/") else base_url + "/"
        """Where files are read, with a slash at the end; None: at the server itself."""
        self._prefixes = tuple(each for each in (self.base_url, prefix) if each)
        self.measures = FileMeasures(measures or Measures(), store)
        self._opened = False
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Get the back end ready, once. Raises BackendFailed."""
        async with self._opening:
            if not self._opened:
                await self.backend.open()
                self._opened = True

    # Content

    async def spool(self, most: int | None = None) -> Spool:
        """A temporary file of at most `most` bytes, for `keep`. Raises BackendFailed.

        `async with await files.spool(most) as spool: await spool.write(part); …; blob = await
        files.keep(spool)`. Nothing is left of it when `keep` was not reached.
        """
        await self.open()
        return Spool(self.backend.uploads, most)

    async def put(self, source: bytes | AsyncIterable[bytes], most: int | None = None) -> Blob:
        """Keep content: `spool`, filled, and `keep`. Raises TooLarge, BackendFailed, and OSError."""
        async with await self.spool(most) as spool:
            await spool.fill(source)
            return await self.keep(spool)

    async def keep(self, spool: Spool) -> Blob:
        """Keep what was spooled, durably and once, however often the same content comes.

        Until a location stands for it, it is kept for the time of grace. Raises BackendFailed.
        """
        await spool.finish()
        blob = Blob(spool.sha256, spool.size)
        for _ in range(ATTEMPTS):
            if await self._keep(blob, spool.path):
                return blob
            if not await asyncio.to_thread(spool.path.exists):
                raise BlobGone(blob.sha256)  # it was moved to where the sweeper found it
        raise BlobGone(blob.sha256)

    async def _keep(self, blob: Blob, spooled: Path) -> bool:
        """One attempt; False when the sweeper took the upload for one that broke off."""
        key = f"blobs/{blob.sha256[:2]}/{blob.sha256[2:4]}/{blob.sha256}-{secrets.token_hex(4)}"

        async def begin(transaction: Transaction) -> str | None:
            now = timestamps.now()
            held = await transaction.fetch(_CLAIM, (blob.sha256, now))
            if not held:
                await transaction.fetch(_ANNOUNCE, (key, now))
            return str(held[0][0]) if held else None

        async def end(transaction: Transaction) -> bool:
            now = timestamps.now()
            if not await transaction.fetch(_SETTLE, (key,)):
                return False
            row = (blob.sha256, key, blob.size, now, held or "")
            if (await transaction.fetch(_ADD_BLOB, row))[0][0] != key:
                # Somebody else kept the same content meanwhile.
                await transaction.fetch(_CONDEMN, (key, now))
            return True

        held = await self.store.transact(begin)
        known = held is not None and await self.backend.size(held) == blob.size
        if held is not None and not known:
            # Its bytes were lost, by somebody who cleaned up in the store: here they are again.
            announce = (key, timestamps.now())
            await self.store.transact(lambda transaction: transaction.fetch(_ANNOUNCE, announce))
        if not known:
            await self.backend.keep(key, spooled)
            if not await self.store.transact(end):
                return False
        self.measures.kept(blob.size, new=not known)
        return True

    # Names

    async def place(
        self,
        transaction: Transaction,
        location: str,
        blob: Blob,
        *,
        filename: str,
        mimetype: str,
        record: tuple[str, str, str],
        keep: bool = False,
    ) -> bool:
        """Let a location stand for a blob, in the transaction that writes the record; False if it is taken.

        `record` are the ids of the record, its bucket and collection before it. With `keep` the file stays
        when no record names it any longer. Without a reference, which the record's `attachment.location`
        makes, it goes after the time of grace. Raises BlobGone: `put` it again, and run the write again.
        """
        now = timestamps.now()
        if not await transaction.fetch(_CLAIM, (blob.sha256, now)):
            raise BlobGone(blob.sha256)
        row = (location, blob.sha256, filename, mimetype, *record, now, int(keep))
        return bool(await transaction.fetch(_ADD_LOCATION, row))

    async def find(self, location: str) -> Location | None:
        """What a location stands for."""
        rows = await self.store.fetch(_FIND, (location,))
        if not rows:
            return None
        variants = tuple(Variant(*row[10:]) for row in rows if row[10] is not None)
        return Location._make((*rows[0][:10], variants))

    async def publish(self, name: str, content: bytes, mimetype: str) -> Blob:
        """Let the location `name` stand for what the server made, in place of what it stood for before.

        Readers see the one or the other, whole. It stays until `withdraw`. Raises BackendFailed.
        """
        for _ in range(ATTEMPTS):
            blob = await self.put(content)
            if await self.store.transact(partial(_publish, name, blob, mimetype)):
                return blob
        raise BlobGone(name)

    async def withdraw(self, name: str) -> bool:
        """Take back what was published; whether there was anything."""

        async def take_back(transaction: Transaction) -> bool:
            return bool(await transaction.fetch(_WITHDRAW, (name,)))

        return await self.store.transact(take_back)

    async def published(self, prefix: str) -> list[str]:
        """The names of what was published that begin with a prefix, in their order."""
        rows = await self.store.fetch(_PUBLISHED, (prefix, f"{prefix}\U0010ffff"))
        return [row[0] for row in rows]

    def relative(self, location: str) -> str:
        """A location as a record names it, which may begin with the public address, without that."""
        for prefix in self._prefixes:
            if location.startswith(prefix):
                return location[len(prefix) :].removeprefix("/")
        return location

    # Bytes

    def read(self, location: Location, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes of a location, or those from `start` up to `stop`, in parts.

        Raises BackendFailed, and KeyError when the bytes are gone.
        """
        return self.backend.read(location.key, start, location.size if stop is None else stop)

    async def content(self, location: Location) -> bytes:
        """All bytes of a location, for those that are known to be small."""
        return b"".join([part async for part in self.read(location)])

    async def keep_variant(self, sha256: str, coding: str, source: str, spool: Spool | None) -> bool:
        """Keep a blob's content in another encoding, None to note that it is not worth it.

        False when the blob has gone, or has that variant already. Raises BackendFailed.
        """
        key = None
        if spool is not None:
            await spool.finish()
            key = f"variants/{sha256[:2]}/{sha256[2:4]}/{sha256}-{secrets.token_hex(4)}.{coding}"
            announce = (key, timestamps.now())
            await self.store.transact(lambda transaction: transaction.fetch(_ANNOUNCE, announce))
            await self.backend.keep(key, spool.path)
        row = (sha256, coding, source, key, spool.size if spool is not None else 0)
        return await self.store.transact(partial(_add_variant, row))


async def _add_variant(row: tuple[str, str, str, str | None, int], transaction: Transaction) -> bool:
    sha256, _, _, key, _ = row
    held = await transaction.fetch(_HOLD_BLOB, (sha256,))
    if key is not None and not await transaction.fetch(_SETTLE, (key,)):
        return False
    if held and await transaction.fetch(_ADD_VARIANT, row):
        return True
    if key is not None:
        await transaction.fetch(_CONDEMN, (key, timestamps.now()))
    return False


async def _publish(name: str, blob: Blob, mimetype: str, transaction: Transaction) -> bool:
    now = timestamps.now()
    if not await transaction.fetch(_CLAIM, (blob.sha256, now)):
        return False
    await transaction.fetch(_PUBLISH, (name, blob.sha256, name.rpartition("/")[2], mimetype, now))
    return True


def files_at(
    store: Store, settings: Settings, section: FileSettings, measures: Measures | None = None
) -> Files:
    """The files that a section of the settings tells of. Raises ValueError for a store that cannot be."""
    uploads = Path(section.upload_folder) if section.upload_folder is not None else None
    backend = make_backend(place_of(section, settings), section.store_options, uploads)
    return Files(store, backend, section.base_url, section.location_prefix, measures)


def start_files(registry: Registry, section: FileSettings) -> Files:
    """Keep files in a server: follow the references of its records, and sweep.

    For the feature whose section of the settings this is, and whose tables `MIGRATIONS` are. Raises
    ValueError for a store that cannot be.
    """
    service = registry.service
    files = files_at(service.store, registry.settings, section, service.measures)
    service.shared[Files] = files
    registry.closing(follow_references(files.relative))
    sweeper = Sweeper(files.store, files.backend, files.relative, section.grace_seconds, files.measures)
    registry.background(lambda: sweeper.run(section.sweep_seconds), lease="files")
    return files


def files_of(service: Service) -> Files | None:
    """The files of a server; None when no feature keeps any. Ask when the server has started."""
    files: Files | None = service.shared.get(Files)
    return files
