"""The records every server holds: some 420 bytes of JSON, 8 fields, a nested object, a list of objects."""

from __future__ import annotations

import uuid
from typing import Any

RECORDS = 10_000
CATEGORIES = 50
BUCKET = "bench"
READ = "reads"
"""The collection that is only read (and whose last ten records were changed, for the diff)."""
WRITE = "writes"
"""The collection whose records are replaced."""
CREATE = "creates"
"""The collection that batches add to."""
USER, PASSWORD = "bench", "bench-password"
_NAMESPACE = uuid.UUID("6f1c2a52-5f0e-4a53-9df1-2f0c8fd1d1a7")


def record_id(index: int) -> str:
    """The id of record *index*: looks random, as UUIDs from clients do, but is the same on every server."""
    return str(uuid.uuid5(_NAMESPACE, str(index)))


def record(index: int, revision: int = 0) -> dict[str, Any]:
    """The attributes of record *index*, without id and timestamp."""
    return {
        "title": f"Entry {index:07d} of the register, revision {revision}",
        "category": f"category-{index % CATEGORIES:02d}",
        "count": index,
        "ratio": round((index * 7919 % 10_000) / 10_000, 4),
        "published": index % 3 != 0,
        "summary": "A line of prose as long as people tend to write.",
        "author": {"name": f"Author {index % 97:02d}", "team": f"team-{index % 11:02d}", "level": index % 5},
        "files": [
            {"name": f"file-{index % 13:02d}.json", "size": 1024 + index % 4096},
            {"name": "notes.txt", "size": 512},
        ],
    }


def timestamps(now_ms: int, records: int) -> range:
    """Distinct, ascending timestamps that end a minute before *now_ms*."""
    return range(now_ms - 60_000 - records, now_ms - 60_000)
