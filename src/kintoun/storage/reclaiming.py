"""Reclaiming the space of lists whose parent was deleted: in the background, in small steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kintoun.storage import Store
from kintoun.storage.needs import Needs
from kintoun.storage.unit import Unit

STEP = 500
"""Rows deleted in one transaction, so that no writer waits long behind it."""

PAUSE_SECONDS = 0.05


class _Step:
    """One step: some rows of one unlinked list; done twice, or by two workers at once, it does no harm."""

    needs = Needs()

    def __init__(self, tables: Sequence[str]) -> None:
        self._tables = tables

    async def run(self, unit: Unit) -> bool:
        """Returns whether there may be more to do."""
        transaction = unit.transaction
        waiting = await transaction.fetch("SELECT list FROM unlinked LIMIT 1")
        if not waiting:
            return False
        number = waiting[0][0]
        for table in self._tables:
            gone = await transaction.fetch(
                f"DELETE FROM {table} WHERE list = $1 AND ts IN"
                f" (SELECT ts FROM {table} WHERE list = $1 ORDER BY ts LIMIT $2) RETURNING 1",
                (number, STEP),
            )
            if len(gone) == STEP:
                return True
        await transaction.fetch("DELETE FROM member WHERE list = $1", (number,))
        await transaction.fetch("DELETE FROM unlinked WHERE list = $1", (number,))
        return True


async def reclaim(store: Store, tables: Sequence[str] = ("object",)) -> None:
    """Reclaim what unlinked lists have in these tables, until nothing is left to reclaim."""
    more = True
    while more:
        more = await store.write(_Step(tables))
        await asyncio.sleep(PAUSE_SECONDS)
