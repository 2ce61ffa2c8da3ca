"""Keeping files and finding them again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from kintoun.files.backends import Backend, make_backend
from kintoun.files.keeping import Blob, BlobGone, Keeper, in_database
from kintoun.files.measuring import FileMeasures
from kintoun.files.references import follow_references
from kintoun.files.settings import FileSettings, place_of
from kintoun.files.spool import Spool
from kintoun.files.sweeping import Sweeper
from kintoun.measures import Measures
from kintoun.model import timestamps
from kintoun.model.errors import ProtocolError
from kintoun.plugin import Registry
from kintoun.resources.service import Service
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.engine import Transaction

ATTEMPTS = 5
"""How often content is kept anew that was swept meanwhile; only grace periods near zero need a second."""

_COLUMNS = "location, sha256, filename, mimetype, bucket, collection, record, created"
_ADD_LOCATION = (
    f"INSERT INTO location ({_COLUMNS}, keep) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    " ON CONFLICT (location) DO NOTHING RETURNING location"
)
_PUBLISH = (
    f"INSERT INTO location ({_COLUMNS}, keep) VALUES ($1, $2, $3, $4, '', '', '', $5, 1)"
    " ON CONFLICT (location) DO UPDATE SET sha256 = excluded.sha256, filename = excluded.filename,"
    " mimetype = excluded.mimetype, created = excluded.created, keep = 1, orphaned = NULL"
    " WHERE location.bucket = '' RETURNING location"
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

T = TypeVar("T")


class LocationTaken(Exception):
    """A name that the server would give to a file of its own is the location of an upload."""


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
        small: int = 0,
    ) -> None:
        """Content of up to `small` bytes is kept in the database."""
        self.store = store
        self.backend = backend
        self.base_url = base_url if base_url is None or base_url.endswith("/") else base_url + "/"
        """Where files are read, with a slash at the end; None: at the server itself."""
        self._prefixes = tuple(each for each in (self.base_url, prefix) if each)
        self.measures = FileMeasures(measures or Measures(), store)
        self._keeper = Keeper(store, backend, small, self.measures)
        self._opened = False
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Get the back end ready, once. Raises BackendFailed."""
        if self._opened:
            return
        async with self._opening:
            if not self._opened:
                await self.backend.open()
                self._opened = True

    # Content

    async def spool(self, most: int | None = None) -> Spool:
        """What takes in at most `most` bytes, for `keep` or `keep_for`. Raises BackendFailed.

        `async with await files.spool(most) as spool: await spool.write(part); …; await files.keep_for(spool,
        write)`. Nothing is left of it when what names it is not reached.
        """
        await self.open()
        return Spool(self.backend.uploads, most)

    async def put(self, source: bytes | AsyncIterable[bytes], most: int | None = None) -> Blob:
        """Keep content: `spool`, filled, and `keep`. Raises TooLarge, BackendFailed, and OSError."""
        async with await self.spool(most) as spool:
            await spool.fill(source)
            return await self.keep(spool)

    async def keep(self, spool: Spool) -> Blob:
        """Keep what was spooled until something names it, which must be soon: see `place`.

        Raises BackendFailed and `Unavailable`.
        """
        return await self._keeper.keep(spool)

    async def keep_for(self, spool: Spool, name: Callable[[Blob], Awaitable[T]]) -> T:
        """Keep what was spooled, and name it: in a transaction that `place`s the blob.

        Raises what `keep` and `name` raise; BlobGone only when that does not help.
        """
        for last in (False,) * (ATTEMPTS - 1) + (True,):
            blob = await self.keep(spool)
            try:
                return await name(blob)
            except BlobGone:
                moved = spool.content is None and not await asyncio.to_thread(spool.path.exists)
                if last or moved:
                    raise  # in the latter case to where the sweeper found it
            except ProtocolError:
                await self._keeper.take_back(blob)
                raise
        raise AssertionError("the last attempt returns or raises")

    async def settle(self, transaction: Transaction, blob: Blob) -> None:
        """Have a blob known, in the transaction that names it. Raises BlobGone: `keep` it again."""
        await self._keeper.settle(transaction, blob)

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
        makes, it goes after the time of grace. Raises BlobGone: `keep` it again, and run the write again.
        """
        await self._keeper.settle(transaction, blob)
        row = (location, blob.sha256, filename, mimetype, *record, timestamps.now(), int(keep))
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

        Readers see the one or the other, whole. It stays until `withdraw`. Raises BackendFailed, and
        LocationTaken when the name is that of an upload.
        """

        async def publish(blob: Blob) -> Blob:
            await self.store.transact(partial(self._publish, name, mimetype, blob))
            return blob

        async with await self.spool() as spool:
            await spool.write(content)
            return await self.keep_for(spool, publish)

    async def _publish(self, name: str, mimetype: str, blob: Blob, transaction: Transaction) -> None:
        await self._keeper.settle(transaction, blob)
        row = (name, blob.sha256, name.rpartition("/")[2], mimetype, timestamps.now())
        if not await transaction.fetch(_PUBLISH, row):
            raise LocationTaken(name)

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

        Raises BackendFailed, `Unavailable`, and KeyError when the bytes are gone.
        """
        return self.read_key(location.key, start, location.size if stop is None else stop)

    async def read_key(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """The bytes under a key from `start` up to `stop`, in parts. Raises as `read` does."""
        if in_database(key):
            yield (await self._keeper.content(key))[start:stop]
            return
        async for part in self.backend.read(key, start, stop):
            yield part

    def path(self, key: str) -> Path | None:
        """The file that holds the bytes under a key, when they stand on a disk of this machine."""
        return None if in_database(key) else self.backend.path(key)

    async def content(self, location: Location) -> bytes:
        """All bytes of a location, for those that are known to be small."""
        return b"".join([part async for part in self.read(location)])

    async def keep_variant(self, sha256: str, coding: str, source: str, spool: Spool | None) -> bool:
        """Keep a blob's content in another encoding, None to note that it is not worth it.

        False when the blob has gone, or has that variant already. Raises BackendFailed.
        """
        return await self._keeper.keep_variant(sha256, coding, source, spool)


def files_at(
    store: Store, settings: Settings, section: FileSettings, measures: Measures | None = None
) -> Files:
    """The files that a section of the settings tells of. Raises ValueError for a store that cannot be."""
    uploads = Path(section.upload_folder) if section.upload_folder is not None else None
    backend = make_backend(place_of(section, settings), section.store_options, uploads)
    return Files(store, backend, section.base_url, section.location_prefix, measures, section.small_bytes)


def start_files(registry: Registry, section: FileSettings) -> Files:
    """Keep files in a server: follow the references of its records, and sweep.

    For the feature whose section of the settings this is, and whose tables `MIGRATIONS` are. Raises
    ValueError for a store that cannot be.
    """
    service = registry.service
    files = files_at(service.store, registry.settings, section, service.measures)
    service.shared[Files] = files
    registry.closing(follow_references(files.relative, service.store.engine.dialect))
    sweeper = Sweeper(files.store, files.backend, files.relative, section.grace_seconds, files.measures)
    registry.background(lambda: sweeper.run(section.sweep_seconds), lease="files")
    return files


def files_of(service: Service) -> Files | None:
    """The files of a server; None when no feature keeps any. Ask when the server has started."""
    files: Files | None = service.shared.get(Files)
    return files
