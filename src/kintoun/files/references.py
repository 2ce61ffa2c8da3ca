"""Which locations records name, noted in the transactions that write the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kintoun.model import json
from kintoun.model.kinds import RECORD
from kintoun.model.paths import Path
from kintoun.storage.dialect import Dialect
from kintoun.storage.lanes import Closing
from kintoun.storage.rows import Stored
from kintoun.storage.unit import Unit

Relative = Callable[[str], str]

AT_ONCE = 200
"""Locations that one statement holds."""

MARK = '"attachment"'
"""What the body of every record has that names a location: others need not be decoded."""

# Also locks the location's row, so that nobody sweeps it before the reference is committed.
_HOLD = "UPDATE location SET orphaned = NULL WHERE location IN ({}) RETURNING location"
_HOLD_AND_REFER = (
    "WITH held AS (UPDATE location SET orphaned = NULL WHERE location = $3 RETURNING location)"
    " INSERT INTO reference (list, id, location) SELECT $1, $2, location FROM held"
    " ON CONFLICT (list, id) DO UPDATE SET location = excluded.location RETURNING location"
)
_REFER = (
    "INSERT INTO reference (list, id, location) VALUES ($1, $2, $3)"
    " ON CONFLICT (list, id) DO UPDATE SET location = excluded.location"
)
_RELEASE = "DELETE FROM reference WHERE list = $1 AND id = $2"


def location_in(body: str, relative: Relative) -> str | None:
    """The location that a record names, as `relative` shortens it; None when it names none."""
    if MARK not in body:
        return None
    attachment = json.decode(body.encode()).get("attachment")
    if not isinstance(attachment, dict) or not isinstance(attachment.get("location"), str):
        return None
    return relative(attachment["location"])


def follow_references(relative: Relative, dialect: Dialect) -> Closing:
    """What notes, at the end of each transaction, which locations the records that it wrote name now."""
    at_once = dialect is Dialect.POSTGRESQL  # where every statement is a round trip

    def named(row: Stored | None) -> str | None:
        return None if row is None or row.deleted else location_in(row.body, relative)

    async def follow(unit: Unit) -> None:
        renumbered = None
        holds: set[str] = set()
        released: list[tuple[int, str]] = []
        referred: list[tuple[int, str, str]] = []
        for path, old, new in _naming(unit, named):
            clock = unit.standing_at(path.list)
            if clock is None or clock.list is None:
                continue
            if renumbered is None:
                renumbered = _renumbered(unit)
            if clock.path in renumbered:
                old = None  # it stood in the list that had the former number
            if new is not None and old != new:
                holds.add(new)
                referred.append((clock.list, path.id, new))
            elif old is not None and new is None:
                released.append((clock.list, path.id))
        if at_once and len(referred) == 1 and not released:
            await _note_one(unit, *referred[0])
        elif referred or released:
            await _note(unit, holds, released, referred)

    return follow


def _naming(
    unit: Unit, named: Callable[[Stored | None], str | None]
) -> Iterator[tuple[Path, str | None, str | None]]:
    """The records written that name a location, or did: with the one of before, and that of now."""
    for path, before, after in unit.objects_changed():
        if path.kind is RECORD:
            old, new = named(before), named(after)
            if old is not None or new is not None:
                yield path, old, new


def _renumbered(unit: Unit) -> set[object]:
    """The lists that were given another number in this transaction."""
    return {
        after.path for before, after in unit.clocks_changed() if before is None or before.list != after.list
    }


async def _note_one(unit: Unit, number: int, id_: str, location: str) -> None:
    if not await unit.transaction.fetch(_HOLD_AND_REFER, (number, id_, location)):
        await unit.transaction.fetch(_RELEASE, (number, id_))


async def _note(
    unit: Unit,
    holds: Iterable[str],
    released: list[tuple[int, str]],
    referred: list[tuple[int, str, str]],
) -> None:
    transaction = unit.transaction
    # Always in the same order, so that two transactions do not wait for each other.
    ordered = sorted(holds)
    known: set[str] = set()
    for start in range(0, len(ordered), AT_ONCE):
        step = ordered[start : start + AT_ONCE]
        marks = ", ".join(f"${n}" for n in range(1, len(step) + 1))
        known.update(row[0] for row in await transaction.fetch(_HOLD.format(marks), step))
    foreign = [(number, id_) for number, id_, location in referred if location not in known]
    if released or foreign:
        await transaction.execute_many(_RELEASE, released + foreign)
    if known:
        await transaction.execute_many(_REFER, [row for row in referred if row[2] in known])
