"""`GET /buckets/monitor/collections/changes/records`: the list of all changes, as old clients read it."""

from __future__ import annotations

from kintoun.features.publication.endpoints import MONITOR, Redirects, since_too_old
from kintoun.features.publication.lifetimes import Lifetimes
from kintoun.features.publication.monitor import Entry, Monitor, Snapshot
from kintoun.features.publication.query import life_of
from kintoun.http.answers import Answer, Headers
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.errors import invalid
from kintoun.model.filters import is_after, matches, sort_objects
from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath
from kintoun.model.query import split_query
from kintoun.resources.context import Context
from kintoun.resources.errors import check_accept
from kintoun.resources.listing import Asked, alerts, next_page_url, parse_list_request
from kintoun.resources.preconditions import stamp

RECORDS = ListPath(RECORD, MONITOR)

FIELDS = frozenset(("id", "last_modified", "bucket", "collection", "host"))

NOTHING_NEW = b'{"data":[]}'
"""What a client is told that has everything: caches keep this, and would not keep a 304."""


class ChangesEndpoint:
    """The entries as a list, with the parameters that lists have."""

    def __init__(self, monitor: Monitor, redirects: Redirects, lifetimes: Lifetimes) -> None:
        self._monitor = monitor
        self._redirects = redirects
        self._lifetimes = lifetimes

    async def get(self, context: Context, request: Request) -> Answer:
        """GET and HEAD, for anybody."""
        check_accept(request)
        moved = since_too_old(request, self._redirects)
        if moved is not None:
            return moved
        asked = parse_list_request(context, request, RECORDS)
        if isinstance(asked, Exception):
            raise asked
        if asked.misuse is not None:
            raise asked.misuse
        _check_fields(asked)
        snapshot = await self._monitor.snapshot()
        preconditions = asked.preconditions
        expected = next((value for name, value in split_query(request.query) if name == "_expected"), None)
        headers = (
            *stamp(snapshot.timestamp),
            *self._lifetimes.headers(*MONITOR, life_of(expected)),
            *alerts(context, asked.query),
        )
        if preconditions.none_match == snapshot.timestamp:
            return Answer(200, NOTHING_NEW, headers, exposed="list")
        preconditions.refuse_list(snapshot.timestamp)
        return _page(context, request, asked, snapshot, headers)


def _check_fields(asked: Asked) -> None:
    """Refuse filters and orders by what entries do not have."""
    query = asked.query
    if query.fields is not None:
        query.fields.check(FIELDS)
    for field in (*(each.field for each in query.filters), *(each.field for each in query.sort)):
        if field not in FIELDS:
            raise invalid("querystring", field, f"Unknown field '{field}'")


def _page(context: Context, request: Request, asked: Asked, snapshot: Snapshot, headers: Headers) -> Answer:
    query, token = asked.query, asked.query.token
    chosen = [entry for entry in snapshot.entries if matches(query.filters, entry)]
    if request.method == "HEAD":
        total = str(len(chosen))
        headers = (*headers, ("Total-Objects", total), ("Total-Records", total))
        return Answer(200, NOTHING_NEW, headers, exposed="totals")
    ordered: list[Entry] = sort_objects(chosen, query.sort)
    if token is not None:
        ordered = [entry for entry in ordered if is_after(entry, query.sort, token.values)]
    shown = ordered[: asked.limit]
    if len(ordered) > len(shown):
        last = json.encode_text(shown[-1])
        headers = (
            *headers,
            ("Next-Page", next_page_url(context, request, asked, last, snapshot.timestamp)),
        )
    if query.fields is not None:
        shown = [query.fields.apply(entry) for entry in shown]
    return Answer(200, json.encode({"data": shown}), headers, exposed="list")
