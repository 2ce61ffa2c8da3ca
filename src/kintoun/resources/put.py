"""PUT: create an object, or replace what is there (protocol section 5.2)."""

from __future__ import annotations

from functools import partial

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.envelope import Envelope
from kintoun.model.kinds import Kind
from kintoun.model.paths import Path
from kintoun.model.permissions import acl_text
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept, check_content_type, ill_formed_id
from kintoun.resources.ground import Ground
from kintoun.resources.preconditions import NO_DEMANDS
from kintoun.resources.presentation import object_answer
from kintoun.resources.writing import (
    Kept,
    Row,
    check_id,
    create,
    demands_of,
    envelope_of,
    keep,
    needs_in,
    owned,
    prepared,
    rows_of,
    write,
)
from kintoun.storage.rows import Stored


async def put_object(kind: Kind, context: Context, request: Request) -> Answer:
    """PUT: create an object, or replace what is there."""
    path = Path(kind, request.parameters)
    kept = await prepared(context, kind, path, keep(envelope_of, context, request, kind))
    return await context.write(needs_in(context, path), partial(put, request, path, kept))


async def put(request: Request, path: Path, kept: Kept, work: Work) -> Answer:
    """The part of a PUT that runs in the transaction; `kept` is the envelope."""
    context, kind = work.context, path.kind
    ground, own = await rows_of(work, path)
    ground.check_place()
    check_accept(request)
    check_content_type(request)
    if own is None or request.headers.get("if-none-match") == "*":
        may = ground.may_create
    else:
        may = ground.grants_write(own, context.principals)
    if not may:
        raise context.refusal()
    ground.check_parent()
    preconditions, envelope = demands_of(context, request, kept)
    if not kind.accepts(path.id):
        raise ill_formed_id()
    if own is None:
        if preconditions is not NO_DEMANDS:
            preconditions.refuse_missing((await work.unit.standing(path.list)).timestamp)
    elif preconditions is not NO_DEMANDS:
        may_read = context.service.access.may_read(kind, ground.above, own, context.principals)
        preconditions.refuse_existing(own, visible=may_read)
    return await _put(work, ground, path, own, envelope)


async def put_plainly(path: Path, envelope: Envelope, work: Work) -> Answer:
    """What a PUT comes to whose headers demand nothing, under an id that is well formed."""
    ground, own = await rows_of(work, path)
    ground.check_place()
    context = work.context
    if not (ground.may_create if own is None else ground.grants_write(own, context.principals)):
        raise context.refusal()
    ground.check_parent()
    return await _put(work, ground, path, own, envelope)


async def _put(work: Work, ground: Ground, path: Path, own: Row, envelope: Envelope) -> Answer:
    check_id(path, envelope.data)
    if own is None:
        # A schema that speaks of the id sees the one of the URL.
        envelope = envelope._replace(data={**(envelope.data or {}), "id": path.id})
        row = await create(work, ground, path, envelope)
        return object_answer(work.context, path.kind, row, 201)
    return await replace(work, ground, path, own, envelope)


async def replace(work: Work, ground: Ground, path: Path, own: Stored, envelope: Envelope) -> Answer:
    """Write all attributes of an object anew, or only its permissions."""
    context = work.context
    if envelope.data is None:
        attributes = json.decode(own.body.encode())
        del attributes["last_modified"]
    else:
        attributes = {**envelope.data, "id": path.id}
    ground.validate(attributes)
    grants = own.grants if not envelope.permissions else acl_text(envelope.permissions)
    row = await write(work, "update", path, own, attributes, owned(context, path, grants))
    return object_answer(context, path.kind, row)
