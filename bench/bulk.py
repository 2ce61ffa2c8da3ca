"""Fill a collection of ours through the storage engine: a million records over HTTP would take an hour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bench import dataset
from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath
from kintoun.model.permissions import acl_text
from kintoun.settings import Storage
from kintoun.storage import open_store
from kintoun.storage.engine import Writes
from kintoun.storage.outgoing import digest
from kintoun.storage.rows import Clock

CHUNK = 5000
GRANTS = acl_text({"write": [f"account:{dataset.USER}"]})


def fill(
    storage_url: str,
    collection: str,
    records: int,
    progress: Callable[[int], None] = lambda _: None,
    record: Callable[[int], dict[str, Any]] = dataset.record,
) -> None:
    """Put *records* into an empty collection, as the account would have created them, in one transaction."""
    asyncio.run(_fill(storage_url, collection, records, progress, record))


async def _fill(
    storage_url: str,
    collection: str,
    records: int,
    progress: Callable[[int], None],
    record: Callable[[int], dict[str, Any]],
) -> None:
    place = ListPath(RECORD, (dataset.BUCKET, collection))
    store = await open_store(Storage(url=storage_url))
    try:
        transaction = await store.engine.begin()
        (clock,) = await transaction.lock([str(place)], [])
        assert clock.list is not None, "the collection is there"
        assert not clock.live, "the collection is empty"
        stamps = dataset.timestamps(int(time.time() * 1000), records)
        size = 0
        for start in range(0, records, CHUNK):
            progress(start)
            here = range(start, min(start + CHUNK, records))
            bodies = [_body(index, stamps[index], record(index)) for index in here]
            size += sum(map(len, bodies))
            rows = [
                (clock.list, dataset.record_id(index), stamps[index], 0, body, GRANTS, digest(GRANTS))
                for index, body in enumerate(bodies, start)
            ]
            await transaction.write(Writes(new=rows))
        version = clock.version + records
        filled = Clock(place, clock.list, clock.timestamp, version, records, 0, size, clock.watermark)
        await transaction.write(Writes(clocks=[filled]))
        await transaction.commit()
    finally:
        await store.close()


def _body(index: int, timestamp: int, record: dict[str, Any]) -> str:
    attributes = {**record, "id": dataset.record_id(index), "last_modified": timestamp}
    return msgspec.json.encode(attributes).decode()
