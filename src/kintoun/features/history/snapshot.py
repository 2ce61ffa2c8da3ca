"""GET of a snapshot: all records of a collection as they were (protocol section 10.1)."""

from __future__ import annotations

from kintoun.features.history.past import Asked, Past, reached
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model.errors import InvalidParameters, invalid
from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath, Path
from kintoun.model.query import EVERYTHING
from kintoun.resources.context import Context
from kintoun.resources.dispatch import unknown_url
from kintoun.resources.errors import unknown_parent
from kintoun.storage.rows import Page, Wanted

MOST_RECORDS = 100_000
"""Records that one snapshot holds. Whoever wants more reads the list with `_at`, page by page."""

_DIGITS = 17

_BEGAN = (
    "SELECT min(h.became), max(CASE WHEN h.old_body IS NULL THEN h.became END) FROM history h"
    " WHERE h.origin = (SELECT k.list FROM clock k WHERE k.path = $1) AND h.name = $2"
)


async def get_snapshot(context: Context, request: Request) -> Answer:
    """GET and HEAD of `/buckets/B/snapshot/collections/C@T`."""
    bucket, named = request.parameters
    collection, at, moment = named.partition("@")
    if not at:
        raise unknown_url()
    path = ListPath(RECORD, (bucket, collection))
    valid = moment.isascii() and moment.isdigit() and len(moment) <= _DIGITS
    time = int(moment) if valid else 0
    page = Page((), EVERYTHING.sort, MOST_RECORDS + 1, source=Past(time))
    found = await context.load(Wanted(points=path.lineage, clock=path, page=page))
    for parent in path.lineage:
        if not parent.kind.accepts(parent.id):
            raise unknown_parent(parent)
    if not context.service.access.may_read_all(RECORD, found.points, context.principals):
        raise context.refusal()
    context.service.cors.check(request)
    if not valid:
        raise invalid("path", "timestamp", f"Invalid timestamp {moment[:100]!r}")
    if found.clock is None:  # no collection of that name was ever there
        return Answer(200, b'{"data":[]}')
    try:
        await reached(context, path, Asked(time, "path", "timestamp"))
    except InvalidParameters:
        if not await _began_after(context, path.lineage[-1], time):
            raise
        return Answer(200, b'{"data":[]}')
    rows = found.rows or ()
    if len(rows) > MOST_RECORDS:
        raise invalid("path", "timestamp", f"More than {MOST_RECORDS} records: read the list with _at={time}")
    return Answer(200, ('{"data":[' + ",".join([row[3] for row in rows]) + "]}").encode())


async def _began_after(context: Context, collection: Path, time: int) -> bool:
    """Whether a collection is known to have been made after a time, the first of its name in its bucket."""
    rows = await context.service.store.fetch(_BEGAN, (str(collection.list), collection.id))
    first, made = rows[0]
    return made is not None and first == made and made > time
