"""Answering GET and HEAD of the list."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import urlencode

from kintoun.features.permissions.entries import KNOWN_FIELDS
from kintoun.features.permissions.question import Asked, Entry, Position, Question, beside
from kintoun.features.permissions.select import COLUMNS
from kintoun.http.answers import Answer, Headers
from kintoun.http.requests import Request
from kintoun.model import json, timestamps
from kintoun.model.filters import position
from kintoun.model.parameters import QueryLimits, string
from kintoun.model.permissions import EVERYONE
from kintoun.model.query import Filter, Query, Sort, binding, parse_query, split_query
from kintoun.model.timestamps import etag
from kintoun.model.tokens import MAX_TEXT, Token
from kintoun.resources.cache import Pages
from kintoun.resources.context import Context
from kintoun.resources.errors import check_accept, collect
from kintoun.resources.preconditions import parse_preconditions
from kintoun.resources.presentation import NOT_CACHED
from kintoun.storage.rows import Wanted

PATH = "/permissions"


class Page(NamedTuple):
    """The answer to one question by one caller, as long as the `version` of everything is the same.

    Of one that would take too much memory no more than the `tag` is kept: it is not `whole`.
    """

    version: str
    tag: int
    body: bytes
    next_page: str | None
    whole: bool = True


async def get_permissions(pages: Pages[Page], context: Context, request: Request) -> Answer:
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
    question = Question(context, asked)
    page = await _page(pages, question, request, preconditions.none_match)
    preconditions.refuse_list(page.tag)
    tag = ("ETag", etag(page.tag))
    if preconditions.none_match == page.tag:
        return Answer(304, b"", (tag,), exposed="list")
    headers: Headers = (tag, *NOT_CACHED)
    if request.method == "HEAD":
        total = str(await question.total())
        headers = (*headers, ("Total-Objects", total), ("Total-Records", total))
        return Answer(200, b'{"data":[]}', headers, exposed="totals")
    if page.next_page is not None:
        headers = (*headers, ("Next-Page", page.next_page))
    return Answer(200, page.body, headers, exposed="list")


async def _page(pages: Pages[Page], question: Question, request: Request, known: int | None) -> Page:
    """The page that is asked for: the one kept from before, as long as nothing was written since.

    `known` is the tag of what the caller has.
    """
    context = question.context
    alone = context.work is None  # what a batch has written may never come to be
    who = blake2b(json.encode(sorted(context.principals)), digest_size=16).hexdigest()
    key = (who, request.query, request.base)
    kept = pages.get(key) if alone else None
    if kept is not None and (kept.whole or kept.tag == known) and kept.version == await question.version():
        return kept
    entries = await question.entries()
    asked, next_page = question.asked, None
    if len(entries) > asked.limit:
        entries = entries[: asked.limit]
        next_page = _next_page(context, request, asked, entries[-1])
    body = await beside(len(entries), lambda: _body(asked.query, entries))
    page = Page(question.versions.pop(), _tag(body, next_page is not None), body, next_page)
    # Unless what was read is of several moments.
    if alone and not question.versions and not pages.put(key, page):
        pages.put(key, page._replace(body=b"", whole=False))
    return page


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


def _body(query: Query, entries: Sequence[Entry]) -> bytes:
    chosen = entries if query.fields is None else [query.fields.apply(entry) for entry in entries]
    return json.encode({"data": chosen})


def _tag(body: bytes, salt: int) -> int:
    """A number that tells this answer from others. There is no clock that all permissions go by.

    Of twelve digits, so that it also passes where clients send it as if it were a timestamp.
    """
    return int.from_bytes(blake2b(body, digest_size=8, salt=bytes((salt,))).digest()) % 10**12
