"""The tables of files."""

from __future__ import annotations

# `blob.touched` is when somebody last asked to keep the content, `location.orphaned` since when no record is
# known to name it. `variant` holds the same content in other encodings: `source` is the SHA-256 of the
# dictionary that an encoding needs, empty for none; without a key it was found not to be worth it. `loose`
# has the keys under which there may be bytes that nothing stands for: of uploads that are under way, or
# broke off, and of blobs that were forgotten, which are `condemned`. `content` has the bytes of
# what is small.
MIGRATIONS = (
    (
        """CREATE TABLE blob (
            sha256 {text} NOT NULL PRIMARY KEY,
            key {text} NOT NULL UNIQUE,
            size {int} NOT NULL,
            created {int} NOT NULL,
            touched {int} NOT NULL
        )""",
        """CREATE TABLE location (
            location {text} NOT NULL PRIMARY KEY,
            sha256 {text} NOT NULL,
            filename {text} NOT NULL,
            mimetype {text} NOT NULL,
            bucket {text} NOT NULL,
            collection {text} NOT NULL,
            record {text} NOT NULL,
            created {int} NOT NULL,
            keep {flag} NOT NULL,
            orphaned {int}
        )""",
        "CREATE INDEX location_blob ON location (sha256)",
        "CREATE INDEX location_record ON location (bucket, collection, record, created)",
        "CREATE INDEX location_created ON location (created)",
        "CREATE INDEX location_orphaned ON location (orphaned)",
        """CREATE TABLE reference (
            list {int} NOT NULL,
            id {text} NOT NULL,
            location {text} NOT NULL,
            PRIMARY KEY (list, id)
        )""",
        "CREATE INDEX reference_location ON reference (location)",
        """CREATE TABLE variant (
            sha256 {text} NOT NULL,
            coding {text} NOT NULL,
            source {text} NOT NULL,
            key {text},
            size {int} NOT NULL,
            PRIMARY KEY (sha256, coding, source)
        )""",
        """CREATE TABLE loose (
            key {text} NOT NULL PRIMARY KEY,
            since {int} NOT NULL,
            condemned {flag} NOT NULL
        )""",
        "CREATE INDEX loose_since ON loose (condemned, since)",
    ),
    ("CREATE TABLE content (key {text} NOT NULL PRIMARY KEY, bytes {bytes} NOT NULL)",),
)
