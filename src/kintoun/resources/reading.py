"""Reading one object (protocol section 4.1)."""

from __future__ import annotations

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.fields import Fields, parse_fields
from kintoun.model.kinds import Kind
from kintoun.model.paths import Path
from kintoun.model.query import split_query
from kintoun.resources.context import Context
from kintoun.resources.errors import check_accept, collect, ill_formed_id, unknown_object, unknown_parent
from kintoun.resources.preconditions import Preconditions, parse_preconditions, stamp
from kintoun.resources.presentation import caching, object_answer
from kintoun.resources.writing import check_body
from kintoun.storage.rows import Stored, Wanted


async def get_object(kind: Kind, context: Context, request: Request) -> Answer:
    """GET and HEAD of an object."""
    check_accept(request)
    path = Path(kind, request.parameters)
    found = await context.load(Wanted(points=path.lineage))
    *above, own = found.points
    row = own if own is not None and not own.deleted else None
    service = context.service
    if not service.access.may_read(kind, above, row, context.principals):
        raise context.refusal()
    if above and (above[-1] is None or above[-1].deleted):
        raise unknown_parent(path.lineage[-2])
    preconditions, fields = _parse(context, request)
    if not kind.accepts(path.id):
        raise ill_formed_id()
    if row is None:
        raise unknown_object(path)
    unchanged = not_modified(preconditions, row)
    if unchanged is not None:
        return unchanged
    headers = caching(context, path, above[-1] if above else None)
    if fields is None:
        return object_answer(context, kind, row, headers=headers, exposed="object")
    chosen = fields.apply(json.decode(row.body.encode()))
    return Answer(
        200, b'{"data":' + json.encode(chosen) + b"}", (*stamp(row.timestamp), *headers), exposed="object"
    )


def _parse(context: Context, request: Request) -> tuple[Preconditions, Fields | None]:
    """What a request demands and selects; raises all that is wrong with it at once."""
    headers = request.headers
    if not (request.query or request.body or "if-match" in headers or "origin" in headers):
        return parse_preconditions(request), None
    preconditions, fields, _, _ = collect(
        lambda: parse_preconditions(request),
        lambda: selected_fields(context, request),
        lambda: check_body(context, request),
        lambda: context.service.cors.check(request),
    )
    return preconditions, fields


def selected_fields(context: Context, request: Request) -> Fields | None:
    """The fields that a request for one object selects; None for all."""
    given = [value for name, value in split_query(request.query) if name == "_fields"]
    return parse_fields(",".join(given), context.service.query_limits.selected_fields) if given else None


def not_modified(preconditions: Preconditions, row: Stored) -> Answer | None:
    """The 304 of a caller that has the object already; raises the 412 of one that demanded another."""
    if preconditions.none_match == row.timestamp:
        return Answer(304, b"", stamp(row.timestamp), exposed="object")
    preconditions.refuse_existing(row)
    return None
