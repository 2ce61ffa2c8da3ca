"""What an operator does to a whole database: migrate a Kinto into it, back it up, purge it, examine it."""

from __future__ import annotations

from msgspec.structs import replace

from kintoun.settings import Storage
from kintoun.storage import Store, open_store
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Transaction

PATIENCE_SECONDS = 86_400.0
"""How long one statement may take: whole tables are read."""


class Refused(Exception):
    """The operation was not begun, or was taken back; the message says why."""


async def open_patiently(settings: Storage) -> Store:
    """The store without its replicas, connected, whose statements may take long. Raises `Unavailable`."""
    return await open_store(replace(settings, timeout_seconds=PATIENCE_SECONDS, replicas=[]))


async def begin_bulk(store: Store) -> Transaction:
    """A transaction for writing much at once: SQLite gets memory to keep its indexes in meanwhile."""
    transaction = await store.engine.begin()
    if store.engine.dialect is Dialect.SQLITE:
        await transaction.fetch("PRAGMA cache_size = -65536")
    return transaction
