"""Restoring: what stood there at a time is written again, as any write (hooks, schemas, clocks, history)."""

from __future__ import annotations

from typing import Any, NamedTuple

from kintoun.features.history.past import Asked, reached
from kintoun.http.answers import Answer, json_answer
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.envelope import Envelope
from kintoun.model.errors import invalid
from kintoun.model.kinds import COLLECTION, RECORD, Kind
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import holds_any, parse_acl
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept, check_content_type, collect, ill_formed_id, unknown_object
from kintoun.resources.ground import Ground
from kintoun.resources.preconditions import Preconditions, parse_preconditions, stamp
from kintoun.resources.presentation import object_answer
from kintoun.resources.put import replace
from kintoun.resources.writing import (
    Row,
    body_of,
    create,
    keep,
    needs_of,
    remove,
    rows_of,
)
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Stored

_ONE = (
    "SELECT h.old_ts, h.old_deleted, h.old_body, h.old_grants FROM history h"
    " WHERE h.origin = $1 AND h.became > $2 AND h.name = $3 ORDER BY h.version LIMIT 1"
)
_CHANGED = (
    "SELECT f.name, f.old_ts, f.old_deleted, f.old_body, f.old_grants FROM"
    " (SELECT h.*, row_number() OVER (PARTITION BY h.name ORDER BY h.version) AS place"
    " FROM history h WHERE h.origin = $1 AND h.became > $2) f WHERE f.place = 1 ORDER BY f.version LIMIT $3"
)


class Outcome(NamedTuple):
    """What restoring an object came to: its row, None where there is none, and whether it was written."""

    row: Row
    written: bool


async def restore_object(kind: Kind, context: Context, request: Request) -> Answer:
    """POST `/…/records/R/restore` and `/…/groups/G/restore`."""
    path = Path(kind, request.parameters)
    kept = keep(lambda: _time(context, request))

    async def act(work: Work) -> Answer:
        ground, own, preconditions, time = await _begin(work, request, path, kept)
        if own is None:
            preconditions.refuse_missing((await work.unit.standing(path.list)).timestamp)
        else:
            preconditions.refuse_existing(own)
        await reached(context, path.list, _asked(time))
        clock = await work.unit.standing(path.list)
        found = await work.unit.transaction.fetch(_ONE, (clock.list, time, path.id))
        past = _row(path.id, *found[0]) if found else own
        if own is not None:
            _check_shown(context, ground, past)
        if past is None and own is None:
            raise unknown_object(path)
        outcome = await _restore(work, ground, path, own, past)
        assert outcome.row is not None, "what was not there either was refused"
        if outcome.row.deleted:
            return Answer(200, f'{{"data":{outcome.row.body}}}'.encode(), stamp(outcome.row.timestamp))
        return object_answer(context, kind, outcome.row, 201 if own is None else 200)

    return await context.write(needs_of(path), act)


async def restore_collection(context: Context, request: Request) -> Answer:
    """POST `/…/collections/C/restore`: the collection's own attributes, and all of its records."""
    path = Path(COLLECTION, request.parameters)
    records = ListPath(RECORD, path.ids)
    kept = keep(lambda: _time(context, request))

    async def act(work: Work) -> Answer:
        ground, own, preconditions, time = await _begin(work, request, path, kept)
        if own is None:
            raise unknown_object(path)
        preconditions.refuse_list((await work.unit.standing(records)).timestamp)
        await reached(context, path.list, _asked(time))
        await reached(context, records, _asked(time))
        clock = await work.unit.standing(path.list)
        found = await work.unit.transaction.fetch(_ONE, (clock.list, time, path.id))
        past = _row(path.id, *found[0]) if found else own
        if past is None:
            raise invalid("body", "data.at", "There was no such collection at that time")
        _check_shown(context, ground, past)
        await _restore(work, ground, path, own, past)
        written, deleted = await _restore_records(work, records, time)
        clock = await work.unit.standing(records)
        told = {"id": path.id, "at": time, "last_modified": clock.timestamp}
        told |= {"restored": written, "deleted": deleted}
        return json_answer({"data": told}, headers=stamp(clock.timestamp))

    return await context.write(needs_of(path), act)


