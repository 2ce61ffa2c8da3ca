"""Writing a plan: records, metadata, tracking fields, and what is remembered of it, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kintoun.features.signing.planning import Placed, Plan, Target
from kintoun.features.signing.reading import Position, position_of, records_of
from kintoun.features.signing.review import Step
from kintoun.features.signing.state import Edition, State, state_in, state_path
from kintoun.model import json
from kintoun.model.changes import Action, Change
from kintoun.model.paths import ListPath, Path, bucket_path
from kintoun.model.permissions import EVERYONE, acl_text, with_author
from kintoun.model.tuples import made
from kintoun.resources.context import Context, Work
from kintoun.storage.rows import Stored, Written

SIGNER_USER = "plugin:remote-settings"
"""The user id in whose name the signer writes."""

SIGNATURE_FIELDS = ("signatures", "signature")
PUBLISHED_FIELDS = ("flags", "attachment", "schema", "sort", "displayFields")
"""The attributes of a source's metadata that its targets get (signing section 9)."""

AT_ONCE = 500
"""Records after which others get their turn: a publication of many takes a while."""

SENT = 2500
"""Records after which those that were written are sent to the database."""


@contextmanager
def as_the_signer(context: Context) -> Iterator[None]:
    """Write where nobody else may: the guards of this feature let changes pass meanwhile."""
    before = context.notes.get(SIGNER_USER)
    context.notes[SIGNER_USER] = True
    try:
        yield
    finally:
        context.notes[SIGNER_USER] = before


def is_the_signer(context: Context) -> bool:
    return bool(context.notes.get(SIGNER_USER))


async def is_there(work: Work, path: Path) -> bool:
    """Whether an object is there, and not deleted."""
    row = await work.unit.object(path)
    return row is not None and not row.deleted


async def apply(work: Work, target: Target) -> None:
    """Write the records of a target as they were signed, and make what has to be there before them."""
    unit = work.unit
    records = records_of(target.path)
    is_new = not target.position.number
    if is_new:
        await _create(work, bucket_path(target.path.ids[0]), {"write": [work.context.author]})
        await _create(work, target.path, {"read": [EVERYONE]})
        # The list began a moment after its records were signed; nobody has seen it yet.
        first = target.placed.rows[0].timestamp if target.placed.rows else target.timestamp
        await unit.set_clock(records, first - 1)
    await place(work, records, target.placed)
    if is_new:
        await unit.set_clock(records, target.timestamp)


async def _create(work: Work, path: Path, grants: Mapping[str, Sequence[str]]) -> None:
    if not await is_there(work, path):
        await write(work, path, {}, acl_text(grants))


async def place(work: Work, records: ListPath, placed: Placed) -> None:
    """Write finished rows of records, many at once, and tell the hooks, while others get their turn too."""
    rows, before = placed
    for start in range(0, len(rows), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        if start and start % SENT == 0:
            await work.unit.flush()
        some, stood = rows[start : start + AT_ONCE], before[start : start + AT_ONCE]
        paths = [records.object(row.id) for row in some]
        clock = await work.unit.place(records, paths, some, stood)
        since = (clock.timestamp, *(row.timestamp for row in some[:-1]))
        changes = list(map(_change, paths, some, stood, since))
        await work.context.changed_together(changes)


async def write(work: Work, path: Path, attributes: dict[str, Any], grants: str) -> None:
    """Write an object, and tell the hooks."""
    await _tell(work, path, await work.unit.put(path, attributes, grants))


async def delete(work: Work, path: Path) -> None:
    """Delete an object, and tell the hooks."""
    await _tell(work, path, await work.unit.delete(path))


async def _tell(work: Work, path: Path, written: Written) -> None:
    await work.context.changed(_change(path, *written))


def _change(path: Path, row: Stored, before: Stored | None, since: int) -> Change:
    if before is None or before.deleted:
        action: Action = "delete" if row.deleted else "create"
        old_body = old_grants = None
    else:
        action = "delete" if row.deleted else "update"
        old_body, old_grants = before.body, before.grants
    old_timestamp = before.timestamp if before is not None else None
    return made(
        Change,
        (
            action,
            path,
            old_body,
            row.body,
            row.grants,
            row.timestamp,
            SIGNER_USER,
            old_grants,
            old_timestamp,
            since,
        ),
    )


async def describe(
    work: Work, target: Path, source: Mapping[str, Any], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Write what the metadata of a target has to say: what its source says, and its signatures."""
    row = await work.unit.object(target)
    assert row is not None, "it was there or has been made"
    metadata: dict[str, Any] = json.decode(row.body.encode())
    before = dict(metadata)
    del metadata["last_modified"]
    metadata |= {name: source[name] for name in PUBLISHED_FIELDS if name in source}
    metadata |= attributes
    if {**metadata, "last_modified": row.timestamp} != before:
        await write(work, target, metadata, row.grants)
    return metadata


async def update_source(
    work: Work, source: Path, fields: Mapping[str, Any], writers: Sequence[str] = ()
) -> None:
    """Set fields of a source's metadata, if it is there, and let more principals write it."""
    row = await work.unit.object(source)
    if row is None or row.deleted:
        return
    metadata: dict[str, Any] = json.decode(row.body.encode())
    del metadata["last_modified"]
    grants = row.grants
    for principal in writers:
        grants = with_author(grants, principal)
    await write(work, source, {**metadata, **fields}, grants)


async def remember(work: Work, plan: Plan) -> Mapping[str, Edition]:
    """Write down what the targets now have, and whom the next approval may not come from.

    Returns the editions by the paths of the targets.
    """
    unit, workflow, step = work.unit, plan.workflow, plan.step
    state = state_in(await unit.object(state_path(workflow.source)))
    editions = dict(state.editions)
    source = position_of(records_of(workflow.source), await unit.clock(records_of(workflow.source)))
    if step in (Step.APPROVE, Step.ROLL_BACK):  # then all are alike, those too that were not written
        for path, edition in editions.items():
            editions[path] = edition._replace(source=source.number, until=source.timestamp)
    for target in plan.targets:
        clock = await unit.clock(records_of(target.path))
        if clock is not None and clock.list is not None:
            editions[str(target.path)] = _edition(target, step, clock.list, source)
    emptied = step in (Step.CREATE, Step.APPROVE, Step.ROLL_BACK, Step.DELETE)
    editors = () if emptied else state.editors
    review = plan.review if step is Step.REQUEST else None if emptied else state.review
    await State(0, editors, review, editions).save(unit, workflow.source)
    return editions


def _edition(target: Target, step: Step, number: int, source: Position) -> Edition:
    before, position = target.before, target.position
    count = before.number + 1 if before is not None else 1
    edition = Edition(number, target.timestamp, target.message.name, source.number, source.timestamp, count)
    if step is not Step.RESIGN:
        return edition
    if before is None or (before.list, before.timestamp) != (position.number, position.timestamp):
        return edition._replace(source=0, until=0)
    return edition._replace(source=before.source, until=before.until)
