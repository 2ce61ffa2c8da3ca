"""The nonces that were used, in a file that all workers share and that a restart leaves as it is."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from kintoun.signatures.hawk import Unauthorized

PAGE = 4096
ROW = 80
"""About how many bytes of the file one nonce takes, its place in the index included."""
LEAST_PAGES = 16
BUSY_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS nonce (digest BLOB NOT NULL PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS nonce_until ON nonce (until);
"""


class NonceFile:
    """Nonces that callers have used, until their timestamps are out of reach.

    The file does not outgrow about `most` of them. What there is no room for is refused rather than something
    forgotten: only who has a key can fill it. A nonce counts for its sender alone, so nobody burns another's.
    """

    def __init__(self, file: Path | str, skew: int, most: int) -> None:
        """Open the file, or make it. Raises sqlite3.Error."""
        self._skew = skew
        self._connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection.executescript(f"PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL;")
        self._connection.executescript(f"PRAGMA synchronous = NORMAL; {_SCHEMA}")
        self._connection.execute(f"PRAGMA max_page_count = {LEAST_PAGES + most * ROW // PAGE}")

    def use(self, sender: str, nonce: str, timestamp: int, now: float) -> None:
        """Remember a nonce. Raises Unauthorized when it was used or there is no room, else sqlite3.Error."""
        digest = hashlib.blake2b(f"{sender}\n{nonce}".encode(), digest_size=16).digest()
        self._connection.execute("DELETE FROM nonce WHERE until < ?", (now,))
        try:
            self._connection.execute("INSERT INTO nonce VALUES (?, ?)", (digest, timestamp + self._skew))
        except sqlite3.IntegrityError:
            raise Unauthorized("request nonce is being replayed") from None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise Unauthorized("too many requests within the time that timestamps are valid") from None

    def check(self) -> None:
        """Raise sqlite3.Error when the file cannot be read."""
        self._connection.execute("SELECT count(*) FROM (SELECT 1 FROM nonce LIMIT 1)").fetchone()

    def close(self) -> None:
        self._connection.close()
