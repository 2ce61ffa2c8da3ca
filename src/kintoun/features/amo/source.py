"""The records of a blocklist, read again when one of their collections has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from kintoun.features.amo.export import TYPES, Blocklist, Record
from kintoun.model import json
from kintoun.model.paths import ListPath
from kintoun.model.query import Sort
from kintoun.storage import Store
from kintoun.storage.rows import Page, Wanted

MOST_RECORDS = 20_000
"""Records of one collection that are looked at, the oldest first."""

Clocks = tuple[tuple[str, int, int, int], ...]


class Edition(NamedTuple):
    """A blocklist as it is at one time: when it last changed (milliseconds), and a tag that only it has."""

    tag: str
    changed: int
    blocklist: Blocklist


class Source:
    """A blocklist, of four collections."""

    def __init__(
        self, store: Store, lists: Mapping[str, ListPath], last_update: Literal["records", "collections"]
    ) -> None:
        self._store = store
        self._lists = lists
        self._last_update = last_update
        self._paths = sorted({str(path) for path in lists.values()})
        marks = ", ".join(f"${n}" for n in range(1, len(self._paths) + 1))
        self._sql = (
            f"SELECT path, coalesce(list, 0), version, ts FROM clock WHERE path IN ({marks}) ORDER BY path"
        )
        self._edition: Edition | None = None
        self._clocks: Clocks | None = None
        self._reading = asyncio.Lock()

    async def edition(self) -> Edition:
        """The present edition. One question to the database tells whether it is that which is known."""
        clocks = await self._now()
        if clocks != self._clocks:
            async with self._reading:
                # What is read after the clocks may be newer than they say, never older: then they have moved
                # on when the next request comes.
                clocks = await self._now()
                if clocks != self._clocks:
                    self._edition = await self._read(clocks)
                    self._clocks = clocks
        assert self._edition is not None, "there are always clocks to compare with"
        return self._edition

    async def _now(self) -> Clocks:
        return tuple(
            (row[0], row[1], row[2], row[3]) for row in await self._store.fetch(self._sql, self._paths)
        )

    async def _read(self, clocks: Clocks) -> Edition:
        lists = {kind: await self._records(self._lists[kind]) for kind in TYPES}
        changed = max((clock[3] for clock in clocks), default=0)
        newest = max((records[-1]["last_modified"] for records in lists.values() if records), default=0)
        tag = sha256(repr(clocks).encode()).hexdigest()[:16]
        blocklist = await asyncio.to_thread(
            Blocklist, lists, newest if self._last_update == "records" else changed
        )
        return Edition(tag, changed, blocklist)

    async def _records(self, path: ListPath) -> list[Record]:
        """The enabled records of a collection, the oldest first."""
        page = Page((), (Sort("last_modified", False),), MOST_RECORDS, deleted=False)
        found = await self._store.read(Wanted(clock=path, page=page))
        records: list[dict[str, Any]] = [json.decode(row[3].encode()) for row in found.rows or ()]
        return [record for record in records if record.get("enabled") is True]
