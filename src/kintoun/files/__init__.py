"""Files of any size: named by their content, kept on a disk or in an object store, and never lost.

A *blob* is some content, under its SHA-256; its bytes stand under a *key*: in the database if they are few,
and otherwise in the back end, whose keys are used once and never again. A *location* is a name that readers
know, the rest of a URL, and says which blob it stands for. A *reference* is a record that names a location;
it comes and goes in the record's own transaction. What no record names any longer is removed in the
background, after a time of grace. `sweeping` tells why that can never hurt an upload of the same content.

A feature that keeps files has `MIGRATIONS` as its own, inherits `FileSettings`, and calls `start_files`; the
others find what it started with `files_of`.
"""

from kintoun.files.backends import Backend, BackendFailed
from kintoun.files.files import Files, Location, LocationTaken, Variant, files_at, files_of, start_files
from kintoun.files.keeping import Blob, BlobGone
from kintoun.files.settings import FileSettings
from kintoun.files.spool import Spool, TooLarge
from kintoun.files.tables import MIGRATIONS

__all__ = [
    "MIGRATIONS",
    "Backend",
    "BackendFailed",
    "Blob",
    "BlobGone",
    "FileSettings",
    "Files",
    "Location",
    "LocationTaken",
    "Spool",
    "TooLarge",
    "Variant",
    "files_at",
    "files_of",
    "start_files",
]
