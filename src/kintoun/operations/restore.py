"""Restoring a backup into a database of either engine, in one transaction."""

from __future__ import annotations

import time
from pathlib import Path

from kintoun.model import timestamps
from kintoun.model.paths import ROOT_LISTS
from kintoun.operations import Refused, begin_bulk, open_patiently
from kintoun.operations.backup import Backup, Progress, check
from kintoun.operations.backup_file import BackupReader, Begun, Ended, Rows, RowsDigest, line_of
from kintoun.operations.tables import (
    SavedTable,
    Versions,
    created_statements,
    names_of_tables,
    saved_tables,
    versions_of,
)
from kintoun.settings import Settings
from kintoun.storage import Store, schema
from kintoun.storage.engine import Steps, Transaction
from kintoun.storage.snapshots import scan

# The version stays, by which history knows that it is complete: no object has changed.
_START_OVER = (
    "UPDATE clock SET ts = CASE WHEN ts < $1 THEN $1 ELSE ts + 1 END,"
    " watermark = CASE WHEN ts < $1 THEN $1 ELSE ts + 1 END"
)


async def restore(
    settings: Settings,
    features: dict[str, Steps],
    path: Path,
    progress: Progress,
    *,
    force: bool = False,
    keep_clocks: bool = False,
) -> Backup:
    """Replace what is in the database by a backup.

    The file is read as a whole before anything is touched, and the tables again before the commit: they must
    be the same. Then the schema is brought to this server's version. The clocks of all lists are moved on,
    and clients told to start over, unless `keep_clocks` says that nothing was written after the backup.
    Raises Refused, also when the database has objects, unless `force` says to replace them.
    """
    started = time.monotonic()
    backup = check(path, lambda _name, _rows: None)
    store = await open_patiently(settings.storage)
    try:
        present = await versions_of(store)
        transaction = await begin_bulk(store)
        try:
            if not force:
                await _check_empty(transaction, store, present)
            await _drop(transaction, present)
            await _load(transaction, store, path, progress)
            if not keep_clocks:
                await transaction.fetch(_START_OVER, (timestamps.now(),))
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        await store.migrate(features)
    finally:
        await store.close()
    backup.seconds = time.monotonic() - started
    return backup


async def _check_empty(transaction: Transaction, store: Store, present: Versions) -> None:
    if present.schema == 0:
        return
    for table in await saved_tables(transaction, store.engine.dialect, present):
        allowed = len(ROOT_LISTS) if table.name == "clock" else 0
        rows = await transaction.fetch(f"SELECT 1 FROM {table.name} LIMIT {allowed + 1}")
        if len(rows) > allowed:
            raise Refused(
                f"the database has rows in {table.name!r} already: --force replaces all that is in it"
            )


async def _drop(transaction: Transaction, present: Versions) -> None:
    if present.schema:
        for name in names_of_tables(present):
            await transaction.fetch(f"DROP TABLE {name}")
        await transaction.fetch("DROP TABLE schema_version")


async def _load(transaction: Transaction, store: Store, path: Path, progress: Progress) -> None:
    """Make the tables as they were, fill them, and read them again."""
    dialect = store.engine.dialect
    reader = BackupReader(path)
    try:
        versions = Versions(reader.header.schema, reader.header.features)
        types = schema.TYPES[dialect.name.lower()]
        await transaction.fetch(schema.VERSION_TABLE.format_map(types))
        for name, steps in created_statements(dialect, versions).items():
            for version, statements in enumerate(steps, start=1):
                for sql in statements:
                    await transaction.fetch(sql)
                await _record(transaction, name, version)
        expected = {table.name: table for table in await saved_tables(transaction, dialect, versions)}
        table: SavedTable | None = None
        done = 0
        for part in reader.parts():
            if isinstance(part, Begun):
                table, done = part.table, 0
                if expected.pop(table.name, None) is None:
                    raise Refused(f"{path}: has a table {table.name!r}, which its versions do not have")
            elif isinstance(part, Rows):
                assert table is not None, "rows follow the beginning of their table"
                await transaction.append(table.name, [name for name, _ in table.columns], part.rows)
                done += len(part.rows)
                progress(table.name, done)
            else:
                assert table is not None, "a table ends that has begun"
                await _compare(transaction, table, part)
        if expected:
            raise Refused(f"{path}: lacks the tables {', '.join(sorted(expected))}")
    finally:
        reader.close()


async def _record(transaction: Transaction, feature: str, version: int) -> None:
    if feature:
        sql, args = "INSERT INTO feature_version (feature, version) VALUES ($1, $2)", (feature, version)
        await transaction.fetch(sql, args)
    else:
        await transaction.fetch("INSERT INTO schema_version (version) VALUES ($1)", (version,))


async def _compare(transaction: Transaction, table: SavedTable, written: Ended) -> None:
    digest = RowsDigest()
    names = ", ".join(name for name, _ in table.columns)
    async for rows in scan(transaction, f"SELECT {names} FROM {table.name}"):
        digest.add([line_of(row) for row in rows])
    if (digest.rows, digest.hexdigest()) != (written.rows, written.digest):
        raise Refused(f"the rows of {table.name!r} are not the same after they were restored")
