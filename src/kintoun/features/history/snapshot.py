"""GET of a snapshot: all records of a collection as they were (protocol section 10.1)."""

from __future__ import annotations

from kintoun.features.history.past import Asked, Past, reached
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model.errors import invalid
from kintoun.model.kinds import COLLECTION, RECORD
from kintoun.model.paths import ListPath
from kintoun.model.query import EVERYTHING
from kintoun.resources.context import Context
from kintoun.resources.dispatch import unknown_url
from kintoun.resources.errors import unknown_parent
from kintoun.storage.rows import Page, Wanted

MOST_RECORDS = 100_000
"""Records that one snapshot holds. Whoever wants more reads the list with `_at`, page by page."""

_DIGITS = 17


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
    if not COLLECTION.accepts(collection):
        raise unknown_parent(path.lineage[-1])
    if not context.service.access.may_read_all(RECORD, found.points, context.principals):
        raise context.refusal()
    context.service.cors.check(request)
    if not valid:
        raise invalid("path", "timestamp", f"Invalid timestamp {moment[:100]!r}")
    if found.clock is None:  # no collection of that name was ever there
        return Answer(200, b'{"data":[]}')
    await reached(context, path, Asked(time, "path", "timestamp"))
    rows = found.rows or ()
    if len(rows) > MOST_RECORDS:
        raise invalid("path", "timestamp", f"More than {MOST_RECORDS} records: read the list with _at={time}")
    return Answer(200, ('{"data":[' + ",".join([row[3] for row in rows]) + "]}").encode())
