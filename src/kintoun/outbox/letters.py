"""Dead letters and waiting messages, as an operator sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kintoun.outbox.delivery import COLUMNS
from kintoun.storage import Store
from kintoun.storage.engine import Transaction


class Letter(NamedTuple):
    """A message that waits, or a dead letter: then `died` says since when (milliseconds)."""

    id: str
    channel: str
    target: str
    created: int
    attempts: int
    error: str
    due: int
    died: int | None


_SHOWN = "id, channel, target, created, attempts, error, due"
_WAITING = f"SELECT {_SHOWN}, NULL FROM outbox"
_DEAD = f"SELECT {_SHOWN}, died FROM outbox_dead"
_REVIVE = (
    f"INSERT INTO outbox ({COLUMNS})"
    " SELECT id, channel, target, place, payload, created, 0, 0, error FROM outbox_dead WHERE id = $1"
)
_DROP = "DELETE FROM outbox_dead WHERE id = $1 RETURNING 1"


async def letters(store: Store, *, waiting: bool, channel: str | None = None) -> list[Letter]:
    """The dead letters, or the messages that wait, oldest first."""
    where, args = (" WHERE channel = $1", (channel,)) if channel else ("", ())
    sql = f"{_WAITING if waiting else _DEAD}{where} ORDER BY created, id"
    return [Letter(*row) for row in await store.fetch(sql, args)]


async def retry(store: Store, ids: Sequence[str]) -> int:
    """Have dead letters delivered as if they were new; returns how many there were."""

    async def revive(transaction: Transaction) -> int:
        count = 0
        for each in ids:
            await transaction.fetch(_REVIVE, (each,))
            count += len(await transaction.fetch(_DROP, (each,)))
        return count

    return await store.transact(revive)


async def drop(store: Store, ids: Sequence[str]) -> int:
    """Delete dead letters; returns how many there were."""

    async def forget(transaction: Transaction) -> int:
        return sum([len(await transaction.fetch(_DROP, (each,))) for each in ids])

    return await store.transact(forget)
