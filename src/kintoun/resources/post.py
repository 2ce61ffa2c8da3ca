"""POST: add an object to a list, or find the one that has the id already (protocol section 5.1)."""

from __future__ import annotations

from typing import Any

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model.errors import Detail, InvalidParameters
from kintoun.model.kinds import Kind
from kintoun.model.paths import ListPath, Path
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept, check_content_type, ill_formed_id
from kintoun.resources.presentation import object_answer
from kintoun.resources.writing import (
    check_parent,
    check_place,
    create,
    demands_of,
    envelope_of,
    keep,
    needs_in,
    prepared,
    rows_of,
)
from kintoun.storage.unit import Needs


async def post_object(kind: Kind, context: Context, request: Request) -> Answer:
    """POST on a list: create an object, or find the one that has the id already."""
    place = ListPath(kind, request.parameters)
    kept = keep(envelope_of, context, request, kind)
    data: dict[str, Any] = (kept.value.data or {}) if kept.error is None else {}
    ill_formed = "id" in data and not kind.accepts(data["id"])
    path = None if ill_formed else _place_of(place, data, request.new_id)
    kept = await prepared(context, kind, path, kept)
    needs = needs_in(context, path) if path is not None else Needs((), (), place.lineage)

    async def act(work: Work) -> Answer:
        if path is not None:
            above, own = await rows_of(work, path)
        else:
            above, own = await work.unit.objects(place.lineage), None
        check_place(place, above)
        if ill_formed:
            raise ill_formed_id()
        check_accept(request)
        check_content_type(request)
        access, principals = context.service.access, context.principals
        if own is not None:
            may = access.may_read(kind, above, own, principals)
        else:
            may = access.may_create(kind, above, principals)
        if not may:
            raise context.refusal()
        check_parent(place, above)
        preconditions, envelope = demands_of(context, request, kept)
        if path is None:
            raise InvalidParameters(Detail("body", "data.id", "data.id in body: Required"))
        if own is not None:
            preconditions.refuse_existing(own)
            return object_answer(context, kind, own)
        preconditions.refuse_missing((await work.unit.standing(place)).timestamp)
        return object_answer(context, kind, await create(work, path, above, envelope), 201)

    return await context.write(needs, act)


def _place_of(place: ListPath, data: dict[str, Any], new_id: str | None) -> Path | None:
    """Where the object will stand; None when it has no id and the kind makes none."""
    if "id" in data:
        return place.object(data["id"])
    if new_id is None and place.kind.new_id is not None:
        new_id = place.kind.new_id()
    return place.object(new_id) if new_id is not None else None
