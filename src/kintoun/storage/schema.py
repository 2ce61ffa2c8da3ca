"""The tables, the same on every engine, and the steps that bring an older database to them.

Only what every SQL engine can run: no trigger, sequence, stored procedure or advisory lock. A step is never
edited once it is released; a change of the schema is a new step at the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from kintoun.model import timestamps
from kintoun.model.kinds import BUCKET
from kintoun.model.paths import ROOT_LISTS
from kintoun.model.permissions import parse_acl
from kintoun.storage.engine import Steps, Writes
from kintoun.storage.rows import Clock

TYPES: dict[str, Mapping[str, str]] = {
    "sqlite": {
        "text": "TEXT",
        "int": "INTEGER",
        "flag": "INTEGER",
        "bytes": "BLOB",
        "size": "length(CAST(body AS BLOB))",
    },
    "postgresql": {
        "text": 'TEXT COLLATE "C"',
        "int": "BIGINT",
        "flag": "SMALLINT",
        "bytes": "BYTEA",
        "size": "octet_length(body)",
    },
}

STEPS: tuple[tuple[str, ...], ...] = (
    (
        # One row per list. It outlives the list's parent: a clock is never reset. `list` numbers the list's
        # present incarnation and is NULL while the parent does not exist.
        """CREATE TABLE clock (
            path {text} NOT NULL PRIMARY KEY,
            bucket {text},
            list {int} UNIQUE,
            ts {int} NOT NULL,
            version {int} NOT NULL,
            live {int} NOT NULL,
            dead {int} NOT NULL,
            bytes {int} NOT NULL,
            watermark {int} NOT NULL
        )""",
        "CREATE INDEX clock_bucket ON clock (bucket)",
        # An object and its tombstone are states of one row. `body` is the JSON that readers are sent,
        # `grants` the text of the ACL, `acl` its digest.
        """CREATE TABLE object (
            list {int} NOT NULL,
            id {text} NOT NULL,
            ts {int} NOT NULL,
            deleted {flag} NOT NULL,
            body {text} NOT NULL,
            grants {text} NOT NULL,
            acl {bytes} NOT NULL
        )""",
        "CREATE UNIQUE INDEX object_id ON object (list, id)",
        "CREATE UNIQUE INDEX object_ts ON object (list, ts)",
        "CREATE INDEX object_acl ON object (acl, list)",
        # What ACLs say, by principal. The entries of an ACL stand once for all objects that have the same,
        # under the digest of its text; they are never changed.
        """CREATE TABLE acl_entry (
            principal {text} NOT NULL,
            permission {text} NOT NULL,
            acl {bytes} NOT NULL,
            PRIMARY KEY (principal, acl, permission)
        )""",
        # Members of groups. `list` is the groups list's number, so that members go when a bucket goes.
        """CREATE TABLE member (
            principal {text} NOT NULL,
            list {int} NOT NULL,
            id {text} NOT NULL,
            PRIMARY KEY (principal, list, id)
        )""",
        "CREATE INDEX member_group ON member (list, id)",
        # Lists whose parent is gone, waiting for their space to be reclaimed.
        "CREATE TABLE unlinked (list {int} NOT NULL PRIMARY KEY)",
        "CREATE TABLE nonce (id {text} NOT NULL PRIMARY KEY, expires {int} NOT NULL)",
    ),
    (
        # Which of a feature's own steps were taken.
        """CREATE TABLE feature_version (
            feature {text} NOT NULL,
            version {int} NOT NULL,
            PRIMARY KEY (feature, version)
        )""",
        # Who does the background work of a name, and until when (milliseconds since the epoch) nobody else.
        """CREATE TABLE lease (
            name {text} NOT NULL PRIMARY KEY,
            holder {text} NOT NULL,
            expires {int} NOT NULL
        )""",
    ),
    (
        # Messages to others. `place` orders those of a target, `due` is when the next attempt may be made.
        """CREATE TABLE outbox (
            id {text} NOT NULL PRIMARY KEY,
            channel {text} NOT NULL,
            target {text} NOT NULL,
            place {text} NOT NULL,
            payload {text} NOT NULL,
            created {int} NOT NULL,
            due {int} NOT NULL,
            attempts {int} NOT NULL,
            error {text} NOT NULL
        )""",
        "CREATE INDEX outbox_place ON outbox (channel, target, place)",
        # Those that could not be delivered.
        """CREATE TABLE outbox_dead (
            id {text} NOT NULL PRIMARY KEY,
            channel {text} NOT NULL,
            target {text} NOT NULL,
            place {text} NOT NULL,
            payload {text} NOT NULL,
            created {int} NOT NULL,
            due {int} NOT NULL,
            attempts {int} NOT NULL,
            error {text} NOT NULL,
            died {int} NOT NULL
        )""",
        "CREATE INDEX outbox_dead_died ON outbox_dead (channel, died)",
    ),
    (
        # Tombstones are no longer part of a list's size, which quotas go by.
        """UPDATE clock SET bytes = bytes - coalesce(
            (SELECT sum({size}) FROM object WHERE object.list = clock.list AND object.deleted = 1), 0
        ) WHERE dead > 0""",
    ),
)

OBJECT_COLUMNS = ("list", "id", "ts", "deleted", "body", "grants", "acl")
"""The columns of an object's row, in the order in which rows are given to engines."""

VERSION_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (version {int} NOT NULL PRIMARY KEY)"


def statements(engine: str, after: int, steps: Steps | None = None) -> list[tuple[int, list[str]]]:
    """The steps (the core's by default) that a database at version `after` lacks: `(version, statements)`."""
    types = TYPES[engine]
    written = [[sql.format_map(types) for sql in step] for step in (STEPS if steps is None else steps)]
    return [(n, step) for n, step in enumerate(written, start=1) if n > after]


def first_clocks() -> list[Clock]:
    """The clocks of the lists that have no parent: they are there from the beginning."""
    return [Clock(path, secrets.randbits(62) + 1, timestamps.now(), 0, 0, 0, 0, 0) for path in ROOT_LISTS]


def clock_row(clock: Clock) -> tuple[Any, ...]:
    """A clock as the row of its table; `bucket` finds all lists below a bucket by equality."""
    path = clock.path
    bucket = path.parents[0] if path.kind.lineage[0] is BUCKET and path.parents else None
    return (
        str(path), bucket, clock.list, clock.timestamp, clock.version,
        clock.live, clock.dead, clock.bytes, clock.watermark,
    )  # fmt: skip


def entries_of(writes: Writes) -> list[tuple[str, str, bytes]]:
    """The entries of the ACLs of written objects, as rows of their table.

    In one order for all, so that transactions that add the same ones wait for each other in turn.
    """
    acls = {row[6]: row[5] for rows in (writes.new, writes.objects) for row in rows}
    return sorted(
        (principal, permission, name)
        for name, text in acls.items()
        for permission, principals in parse_acl(text).items()
        for principal in principals
    )
