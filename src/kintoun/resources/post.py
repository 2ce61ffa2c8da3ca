"""POST: add an object to a list, or find the one that has the id already (protocol section 5.1)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model.envelope import Envelope
from kintoun.model.errors import Detail, InvalidParameters
from kintoun.model.kinds import Kind
from kintoun.model.paths import ListPath, Path
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept, check_content_type, ill_formed_id
from kintoun.resources.ground import ground_of
from kintoun.resources.preconditions import NO_DEMANDS
from kintoun.resources.presentation import object_answer
from kintoun.resources.writing import (
    Kept,
    create,
    demands_of,
    envelope_of,
    keep,
    needs_in,
    prepared,
    rows_of,
)
from kintoun.storage.needs import Needs

Placed = Path | Literal[False] | None
"""Where an object is posted to: None when it has no id and its kind makes none, False for an id that no
object can have."""


async def post_object(kind: Kind, context: Context, request: Request) -> Answer:
    """POST on a list: create an object, or find the one that has the id already."""
    place = ListPath(kind, request.parameters)
    kept = keep(envelope_of, context, request, kind)
    path = place_in(place, kept, request.new_id)
    kept = await prepared(context, kind, path or None, kept)
    needs = needs_in(context, path) if path else Needs((), (), place.lineage)
    return await context.write(needs, partial(post, request, place, path, kept))


def place_in(place: ListPath, kept: Kept, new_id: str | None = None) -> Placed:
    """Where the object will stand."""
    data: dict[str, Any] = (kept.value.data or {}) if kept.error is None else {}
    if "id" in data:
        return place.object(data["id"]) if place.kind.accepts(data["id"]) else False
    if new_id is None and place.kind.new_id is not None:
        new_id = place.kind.new_id()
    return place.object(new_id) if new_id is not None else None


async def post(request: Request, place: ListPath, path: Placed, kept: Kept, work: Work) -> Answer:
    """The part of a POST that runs in the transaction; `kept` is the envelope."""
    context, kind = work.context, place.kind
    ground, own = await rows_of(work, path) if path else (await ground_of(work, place), None)
    ground.check_place()
    if path is False:
        raise ill_formed_id()
    check_accept(request)
    check_content_type(request)
    if own is not None:
        may = context.service.access.may_read(kind, ground.above, own, context.principals)
    else:
        may = ground.may_create
    if not may:
        raise context.refusal()
    ground.check_parent()
    preconditions, envelope = demands_of(context, request, kept)
    if path is None:
        raise InvalidParameters(Detail("body", "data.id", "data.id in body: Required"))
    if own is not None:
        preconditions.refuse_existing(own)
        return object_answer(context, kind, own)
    if preconditions is not NO_DEMANDS:
        preconditions.refuse_missing((await work.unit.standing(place)).timestamp)
    return object_answer(context, kind, await create(work, ground, path, envelope), 201)


async def post_plainly(path: Path, envelope: Envelope, work: Work) -> Answer:
    """What a POST comes to whose headers demand nothing, under an id that was just made up."""
    context = work.context
    ground = await ground_of(work, path.list)
    ground.check_place()
    if not ground.may_create:
        raise context.refusal()
    ground.check_parent()
    return object_answer(context, path.kind, await create(work, ground, path, envelope), 201)
