"""The publication log in the database: one row for each publication, written in its transaction.

Each row has the hash of the one before. So publications enter the log one after the other: each holds the
clock of the buckets' list, as it does anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kintoun.model import timestamps
from kintoun.model.paths import BUCKETS
from kintoun.signatures.publication_log import START, Entry
from kintoun.storage import Fetch
from kintoun.storage.tables import Table
from kintoun.storage.unit import Unit

COLUMNS = tuple(Entry.__slots__)

STEPS = (
    (
        # `number` counts from 1 without a gap, `time` is in milliseconds since the epoch; `hash` and
        # `previous` are SHA-256 in hexadecimal: see `signatures.publication_log`.
        """CREATE TABLE publication_log (
            number {int} NOT NULL PRIMARY KEY,
            time {int} NOT NULL,
            author {text} NOT NULL,
            action {text} NOT NULL,
            bucket {text} NOT NULL,
            collection {text} NOT NULL,
            manifest {text} NOT NULL,
            previous {text} NOT NULL,
            hash {text} NOT NULL
        )""",
        "CREATE UNIQUE INDEX publication_log_collection ON publication_log (bucket, collection, number)",
    ),
)

ENTRIES = Table(
    "publication_log",
    (
        ("number", "int"),
        ("time", "int"),
        ("author", "text"),
        ("action", "text"),
        ("bucket", "text"),
        ("collection", "text"),
        ("manifest", "text"),
        ("previous", "text"),
        ("hash", "text"),
    ),
)

_COLUMNS = ", ".join(name for name, _ in ENTRIES.columns)
_LAST = "SELECT number, time, hash FROM publication_log ORDER BY number DESC LIMIT 1"
_LAST_OF = (
    "SELECT manifest FROM publication_log WHERE bucket = $1 AND collection = $2 ORDER BY number DESC LIMIT 1"
)
_PAGE = f"SELECT {_COLUMNS} FROM publication_log WHERE number > $1 ORDER BY number LIMIT $2"


class Head(NamedTuple):
    """The last entry; that before the first has the number 0."""

    number: int = 0
    time: int = 0
    hash: str = START


async def head(fetch: Fetch) -> Head:
    """The last entry that was committed."""
    rows = await fetch(_LAST)
    return Head(*rows[0]) if rows else Head()


async def last_manifest(fetch: Fetch, bucket: str, collection: str) -> str | None:
    """The manifest of a collection's last publication, in JSON; also when the collection is gone."""
    rows = await fetch(_LAST_OF, (bucket, collection))
    return rows[0][0] if rows else None


async def page(fetch: Fetch, after: int, most: int) -> list[Entry]:
    """The entries behind a number, in their order."""
    return [Entry(*row) for row in await fetch(_PAGE, (after, most))]


def append(unit: Unit, user: str, action: str, bucket: str, collection: str, manifest: str) -> None:
    """Enter a publication when the transaction commits."""
    row: list[Any] = [0, 0, user, action, bucket, collection, manifest, "", ""]
    unit.add(ENTRIES, row)


async def seal(unit: Unit) -> None:
    """Chain what the transaction enters to what was entered before: its last step."""
    rows: Sequence[Any] = unit.added(ENTRIES)
    if not rows:
        return
    await unit.clock(BUCKETS)  # until the commit nobody else reads the last entry here
    last = await head(unit.transaction.fetch)
    for row in rows:
        _, _, user, action, bucket, collection, manifest, _, _ = row
        time = max(last.time, timestamps.now())
        entry = Entry(last.number + 1, time, user, action, bucket, collection, manifest, last.hash).sealed()
        row[:] = [getattr(entry, name) for name in COLUMNS]
        last = Head(entry.number, entry.time, entry.hash)
