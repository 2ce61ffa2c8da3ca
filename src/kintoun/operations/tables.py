"""The tables of a database and their columns, found by the steps that made them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kintoun.config import feature, feature_names
from kintoun.operations import Refused
from kintoun.operations.acls import Fetches
from kintoun.storage import Store, schema
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Steps

UNSAVED = frozenset({"feature_version", "lease"})
"""Tables that say something of the running servers or of the schema, and nothing of the data."""

_CREATED = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.IGNORECASE)
_ACL_COLUMN = re.compile(r"^acl(_|$)|_acl$")
_COLUMNS = {
    Dialect.SQLITE: "SELECT name, type FROM pragma_table_info('{}') ORDER BY cid",
    Dialect.POSTGRESQL: "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute"
    " WHERE attrelid = to_regclass('{}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
}
_NEUTRAL = {
    "TEXT": "text",
    "INTEGER": "int",
    "BLOB": "bytes",
    "text": "text",
    "bigint": "int",
    "integer": "int",
    "smallint": "int",
    "bytea": "bytes",
}


class Versions(NamedTuple):
    """The version of the schema, and those of the tables of features."""

    schema: int
    features: dict[str, int]


class SavedTable(NamedTuple):
    """A table: its name, and its columns with their types (`text`, `int`, `bytes`)."""

    name: str
    columns: tuple[tuple[str, str], ...]


def steps_of_features() -> dict[str, Sequence[Sequence[str]]]:
    """The steps of all installed features that have tables, whether or not they are switched on."""
    return {name: steps for name in feature_names() if (steps := feature(name).migrations)}


def created_by(steps: Steps) -> list[str]:
    """The names of the tables that the statements of these steps make."""
    return [name for step in steps for sql in step for name in _CREATED.findall(sql)]


def names_of_tables(versions: Versions) -> list[str]:
    """The names of all tables of a database at these versions."""
    names = created_by(schema.STEPS[: versions.schema])
    known = steps_of_features()
    for name, version in sorted(versions.features.items()):
        names += created_by(known[name][:version])
    return names


async def versions_of(store: Store) -> Versions:
    """What the database is at. Raises Refused when this server does not know it."""
    versions = Versions(await store.engine.schema_version(), await store.engine.feature_versions())
    check_known(versions)
    return versions


def check_known(versions: Versions) -> None:
    """Raise Refused for versions that are newer than this server's, and for features it does not have."""
    if versions.schema > len(schema.STEPS):
        raise Refused(f"the schema is at version {versions.schema}, this server knows {len(schema.STEPS)}")
    known = steps_of_features()
    for name, version in versions.features.items():
        if name not in known:
            raise Refused(f"there are tables of the feature `{name}`, which is not installed here")
        if version > len(known[name]):
            raise Refused(
                f"the tables of `{name}` are at version {version}, this server knows {len(known[name])}"
            )


async def saved_tables(database: Fetches, dialect: Dialect, versions: Versions) -> list[SavedTable]:
    """The tables that hold data, with their columns as they are."""
    tables = []
    for name in names_of_tables(versions):
        if name in UNSAVED:
            continue
        rows = await database.fetch(_COLUMNS[dialect].format(name))
        tables.append(SavedTable(name, tuple((row[0], _NEUTRAL[row[1]]) for row in rows)))
    return tables


async def acl_columns(database: Fetches, dialect: Dialect, versions: Versions) -> list[tuple[str, str]]:
    """The columns of features' tables that hold digests of ACLs, as the table and the column.

    They are known by their names: `acl`, and what begins with `acl_` or ends in `_acl`.
    """
    return [
        (table.name, name)
        for table in await saved_tables(database, dialect, versions)
        if table.name not in ("object", "acl_entry")
        for name, kind in table.columns
        if kind == "bytes" and _ACL_COLUMN.search(name)
    ]


def created_statements(dialect: Dialect, versions: Versions) -> Mapping[str, list[list[str]]]:
    """The statements that make a database of these versions: by feature ("" is the core), step by step."""
    engine = dialect.name.lower()
    known = steps_of_features()
    made = {"": [sqls for version, sqls in schema.statements(engine, 0) if version <= versions.schema]}
    for name, version in sorted(versions.features.items()):
        made[name] = [sqls for n, sqls in schema.statements(engine, 0, known[name]) if n <= version]
    return made
