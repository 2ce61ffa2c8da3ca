"""The table of entries, and the kind of list that a bucket's history is."""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

from kintoun.model.kinds import BUCKET, COLLECTION, GROUP, RECORD, Kind, random_uuid
from kintoun.model.paths import ListPath
from kintoun.storage.sources import Source
from kintoun.storage.tables import Table

HISTORY = Kind("history", "history", BUCKET, new_id=random_uuid, shared=True)

RECORDED = frozenset((BUCKET, COLLECTION, GROUP, RECORD))
"""The kinds whose changes are entered."""

KNOWN_FIELDS = frozenset(
    (
        "action",
        "bucket_id",
        "collection_id",
        "date",
        "group_id",
        "record_id",
        "resource_name",
        "target",
        "uri",
        "user_id",
    )
)
"""The fields of an entry that can be filtered, sorted and selected by."""

# `body` is the entry as readers are sent it. `acl` and those after it are the digests of the ACLs that let it
# be read: the object's, its collection's and its bucket's. `name` is the object's id, `author` who wrote.
#
# `part` is one of a few parts that names fall into. An index by names would be written to in another place
# for each entry; this one in as many places as there are parts, and who looks for a name passes by the others
# of its part without leaving the index.
#
# From `origin` on it is what lists of the past are made of: the number of the list with the object, the
# version and the timestamp (`became`) that this change gave the list, the timestamp that it had before
# (`since`), and the row that the change replaced, NULL where there was none.
MIGRATIONS = (
    (
        """CREATE TABLE history (
            list {int} NOT NULL,
            id {text} NOT NULL,
            ts {int} NOT NULL,
            deleted {flag} NOT NULL,
            body {text} NOT NULL,
            acl {bytes} NOT NULL,
            acl_collection {bytes},
            acl_bucket {bytes},
            part {int} NOT NULL,
            name {text} NOT NULL,
            collection {text} NOT NULL,
            resource {text} NOT NULL,
            author {text} NOT NULL,
            origin {int} NOT NULL,
            version {int} NOT NULL,
            since {int} NOT NULL,
            became {int} NOT NULL,
            old_ts {int},
            old_deleted {flag},
            old_body {text},
            old_grants {text},
            old_acl {bytes}
        )""",
        "CREATE UNIQUE INDEX history_ts ON history (list, ts)",
        "CREATE INDEX history_name ON history (list, part, ts, name)",
        "CREATE INDEX history_collection ON history (list, collection, ts)",
        "CREATE INDEX history_origin ON history (origin, became)",
    ),
)

ENTRIES = Table(
    "history",
    (
        ("list", "int"),
        ("id", "text"),
        ("ts", "int"),
        ("deleted", "flag"),
        ("body", "text"),
        ("acl", "bytes"),
        ("acl_collection", "bytes"),
        ("acl_bucket", "bytes"),
        ("part", "int"),
        ("name", "text"),
        ("collection", "text"),
        ("resource", "text"),
        ("author", "text"),
        ("origin", "int"),
        ("version", "int"),
        ("since", "int"),
        ("became", "int"),
        ("old_ts", "int"),
        ("old_deleted", "flag"),
        ("old_body", "text"),
        ("old_grants", "text"),
        ("old_acl", "bytes"),
    ),
    key=("list", "ts"),
)


PARTS = 8


def part_of(name: str) -> int:
    """The part of the index that a name falls into."""
    return crc32(name.encode()) % PARTS


def _last_id(uri: str) -> str:
    return uri.rpartition("/")[2]


_NAME = (("part", part_of), ("name", str))


PAGES = Source(
    "history",
    acls=("acl", "acl_collection", "acl_bucket"),
    seen_by=("read", "write"),
    hints={
        "uri": (("part", lambda uri: part_of(_last_id(uri))), ("name", _last_id)),
        "record_id": _NAME,
        "group_id": _NAME,
        "bucket_id": _NAME,
        "collection_id": (("collection", str),),
    },
)


@lru_cache(maxsize=4096)
def history_of(bucket: str) -> ListPath:
    """The list of a bucket's entries."""
    return ListPath(HISTORY, (bucket,))
