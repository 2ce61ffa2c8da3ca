"""The engine and the schema: data is as safe as the settings say, and all tables and indexes are there."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from kintoun.config import migrations_of
from kintoun.operations.doctor.findings import Finding, Patient
from kintoun.operations.tables import names_of_tables, steps_of_features
from kintoun.storage import indexes, schema
from kintoun.storage.dialect import Dialect

LEAST_POSTGRESQL = 140_000
LEAST_SQLITE = (3, 38)
LEAST_FREE = 0.1
SKEW_SECONDS = 2.0

_INDEX = re.compile(r"(CREATE|DROP) (?:UNIQUE )?INDEX (\w+)")
_TABLES = {
    Dialect.SQLITE: "SELECT name FROM sqlite_master WHERE type = 'table'",
    Dialect.POSTGRESQL: "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
}
_INDEXES = {
    Dialect.SQLITE: "SELECT name, 1 FROM sqlite_master WHERE type = 'index'",
    Dialect.POSTGRESQL: "SELECT c.relname::text, CASE WHEN i.indisvalid THEN 1 ELSE 0 END FROM pg_index i"
    " JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = current_schema()::regnamespace",
}


async def check_schema(patient: Patient) -> AsyncIterator[Finding]:
    """The schema is this server's, with all tables and indexes of its version."""
    versions, dialect = patient.versions, patient.store.engine.dialect
    latest = len(schema.STEPS)
    if versions.schema < latest:
        text = f"the schema is at version {versions.schema}, this server's is {latest}: run `kintoun migrate`"
        yield Finding("schema", "error", text)
    for name, steps in migrations_of(patient.settings.features).items():
        version = versions.features.get(name, 0)
        if version < len(steps):
            text = f"the tables of `{name}` are at version {version}, its own is {len(steps)}"
            yield Finding("schema", "error", f"{text}: run `kintoun migrate`")
    tables = {row[0] for row in await patient.snapshot.fetch(_TABLES[dialect])}
    for name in names_of_tables(versions):
        if name not in tables:
            yield Finding("schema", "error", f"the table {name!r} is missing")
    present = {row[0]: bool(row[1]) for row in await patient.snapshot.fetch(_INDEXES[dialect])}
    for name, sql in _expected_indexes(patient).items():
        if name not in present:
            yield Finding("indexes", "error", f"the index {name!r} is missing: {sql}")
    for name, valid in present.items():
        if not valid:
            text = (
                f"the index {name!r} was not finished, and is not used: drop it, then run `kintoun migrate`"
            )
            yield Finding("indexes", "error", text)
    for field in sorted(patient.store.engine.indexed):
        if indexes.name_of(field) not in present:
            text = f"the index on the field {field!r} is missing: run `kintoun migrate`"
            yield Finding("indexes", "warning", text)


def _expected_indexes(patient: Patient) -> dict[str, str]:
    steps: list[Sequence[str]] = list(schema.STEPS[: patient.versions.schema])
    known = steps_of_features()
    for name, version in patient.versions.features.items():
        steps += known[name][:version]
    statements = [sql for step in steps for sql in step]
    last = {found[2]: (found[1], sql) for sql in statements if (found := _INDEX.match(sql.strip()))}
    return {name: sql for name, (verb, sql) in last.items() if verb == "CREATE"}


async def check_engine(patient: Patient) -> AsyncIterator[Finding]:
    """The engine keeps what it has confirmed, and has room."""
    if patient.store.engine.dialect is Dialect.SQLITE:
        async for finding in _check_sqlite(patient):
            yield finding
    else:
        async for finding in _check_postgresql(patient):
            yield finding


async def _check_sqlite(patient: Patient) -> AsyncIterator[Finding]:
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        yield Finding("engine", "error", f"SQLite is {sqlite3.sqlite_version}, the least is 3.38")
    for (text,) in await patient.snapshot.fetch("PRAGMA integrity_check(20)"):
        if text != "ok":
            yield Finding("engine", "error", f"the file is damaged: {text}")
    if (await patient.snapshot.fetch("PRAGMA journal_mode"))[0][0] != "wal":
        yield Finding(
            "engine", "error", "the file is not in WAL mode: readers and writers wait for each other"
        )
    if patient.settings.storage.durability != "full":
        yield Finding(
            "engine", "warning", "durability is `normal`: a power cut may take the last commits along"
        )
    file = Path(patient.settings.storage.url.partition(":")[2].removeprefix("//"))
    for finding in _check_file(file):
        yield finding


def _check_file(file: Path) -> list[Finding]:
    findings = []
    size, mode = file.stat().st_size, file.stat().st_mode
    free = shutil.disk_usage(file.parent).free
    if free < max(size * LEAST_FREE, 64 * 1024 * 1024):
        findings.append(Finding("engine", "warning", f"only {free:,} bytes are free beside {file}"))
    if mode & stat.S_IROTH:
        text = f"{file} can be read by every user of this machine: it has hashes of passwords"
        findings.append(Finding("engine", "warning", text))
    return findings


async def _check_postgresql(patient: Patient) -> AsyncIterator[Finding]:
    names = "server_version_num fsync full_page_writes synchronous_commit max_connections server_encoding"
    settings = {
        name: (await patient.snapshot.fetch("SELECT current_setting($1)", (name,)))[0][0]
        for name in names.split()
    }
    if int(settings["server_version_num"]) < LEAST_POSTGRESQL:
        yield Finding("engine", "error", f"PostgreSQL is {settings['server_version_num']}, the least is 14")
    if settings["fsync"] != "on":
        yield Finding("engine", "error", "fsync is off: a power cut may destroy the whole database")
    if settings["full_page_writes"] != "on":
        yield Finding("engine", "warning", "full_page_writes is off: a power cut may tear pages")
    if settings["synchronous_commit"] == "off":
        text = "synchronous_commit is off: a crash may take along commits that were confirmed to clients"
        yield Finding("engine", "warning", text)
    if settings["server_encoding"] != "UTF8":
        yield Finding("engine", "error", f"the encoding is {settings['server_encoding']}, and must be UTF8")
    wanted = patient.settings.storage.pool_size * patient.settings.server.workers
    if wanted > int(settings["max_connections"]) - 3:
        text = f"the workers may open {wanted} connections, max_connections is {settings['max_connections']}"
        yield Finding("engine", "warning", text)


async def check_time(patient: Patient) -> AsyncIterator[Finding]:
    """This machine and the database agree on the time."""
    if patient.store.engine.dialect is Dialect.SQLITE:
        return
    before = time.time()
    there = float((await patient.snapshot.fetch("SELECT extract(epoch FROM clock_timestamp())"))[0][0])
    skew = max(before - there, there - time.time(), 0.0)
    if skew > SKEW_SECONDS:
        yield Finding("time", "warning", f"this machine's clock and the database's differ by {skew:,.1f} s")


async def check_configuration(patient: Patient) -> AsyncIterator[Finding]:
    """The configuration, which could be read, has what it needs to be safe."""
    settings = patient.settings
    if not settings.protocol.userid_secret and any(policy.use == "basicauth" for policy in settings.policies):
        text = "protocol.userid_secret is not set: ids of basicauth users and page tokens can be made up"
        yield Finding("configuration", "warning", text)
    if "flush" in settings.features:
        yield Finding("configuration", "warning", "the feature `flush` is on: anybody can remove all data")
    for permission, principals in sorted(settings.access.items()):
        if permission.endswith("_write") and "system.Everyone" in principals:
            text = f"access.{permission} names system.Everyone: anybody can change everything"
            yield Finding("configuration", "warning", text)
