"""Answering GET and HEAD of the list."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import urlencode

from kintoun.features.permissions.entries import KNOWN_FIELDS, Entries, Given, given_by_settings
from kintoun.features.permissions.select import COLUMNS, Selection
from kintoun.http.answers import Answer, Headers
from kintoun.http.requests import Request
from kintoun.model import json, timestamps
from kintoun.model.filters import is_after, matches, position, sort_objects
from kintoun.model.kinds import KINDS
from kintoun.model.parameters import QueryLimits, string
from kintoun.model.paths import ListPath
from kintoun.model.permissions import EVERYONE
from kintoun.model.query import Filter, Query, Sort, binding, parse_query, split_query
from kintoun.model.timestamps import etag
from kintoun.model.tokens import MAX_TEXT, Token
from kintoun.resources.context import Context, collect
from kintoun.resources.errors import check_accept
from kintoun.resources.preconditions import parse_preconditions
from kintoun.resources.presentation import NOT_CACHED
from kintoun.storage.rows import Wanted

PATH = "/permissions"

Entry = dict[str, Any]
Position = tuple[Any, ...]


class Asked(NamedTuple):
    """What a request asks of the list.

    `filters` and `sort` are without timestamps, which entries do not have; `sort` ends with the URI, by which
    no two entries are level. `after` is where the page before ended.
    """

    query: Query
    filters: tuple[Filter, ...]
    sort: tuple[Sort, ...]
    limit: int
    after: Position | None

    @property
    def in_sql(self) -> bool:
        """Whether the database can do it all: it does not know which permissions imply others."""
        fields = [*(item.field for item in self.filters), *(item.field for item in self.sort)]
        return "permissions" not in fields


async def get_permissions(context: Context, request: Request) -> Answer:
    """GET and HEAD of everything that the caller has a permission on."""
    check_accept(request)
    await context.load(Wanted())
    readers = context.service.settings.access.get("permissions_read", (EVERYONE,))
    if context.principals.isdisjoint(readers):
        raise context.refusal()
    preconditions, asked, _ = collect(
        lambda: parse_preconditions(request),
        lambda: _parse(context, request),
        lambda: context.service.cors.check(request),
    )
    given = given_by_settings(context.service.settings.access, context.principals)
    entries = await _entries(context, asked, given)
    headers: Headers = NOT_CACHED
    if len(entries) > asked.limit:
        entries = entries[: asked.limit]
        headers = (*headers, ("Next-Page", _next_page(context, request, asked, entries[-1])))
    body = _body(asked.query, entries)
    tag = _tag(body, len(headers))
    preconditions.refuse_list(tag)
    headers = (("ETag", etag(tag)), *headers)
    if preconditions.none_match == tag:
        return Answer(304, b"", headers[:1], exposed="list")
    if request.method == "HEAD":
        total = str(await _total(context, asked, given))
        headers = (headers[0], *NOT_CACHED, ("Total-Objects", total), ("Total-Records", total))
        return Answer(200, b'{"data":[]}', headers, exposed="totals")
    return Answer(200, body, headers, exposed="list")


def _parse(context: Context, request: Request) -> Asked:
    params = split_query(request.query)
    query = parse_query(
        [(name, value) for name, value in params if name != "_token"],
        known_fields=KNOWN_FIELDS,
        now_ms=timestamps.now(),
        limits=context.service.query_limits,
    )
    filters = tuple(filter_ for filter_ in query.filters if filter_.field != "last_modified")
    sort = _order(query.sort)
    limits = context.service.settings.limits
    limit = min(query.limit or limits.fetch_size, limits.page_size or limits.fetch_size, limits.fetch_size)
    after = _position(context, [value for name, value in params if name == "_token"], filters, sort)
    return Asked(query, filters, sort, limit, after)


def _order(given: Sequence[Sort]) -> tuple[Sort, ...]:
    """The fields that entries differ by, and last the URI."""
    sort: dict[str, Sort] = {}
    for item in given:
        if item.field in COLUMNS or item.field == "permissions":
            sort.setdefault(item.field, item)
        if item.field == "uri":
            break
    sort.setdefault("uri", Sort("uri", True))
    return tuple(sort.values())


def _position(
    context: Context, given: list[str], filters: tuple[Filter, ...], sort: tuple[Sort, ...]
) -> Position | None:
    """Where a token says that the page before ended."""
    raw = given[0] if len(given) == 1 else given
    text = string("_token", raw, QueryLimits(value_length=MAX_TEXT)) if raw else None
    if not text:
        return None
    # The fields are named by numbers, since an `id` need not be there: the root has none.
    fields = [str(n) for n in range(len(sort))]
    return Token.decode(text, binding(PATH, filters, sort), context.service.token_key, fields=fields).values


def _next_page(context: Context, request: Request, asked: Asked, last: Entry) -> str:
    """The absolute URL of the page after the one that ends with an entry."""
    token = Token(position(last, asked.sort), 0).encode(
        binding(PATH, asked.filters, asked.sort), context.service.token_key
    )
    kept = [(name, value) for name, value in split_query(request.query) if name not in ("_limit", "_token")]
    return f"{request.url}?{urlencode([*kept, ('_limit', asked.limit), ('_token', token)])}"


async def _entries(context: Context, asked: Asked, given: Given) -> list[Entry]:
    """The entries of the page, and one more when there is a next page."""
    entries = Entries(context.principals, given)
    if not asked.in_sql:
        return (await _sifted(context, asked, entries, given))[: asked.limit + 1]
    selection = _selection(context, asked.filters, given)
    page = _built(entries, await _fetch(context, *selection.page(asked.sort, asked.after, asked.limit + 1)))
    root = entries.root()
    if root is not None and matches(asked.filters, root) and _is_due(root, asked):
        place = position(root, asked.sort)
        index = bisect_left(page, True, key=lambda entry: is_after(entry, asked.sort, place))
        page.insert(index, root)
    return page


def _is_due(entry: Entry, asked: Asked) -> bool:
    return asked.after is None or is_after(entry, asked.sort, asked.after)


async def _sifted(context: Context, asked: Asked, entries: Entries, given: Given) -> list[Entry]:
    """What the database cannot select or sort: all that it can, sifted here, beside the event loop."""
    filters = [filter_ for filter_ in asked.filters if filter_.field.split(".", 1)[0] != "permissions"]
    rows = await _fetch(context, *_selection(context, filters, given).everything())

    def sift() -> list[Entry]:
        root = entries.root()
        found = _built(entries, rows) + ([root] if root is not None else [])
        found = [entry for entry in found if matches(asked.filters, entry) and _is_due(entry, asked)]
        return sort_objects(found, asked.sort)

    return await asyncio.to_thread(sift)


async def _total(context: Context, asked: Asked, given: Given) -> int:
    """How many entries match."""
    entries = Entries(context.principals, given)
    if not asked.in_sql:
        return len(await _sifted(context, asked._replace(after=None), entries, given))
    [[total]] = await _fetch(context, *_selection(context, asked.filters, given).total())
    root = entries.root()
    return int(total) + (root is not None and matches(asked.filters, root))


def _selection(context: Context, filters: Sequence[Filter], given: Given) -> Selection:
    rules = context.service.rules
    kinds = [kind for kind in KINDS if kind in rules and rules[kind].known_fields is None]
    everywhere = [kind for kind in kinds if given.get(kind)]
    return Selection(context.service.store.engine.dialect, kinds, context.principals, everywhere, filters)


async def _fetch(context: Context, sql: str, values: Sequence[Any]) -> list[Any]:
    if context.work is None:
        return await context.service.store.fetch(sql, values)
    await context.work.unit.flush()
    return await context.work.unit.transaction.fetch(sql, values)


def _built(entries: Entries, rows: Sequence[Any]) -> list[Entry]:
    lists: dict[str, ListPath] = {}
    built = []
    for text, object_id, acl in rows:
        path = lists.get(text)
        if path is None:
            path = lists[text] = ListPath.parse(text)
        built.append(entries.entry(path.kind, path.parents, object_id, f"{text}/{object_id}", acl))
    return built


def _body(query: Query, entries: Sequence[Entry]) -> bytes:
    chosen = entries if query.fields is None else [query.fields.apply(entry) for entry in entries]
    return json.encode({"data": chosen})


def _tag(body: bytes, salt: int) -> int:
    """A number that tells this answer from others. There is no clock that all permissions go by.

    Of twelve digits, so that it also passes where clients send it as if it were a timestamp.
    """
    return int.from_bytes(blake2b(body, digest_size=8, salt=bytes((salt,))).digest()) % 10**12