async def _begin(
    work: Work, request: Request, path: Path, kept: Any
) -> tuple[Ground, Row, Preconditions, int]:
    """The checks of a write, in their order: who may write what is there, or all of its list, may restore."""
    context = work.context
    ground, own = await rows_of(work, path)
    ground.check_place()
    check_accept(request)
    check_content_type(request)
    if not (ground.may_write if own is None else ground.grants_write(own, context.principals)):
        raise context.refusal()
    ground.check_parent()
    preconditions, time, _ = collect(
        lambda: parse_preconditions(request), kept.get, lambda: context.service.cors.check(request)
    )
    if not path.kind.accepts(path.id):
        raise ill_formed_id()
    await work.unit.flush()
    return ground, own, preconditions, time


def _time(context: Context, request: Request) -> int:
    """The time that the body `{"data": {"at": T}}` names."""
    body = body_of(context, request)
    if not isinstance(body, dict) or body.keys() != {"data"} or not isinstance(body["data"], dict):
        raise invalid("body", "data", 'The body must be {"data": {"at": T}}')
    unknown = sorted(body["data"].keys() - {"at"})
    if unknown:
        raise invalid("body", f"data.{unknown[0][:100]}", "Only `at` is understood here")
    time = body["data"].get("at")
    if type(time) is not int or time < 0:
        raise invalid("body", "data.at", "Must be a timestamp in milliseconds")
    return time


def _asked(time: int) -> Asked:
    return Asked(time, "body", "data.at")


def _row(
    object_id: str, timestamp: int | None, deleted: int | None, body: str | None, grants: str | None
) -> Row:
    """The live row that an entry replaced."""
    if body is None or timestamp is None or deleted:
        return None
    return Stored(object_id, timestamp, False, body, grants or "{}")


def _check_shown(context: Context, ground: Ground, past: Row) -> None:
    """Whoever may write by the object's own ACL alone brings back only what that ACL let them see."""
    if past is None or ground.may_write:
        return
    if not holds_any(past.grants, context.principals):
        raise context.refusal()


async def _restore(work: Work, ground: Ground, path: Path, own: Row, past: Row) -> Outcome:
    """Write what was there: its attributes, and where nothing is now its permissions too."""
    if past is None:
        return Outcome(await remove(work, path, own, None), True) if own is not None else Outcome(None, False)
    attributes = json.decode(past.body.encode())
    del attributes["last_modified"]
    if own is None:
        permissions = {name: sorted(holders) for name, holders in parse_acl(past.grants).items()}
        return Outcome(await create(work, ground, path, Envelope(attributes, permissions)), True)
    present = json.decode(own.body.encode())
    del present["last_modified"]
    if present == attributes:
        return Outcome(own, False)
    await replace(work, ground, path, own, Envelope(attributes, None))
    return Outcome(await work.unit.object(path), True)


async def _restore_records(work: Work, records: ListPath, time: int) -> tuple[int, int]:
    """Restore every record that has changed since; returns how many were written and deleted."""
    most = work.context.service.settings.limits.fetch_size
    number = (await work.unit.standing(records)).list
    changed = await work.unit.transaction.fetch(_CHANGED, (number, time, most + 1))
    if len(changed) > most:
        raise invalid("body", "data.at", f"More than {most} records have changed since")
    paths = [records.object(row[0]) for row in changed]
    await work.unit.prepare([Needs((), (), (*records.lineage, *paths))])
    written = deleted = 0
    for path, row in zip(paths, changed, strict=True):
        ground, own = await rows_of(work, path)
        past = _row(path.id, *row[1:])
        outcome = await _restore(work, ground, path, own, past)
        if outcome.written:
            deleted += past is None
            written += past is not None
    return written, deleted
