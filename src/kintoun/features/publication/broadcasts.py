"""`GET /__broadcasts__`: the version of all published data, which a push service tells its clients
(signing section 11.1).

An announcement makes every client ask, so one that is made stays for a while, and changes that follow one
another are announced together. What was announced last stands in a table, so all workers say the same.
"""

from __future__ import annotations

from kintoun.features.publication.lifetimes import ASK_AGAIN
from kintoun.features.publication.monitor import Monitor
from kintoun.features.publication.settings import PublicationSettings
from kintoun.http.answers import Answer, json_answer
from kintoun.http.requests import Request
from kintoun.model import timestamps
from kintoun.resources.context import Context
from kintoun.storage import Store
from kintoun.storage.engine import Transaction

CHANNEL = "remote-settings/monitor_changes"

MIGRATIONS = (("CREATE TABLE broadcast (channel {text} NOT NULL PRIMARY KEY, version {int} NOT NULL)",),)

_ANNOUNCED = "SELECT version FROM broadcast WHERE channel = $1"
_LOCK = "INSERT INTO broadcast (channel, version) VALUES ($1, 0) ON CONFLICT DO NOTHING"
_ANNOUNCE = "UPDATE broadcast SET version = $2 WHERE channel = $1 AND version < $2 RETURNING version"

PREVIEW = "-preview"
"""What the name of a bucket or collection has in it that only reviewers follow."""


class Broadcasts:
    """What is announced."""

    def __init__(self, store: Store, monitor: Monitor, settings: PublicationSettings) -> None:
        self._store = store
        self._monitor = monitor
        self._least = settings.broadcast_min_seconds * 1000
        self._most = settings.broadcast_max_seconds * 1000

    async def get(self, _context: Context, _request: Request) -> Answer:
        """The version that clients should have."""
        version = await self.version()
        return json_answer({"broadcasts": {CHANNEL: f'"{version}"'}, "code": 200}, headers=ASK_AGAIN)

    async def version(self) -> int:
        """The timestamp that is announced now; 0 when nothing is followed."""
        current = await self._current()
        rows = await self._store.fetch(_ANNOUNCED, (CHANNEL,))
        announced = int(rows[0][0]) if rows else 0
        if not is_due(announced, current, timestamps.now(), self._least, self._most):
            return announced
        return await self._store.transact(lambda transaction: _announce(transaction, current))

    async def _current(self) -> int:
        snapshot = await self._monitor.snapshot()
        for entry in snapshot.entries:  # the latest first
            if PREVIEW not in f"{entry['bucket']}/{entry['collection']}":
                latest: int = entry["last_modified"]
                return latest
        return 0


def is_due(announced: int, current: int, now: int, least: int, most: int) -> bool:
    """Whether the current version is to be announced in the place of another. All are milliseconds."""
    if current <= announced:
        return False
    age = now - announced
    if age < least:
        return False
    return now - current >= least or current - announced > least or age >= most


async def _announce(transaction: Transaction, version: int) -> int:
    """Announce a version, unless another worker has announced a later one; returns the one that stands."""
    await transaction.fetch(_LOCK, (CHANNEL,))
    await transaction.fetch(_ANNOUNCE, (CHANNEL, version))
    rows = await transaction.fetch(_ANNOUNCED, (CHANNEL,))
    return int(rows[0][0])
