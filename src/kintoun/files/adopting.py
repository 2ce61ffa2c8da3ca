"""Taking over the files of a kinto-attachment: the records that name them are here, the files in a folder.

Those that stand in the store's own folder stay where they are, others are copied into the store. Nothing is
removed, and what was taken over already is left alone, so it can be done again at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from kintoun.files.backends.local import LocalDisk
from kintoun.files.files import Files
from kintoun.files.keeping import Blob
from kintoun.files.references import MARK
from kintoun.model import json, timestamps
from kintoun.model.paths import ListPath
from kintoun.storage.engine import Transaction

STEP = 100
CHUNK = 1024 * 1024

_RECORDS = (
    "SELECT o.list, o.id, k.path, o.body FROM object o JOIN clock k ON k.list = o.list"
    " WHERE (o.list > $1 OR (o.list = $1 AND o.id > $2)) AND o.deleted = 0"
    f" AND o.body LIKE '%{MARK}%' ORDER BY o.list, o.id LIMIT $3"
)
_KNOWN = "SELECT 1 FROM location WHERE location = $1"
_BLOB = (
    "INSERT INTO blob (sha256, key, size, created, touched) VALUES ($1, $2, $3, $4, $4)"
    " ON CONFLICT (sha256) DO UPDATE SET touched = excluded.touched"
)
_LOCATION = (
    "INSERT INTO location (location, sha256, filename, mimetype, bucket, collection, record, created, keep)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0) ON CONFLICT (location) DO NOTHING"
)
_REFERENCE = (
    "INSERT INTO reference (list, id, location) VALUES ($1, $2, $3)"
    " ON CONFLICT (list, id) DO UPDATE SET location = excluded.location"
)


@dataclass
class Adopted:
    """What was done: files taken over, their bytes, records whose file was known already; and the locations
    of which there is no file, and of which the file is not what the record says."""

    files: int = 0
    bytes: int = 0
    known: int = 0
    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)


class _Named(NamedTuple):
    """A record that names a file."""

    number: int
    ids: tuple[str, str, str]
    location: str
    attachment: dict[str, Any]


class _Found(NamedTuple):
    """A file that is as its record says, when it was written (milliseconds since the epoch), and whether its
    bytes were copied: others stand in the store already."""

    named: _Named
    blob: Blob
    modified: int
    copied: bool = False


async def adopt(files: Files, folder: Path, progress: Callable[[Adopted], None]) -> Adopted:
    """Take over the files below a folder that records name by their locations. Raises BackendFailed."""
    await files.open()
    done = Adopted()
    disk = LocalDisk(folder)
    prefix = _prefix_in_store(files, folder)
    step: list[_Found] = []
    async for named in _records(files):
        if await files.store.fetch(_KNOWN, (named.location,)):
            done.known += 1
            await files.store.transact(partial(_note, files, [], [named]))
            continue
        found = await _examined(named, disk, prefix, done)
        if found is None:
            continue
        if prefix is None:
            await _copy(files, disk, found)
        else:
            step.append(found)
        done.files += 1
        done.bytes += found.blob.size
        if len(step) == STEP:
            await files.store.transact(partial(_note, files, step, []))
            step = []
            progress(done)
    await files.store.transact(partial(_note, files, step, []))
    progress(done)
    return done


def _prefix_in_store(files: Files, folder: Path) -> str | None:
    """What the keys of files in a folder begin with; None when it is not in the store."""
    if not isinstance(files.backend, LocalDisk):
        return None
    try:
        inside = folder.resolve().relative_to(files.backend.root)
    except ValueError:
        return None
    return "" if inside == Path() else f"{inside.as_posix()}/"


async def _records(files: Files) -> AsyncIterator[_Named]:
    at: tuple[int, str] = (-1, "")
    while rows := await files.store.fetch(_RECORDS, (*at, STEP)):
        at = rows[-1][0], rows[-1][1]
        for number, record, path, body in rows:
            attachment = json.decode(body.encode()).get("attachment")
            if isinstance(attachment, dict) and isinstance(attachment.get("location"), str):
                bucket, collection = ListPath.parse(path).parents
                location = files.relative(attachment["location"])
                yield _Named(number, (bucket, collection, record), location, attachment)


async def _examined(named: _Named, disk: LocalDisk, prefix: str | None, done: Adopted) -> _Found | None:
    try:
        path = disk.path(named.location)
        digest, size, modified = await asyncio.to_thread(_hashed, path)
    except (KeyError, OSError):
        done.missing.append(named.location)
        return None
    said = named.attachment.get("hash")
    if said is not None and said != digest:
        done.different.append(named.location)
        return None
    return _Found(named, Blob(digest, size, (prefix or "") + named.location), modified)


def _hashed(path: Path) -> tuple[str, int, int]:
    """The digest of a file, its size, and when it was written (milliseconds since the epoch)."""
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
            size += len(part)
    return digest.hexdigest(), size, int(path.stat().st_mtime * 1000)


async def _copy(files: Files, disk: LocalDisk, found: _Found) -> None:
    """Have a file that is not in the store there."""
    async with await files.spool() as spool:
        await spool.fill(disk.read(found.named.location, 0, found.blob.size))

        async def note(blob: Blob) -> None:
            await files.store.transact(partial(_note, files, [found._replace(blob=blob, copied=True)], []))

        await files.keep_for(spool, note)


async def _note(
    files: Files, step: Sequence[_Found], known: Sequence[_Named], transaction: Transaction
) -> None:
    for found in step:
        named, blob = found.named, found.blob
        if found.copied:
            await files.settle(transaction, blob)
        else:
            await transaction.fetch(_BLOB, (blob.sha256, blob.key, blob.size, timestamps.now()))
        filename, mimetype = (str(named.attachment.get(name, "")) for name in ("filename", "mimetype"))
        row = (named.location, blob.sha256, filename, mimetype, *named.ids, found.modified)
        await transaction.fetch(_LOCATION, row)
    for each in (*(found.named for found in step), *known):
        await transaction.fetch(_REFERENCE, (each.number, each.ids[2], each.location))
