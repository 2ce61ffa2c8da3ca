"""Backing up a database into one file while it is being written to, and checking such a file."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kintoun import __version__
from kintoun.operations import Refused, open_patiently
from kintoun.operations.backup_file import FORMAT, BackupReader, BackupWriter, Begun, Ended, Header
from kintoun.operations.tables import Versions, check_known, saved_tables, versions_of
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.snapshots import Snapshot, open_snapshot

Progress = Callable[[str, int], None]
"""Told the name of a table and how many of its rows are done."""


@dataclass
class Backup:
    """What is in a file: the number of rows and their digest, by table."""

    path: Path
    header: Header
    tables: dict[str, Ended] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(table.rows for table in self.tables.values())


async def back_up(settings: Settings, path: Path, progress: Progress, *, overwrite: bool = False) -> Backup:
    """Write the database as it is at one moment; nobody who writes meanwhile waits for it.

    The file has its name once it is whole. Raises Refused.
    """
    if not overwrite and await asyncio.to_thread(path.exists):
        raise Refused(f"{path}: is there already")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    started = time.monotonic()
    store = await open_patiently(settings.storage)
    try:
        versions = await versions_of(store)
        if versions.schema == 0:
            raise Refused("the database is empty: there is nothing to back up")
        snapshot = await open_snapshot(store)
        try:
            backup = await _write(store, snapshot, versions, unfinished, progress)
        finally:
            await snapshot.close()
        unfinished.replace(path)
    except OSError as error:
        raise Refused(f"{error.filename or unfinished}: cannot be written: {error.strerror}") from error
    finally:
        await store.close()
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    backup.path = path
    backup.seconds = time.monotonic() - started
    return backup


async def _write(
    store: Store, snapshot: Snapshot, versions: Versions, path: Path, progress: Progress
) -> Backup:
    made = datetime.now(UTC).isoformat(timespec="milliseconds")
    header = Header("backup", FORMAT, __version__, made, versions.schema, versions.features)
    backup = Backup(path, header)
    with BackupWriter(path, header) as writer:
        for table in await saved_tables(snapshot, store.engine.dialect, versions):
            digest = writer.begin(table)
            names = ", ".join(name for name, _ in table.columns)
            async for rows in snapshot.scan(f"SELECT {names} FROM {table.name}"):
                writer.add(rows, digest)
                progress(table.name, digest.rows)
            writer.end(digest)
            backup.tables[table.name] = Ended(digest.rows, digest.hexdigest())
        writer.finish()
    return backup


def check(path: Path, progress: Progress) -> Backup:
    """Read a whole backup. Raises Refused when it is not as it was written, or newer than this server."""
    started = time.monotonic()
    try:
        reader = BackupReader(path)
    except OSError as error:
        raise Refused(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        check_known(Versions(reader.header.schema, reader.header.features))
        backup = Backup(path, reader.header)
        name = ""
        for part in reader.parts():
            if isinstance(part, Begun):
                name = part.table.name
            elif isinstance(part, Ended):
                backup.tables[name] = part
                progress(name, part.rows)
    finally:
        reader.close()
    backup.seconds = time.monotonic() - started
    return backup
