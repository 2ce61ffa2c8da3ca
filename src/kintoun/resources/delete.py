"""DELETE of an object: its tombstone stays (protocol section 5.5)."""

from __future__ import annotations

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model import timestamps
from kintoun.model.errors import invalid
from kintoun.model.kinds import Kind
from kintoun.model.paths import Path
from kintoun.model.query import split_query
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept, collect, ill_formed_id, unknown_object
from kintoun.resources.preconditions import parse_preconditions, stamp
from kintoun.resources.writing import check_body, keep, needs_in, remove, require_write, rows_of


async def delete_object(kind: Kind, context: Context, request: Request) -> Answer:
    """DELETE of an object: its tombstone stays."""
    path = Path(kind, request.parameters)
    kept = keep(deletion_timestamp, request)
    body = keep(check_body, context, request)

    async def act(work: Work) -> Answer:
        ground, own = await rows_of(work, path)
        ground.check_place()
        check_accept(request)
        require_write(context, ground, own)
        preconditions, chosen, _, _ = collect(
            lambda: parse_preconditions(request),
            kept.get,
            body.get,
            lambda: context.service.cors.check(request),
        )
        if not kind.accepts(path.id):
            raise ill_formed_id()
        if own is None:
            raise unknown_object(path)
        preconditions.refuse_existing(own)
        row = await remove(work, path, own, chosen)
        return Answer(200, f'{{"data":{row.body}}}'.encode(), stamp(row.timestamp))

    return await context.write(needs_in(context, path), act)


def deletion_timestamp(request: Request) -> int | None:
    """The timestamp that the client wants the tombstone to have."""
    for name, value in split_query(request.query):
        if name == "last_modified":
            if not value.isascii() or not value.removeprefix("-").isdigit():
                raise invalid("querystring", "last_modified", f'"{value}" is not an integer')
            try:
                return timestamps.client_timestamp(int(value[:20]))
            except ValueError as error:
                raise invalid("querystring", "last_modified", str(error)) from None
    return None
