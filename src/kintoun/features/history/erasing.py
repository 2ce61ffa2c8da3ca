"""Forgetting a user: what they wrote, and what names them, is no longer told by any history."""

from __future__ import annotations

from kintoun.features.history.counting import forgotten
from kintoun.features.history.table import history_of
from kintoun.model import json
from kintoun.resources.context import Work
from kintoun.storage.dialect import Dialect

_CONTAINS = {
    Dialect.SQLITE: "instr({column}, $2) > 0",
    Dialect.POSTGRESQL: "strpos({column}, $2) > 0",
}
_COLUMNS = ("body", "old_body", "old_grants")


async def forget_user(work: Work, principal: str) -> None:
    """Delete every entry that the user wrote or that names the user: in data, in groups, in ACLs."""
    await work.unit.flush()  # forgetting has just changed objects, and that was entered too
    transaction = work.unit.transaction
    contains = _CONTAINS[work.context.service.store.engine.dialect]
    named = " OR ".join(contains.format(column=f"h.{column}") for column in _COLUMNS)
    condition = f"(h.author = $1 OR {named})"
    values = (principal, json.encode_text(principal))
    # Their lists are locked before anything is deleted, like those of every other write.
    buckets = await transaction.fetch(
        f"SELECT DISTINCT k.bucket FROM history h JOIN clock k ON k.list = h.list WHERE {condition}", values
    )
    for (bucket,) in sorted(buckets, key=lambda row: str(row[0])):
        path = history_of(bucket)
        clock = await work.unit.standing(path)
        gone = await transaction.fetch(
            f"DELETE FROM history AS h WHERE h.list = $3 AND {condition} RETURNING deleted",
            (*values, clock.list),
        )
        if gone:
            dead = sum(row[0] for row in gone)
            work.unit.tick(forgotten(clock, len(gone) - dead, dead))
