"""The table of entries, and the kind of list that a bucket's history is."""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

from kintoun.model.kinds import BUCKET, COLLECTION, GROUP, RECORD, Kind, random_uuid
from kintoun.model.paths import ListPath
from kintoun.storage.sources import Source
from kintoun.storage.tables import Columns, Table

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
# `part` is what workers look for that know only the first step.
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
    (
        # An index by names would be written to in another place for each entry. In this one entries follow
        # each other, and who looks for a name passes by the others of its collection without leaving it.
        "CREATE INDEX history_place ON history (list, collection, ts, name)",
        "DROP INDEX history_name",
        "DROP INDEX history_collection",
    ),
)

_SHARED: Columns = (
    ("list", "int"),
    ("deleted", "flag"),
    ("acl_collection", "bytes"),
    ("acl_bucket", "bytes"),
    ("origin", "int"),
    ("resource", "text"),
    ("collection", "text"),
    ("author", "text"),
    ("acl", "bytes"),
)
_OWN: Columns = (
    ("id", "id"),
    ("ts", "int"),
    ("body", "text"),
    ("part", "int"),
    ("name", "id"),
    ("version", "int"),
    ("since", "int"),
    ("became", "int"),
)
_OLD_SHARED: Columns = (("old_deleted", "flag"), ("old_grants", "text"), ("old_acl", "bytes"))
_OLD: Columns = (("old_ts", "int"), ("old_body", "text"))
_KEY = ("list", "ts")

CREATED = Table("history", (*_SHARED, *_OWN), _KEY, shared=len(_SHARED))
"""Entries of changes that replaced nothing."""

REPLACED = Table(
    "history", (*_SHARED, *_OLD_SHARED, *_OWN, *_OLD), _KEY, shared=len(_SHARED) + len(_OLD_SHARED)
)
"""Entries of changes that replaced a row."""


PARTS = 8


def part_of(name: str) -> int:
    """The part that a name falls into, see above."""
    return crc32(name.encode()) % PARTS


def _last_id(uri: str) -> str:
    return uri.rpartition("/")[2]


def _collection_in(uri: str) -> str:
    match = _IN_COLLECTION.match(uri)
    return match[1] if match else ""


_IN_COLLECTION = re.compile(r"/buckets/[^/]*/collections/([^/]*)")

_ANY = ("collection", ">=", lambda _: "")
"""Lets an index be taken in which the name comes after the collection."""
_NONE = ("collection", "=", lambda _: "")
_NAME = ("name", "=", str)

PAGES = Source(
    "history",
    acls=("acl", "acl_collection", "acl_bucket"),
    seen_by=("read", "write"),
    hints={
        "uri": (("collection", "=", _collection_in), ("name", "=", _last_id)),
        "record_id": (_ANY, _NAME),
        "group_id": (_NONE, _NAME),
        "bucket_id": (_NONE, _NAME),
        "collection_id": (("collection", "=", str),),
    },
)


@lru_cache(maxsize=4096)
def history_of(bucket: str) -> ListPath:
    """The list of a bucket's entries."""
    return ListPath(HISTORY, (bucket,))
