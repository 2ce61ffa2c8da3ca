"""Reading a list: filters, pages, totals (protocol sections 4.2 to 4.7 and 8.4)."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

from kintoun.http.answers import JSON, Answer, Headers
from kintoun.http.negotiation import outweighs
from kintoun.http.requests import Request
from kintoun.model import json, timestamps
from kintoun.model.errors import ProtocolError
from kintoun.model.kinds import COLLECTION, Kind
from kintoun.model.paths import ListPath
from kintoun.model.query import EVERYTHING, Op, Query, check_syntax, parse_query, split_query
from kintoun.resources.cache import Kept
from kintoun.resources.context import Context
from kintoun.resources.errors import changes_forgotten, check_accept, collect, unknown_parent
from kintoun.resources.preconditions import Preconditions, parse_preconditions, stamp
from kintoun.resources.presentation import caching
from kintoun.resources.replicated import floor_of
from kintoun.resources.rules import Rules
from kintoun.resources.writing import check_body
from kintoun.storage.rows import Clock, Found, Page, Row, Stored, Wanted
from kintoun.storage.sources import OBJECTS

EVENT_STREAM = "text/event-stream"

TO_IS_DEPRECATED = "_to is now deprecated, you should use _before instead"


class Asked(NamedTuple):
    """A request on a list.

    `misuse` is what is wrong with the meaning of its query, told after a 304; `place` is what page tokens are
    bound to.
    """

    preconditions: Preconditions
    query: Query
    limit: int
    misuse: ProtocolError | None
    place: str


def parse_list_request(
    context: Context, request: Request, path: ListPath, place: str = ""
) -> Asked | ProtocolError:
    """What a request asks of a list, or the error to give to a caller who may know.

    `place` names what the list is read of, when that is not the list as it is.
    """
    place = place or str(path)
    service = context.service
    misuse = None
    try:
        preconditions = parse_preconditions(request)
        check_body(context, request)
        service.cors.check(request)
        query = _parse_query(context, request, path.kind, place)
    except ProtocolError as error:
        query, misuse = EVERYTHING, error
        try:
            preconditions = _check_syntax(context, request)
        except ProtocolError as broken:
            return broken
    limits = service.settings.limits
    limit = min(query.limit or limits.fetch_size, limits.page_size or limits.fetch_size, limits.fetch_size)
    return Asked(preconditions, query, limit, misuse, place)


def _parse_query(context: Context, request: Request, kind: Kind, place: str) -> Query:
    service = context.service
    return parse_query(
        split_query(request.query),
        known_fields=service.rules[kind].known_fields,
        now_ms=timestamps.now(),
        limits=service.query_limits,
        list_path=place,
        token_key=service.token_key,
    )


def _check_syntax(context: Context, request: Request) -> Preconditions:
    """Everything that is wrong with the form of a request that is wrong somewhere."""
    preconditions: Preconditions
    preconditions, _, _, _ = collect(
        lambda: parse_preconditions(request),
        lambda: check_body(context, request),
        lambda: check_syntax(split_query(request.query), now_ms=timestamps.now()),
        lambda: context.service.cors.check(request),
    )
    return preconditions


def page_of(rules: Rules, asked: Asked) -> Page:
    """The rows that a query asks for, and one more to know whether there is a next page."""
    query = asked.query
    token = query.token
    page = Page(
        query.filters,
        query.sort,
        asked.limit + 1,
        deleted=query.include_deleted,
        after=token.values if token else None,
        until=token.etag if token else None,
    )
    return page if rules.page is None else rules.page(page)


async def get_list(kind: Kind, context: Context, request: Request) -> Answer:
    """GET and HEAD of a list."""
    path = ListPath(kind, request.parameters)
    stream = context.service.stream_list
    if stream is not None and outweighs(request.headers.get("accept", ""), EVENT_STREAM, JSON):
        return await stream(context, request, path)
    check_accept(request)
    if b"_at=" in request.query and context.service.past_list is not None:
        return await context.service.past_list(context, request, path)
    return await present_list(context, request, path)


async def present_list(context: Context, request: Request, path: ListPath) -> Answer:
    """The list as it is."""
    asked = parse_list_request(context, request, path)
    head = request.method == "HEAD"
    if isinstance(asked, ProtocolError):
        await look(context, path, None, head)
        raise asked
    if context.replica is not None:
        context.floor = floor_of(asked.preconditions, asked.query)
    page = page_of(context.service.rules[path.kind], asked)
    key = (str(path), request.query, request.base)
    kept = None if head else context.service.pages.get(key)
    # When there is a chance to do without the rows, a first look is at the clock alone.
    peek = kept is not None or asked.preconditions.none_match is not None
    found, whole = await look(context, path, None if peek else page, head)
    clock = _clock(found)
    unchanged = not_modified(asked.preconditions, clock, head)
    if unchanged is not None:
        return unchanged
    if asked.misuse is not None:
        raise asked.misuse
    if peek and not (whole and kept is not None and kept.fits(clock)):
        kept = None
        found, whole = await look(context, path, page, head)
        clock = _clock(found)
    if clock.watermark and whole and page.source is OBJECTS:  # nobody keeps copies of other rows in step
        _check_known(asked.query, clock.watermark)
    if head:
        return totals(context, path, asked, found)
    if kept is None:
        kept = read_page(context, request, asked, found)
        if whole and context.work is None:  # a version that is not committed may never come to be
            context.service.pages.put(key, kept)
    else:
        context.service.pages.hits += 1
    return page_answer(context, path, asked, found, kept)


def page_answer(context: Context, path: ListPath, asked: Asked, found: Found, kept: Kept) -> Answer:
    """The answer with a page."""
    headers = _headers(context, path, asked, found)
    if kept.next_page is not None:
        headers = (*headers, ("Next-Page", kept.next_page))
    return Answer(200, kept.body, headers, exposed="list")


async def look(context: Context, path: ListPath, page: Page | None, head: bool) -> tuple[Found, bool]:
    """What the caller sees of a list, and whether that is the whole list. Raises the refusal."""
    rules = context.service.rules[path.kind]
    found = await context.load(_wanted(path, page, head))
    if rules.check_list is not None:
        rules.check_list(context)
    whole = _sees_all(context, path.kind, found)
    if not whole:
        found = await _visible_part(context, path, page, found, head)
    parent = path.parent
    if parent is not None:
        row = found.points[-1]
        if row is None or row.deleted:
            raise unknown_parent(parent)
    if found.clock is None:
        found.clock = _not_begun(path, found.points)
    return found, whole


def _not_begun(path: ListPath, above: list[Stored | None]) -> Clock:
    """The clock of a list of a kind that came to the server later than the list's parent.

    Until something is written it stands where the parent does.
    """
    parent = above[-1] if above else None
    return Clock(path, None, parent.timestamp if parent is not None else 0, 0, 0, 0, 0, 0)


def _clock(found: Found) -> Clock:
    assert found.clock is not None, "a list has a clock while its parent exists"
    return found.clock


def _check_known(query: Query, watermark: int) -> None:
    """Refuse to tell the changes since a time from which on not all deletions are known any more.

    Whoever has nothing yet asks from 0. Readers of a part of the list are never told of deletions.
    """
    for field, op, value in query.filters:
        if field == "last_modified" and op in (Op.GT, Op.MIN) and 0 < value - (op is Op.MIN) < watermark:
            raise changes_forgotten(watermark)


def _headers(context: Context, path: ListPath, asked: Asked, found: Found) -> Headers:
    """The headers of a page: all pages of a listing bear the timestamp of the first."""
    token = asked.query.token
    snapshot = token.etag if token else _clock(found).timestamp
    collection = found.points[-1] if path.kind.parent is COLLECTION else None
    return (*stamp(snapshot), *caching(context, path, collection), *alerts(context, asked.query))


def totals(context: Context, path: ListPath, asked: Asked, found: Found) -> Answer:
    """The answer to HEAD."""
    total = str(_clock(found).live if found.total is None else found.total)
    headers = (*_headers(context, path, asked, found), ("Total-Objects", total), ("Total-Records", total))
    return Answer(200, b'{"data":[]}', headers, exposed="totals")


def _wanted(path: ListPath, page: Page | None, head: bool) -> Wanted:
    wanted = Wanted(points=path.lineage, clock=path)
    if page is None:
        return wanted
    if not head:
        return wanted._replace(page=page)
    if not page.filters and page.holders is None and page.source.counted:
        return wanted
    return wanted._replace(total=page._replace(deleted=False, after=None, until=None))


def _sees_all(context: Context, kind: Kind, found: Found) -> bool:
    sees_all = context.service.rules[kind].sees_all
    if sees_all is not None:
        return sees_all(context)
    return context.service.access.may_read_all(kind, found.points, context.principals)


async def _visible_part(
    context: Context, path: ListPath, page: Page | None, found: Found, head: bool
) -> Found:
    """What a caller who may not read the list through its parent sees of it (protocol section 8.4).

    Raises the refusal for callers who see nothing and may add nothing.
    """
    if not context.service.rules[path.kind].partly:
        raise context.refusal()
    above = found.points
    probe = _probe(context, path, page)
    own = None
    if page is not None:
        own = page._replace(holders=probe.holders, permissions=probe.permissions)
    if own is not None:
        found = await context.load(_wanted(path, own, head))
        if found.rows or found.total:
            return found
    if context.service.access.may_create(path.kind, above, context.principals):
        return found
    seen = await context.load(Wanted(points=path.lineage, clock=path, page=probe))
    if not seen.rows:
        for parent in () if context.anonymous else path.lineage:
            if "*" in parent.id:  # elsewhere a pattern, here a name that nothing can have: say so
                raise unknown_parent(parent)
        raise context.refusal()
    return found


def _probe(context: Context, path: ListPath, page: Page | None) -> Page:
    """Whether there is anything at all that the caller may see of a list by itself."""
    probe = Page((), EVERYTHING.sort, 1, holders=context.principals)
    of_kind = context.service.rules[path.kind].page
    if of_kind is not None:
        probe = of_kind(probe)
    if page is not None:
        probe = probe._replace(source=page.source)
    return probe._replace(permissions=probe.source.seen_by)


def not_modified(preconditions: Preconditions, clock: Clock, head: bool) -> Answer | None:
    """The 304 of a caller that has the list already; raises the 412 of one that demanded another."""
    if preconditions.none_match == clock.timestamp:
        return Answer(304, b"", stamp(clock.timestamp), exposed="totals" if head else "list")
    preconditions.refuse_list(clock.timestamp)
    return None


def alerts(context: Context, query: Query) -> Headers:
    """The warning to who uses `_to`; that the service ends is more important (protocol section 1.6)."""
    if not query.deprecated_to or context.service.wire.alert is not None:
        return ()
    alert = {"code": "soft-eol", "message": TO_IS_DEPRECATED, "url": context.service.settings.project.docs}
    return (("Alert", json.encode_text(alert)),)


def read_page(context: Context, request: Request, asked: Asked, found: Found) -> Kept:
    """The body of a page, and where the next one is."""
    clock = _clock(found)
    rows: Any = found.rows
    next_page = None
    if len(rows) > asked.limit:
        rows = rows[: asked.limit]
        token = asked.query.token
        snapshot = token.etag if token else clock.timestamp
        next_page = next_page_url(context, request, asked, rows[-1][3], snapshot)
    body = list_body(asked.query, rows)
    return Kept(clock.list or 0, clock.version, clock.timestamp, clock.watermark, body, next_page)


def list_body(query: Query, rows: list[Row]) -> bytes:
    """The envelope of a page: the rows' own JSON, unless fields were chosen."""
    bodies = [row[3] for row in rows]
    if query.fields is not None:
        apply = query.fields.apply
        bodies = [json.encode_text(apply(json.decode(body.encode()))) for body in bodies]
    return ('{"data":[' + ",".join(bodies) + "]}").encode()


def next_page_url(
    context: Context,
    request: Request,
    asked: Asked,
    last: str,
    snapshot: int,
    nonce: str | None = None,
) -> str:
    """The absolute URL of the page after the one whose last object is `last` (JSON)."""
    token = asked.query.token_after(
        json.decode(last.encode()),
        snapshot,
        list_path=asked.place,
        key=context.service.token_key,
        nonce=nonce,
    )
    kept = [(name, value) for name, value in split_query(request.query) if name not in ("_limit", "_token")]
    return f"{request.url}?{urlencode([*kept, ('_limit', asked.limit), ('_token', token)])}"
