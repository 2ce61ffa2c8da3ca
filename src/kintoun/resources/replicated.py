"""Reads that a replica may answer.

A replica knows less than the primary, never something else. So it may answer whoever does not know more than
it does: the timestamps that a request names (`If-None-Match`, `_since`, a page token, …) are a floor, and the
snapshot that answers must have the list's clock at the floor or above it. Only successes count: that
something is not there, or not allowed, or changed meanwhile, is said by the primary.
"""

from __future__ import annotations

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint, Handler
from kintoun.model.errors import ProtocolError
from kintoun.model.kinds import BUCKET, COLLECTION, GROUP, RECORD
from kintoun.model.query import Query
from kintoun.resources.context import Behind, Context
from kintoun.resources.preconditions import Preconditions
from kintoun.storage.rows import Conflict, Unavailable

_LISTS = frozenset(f"{kind.name}-plural" for kind in (BUCKET, COLLECTION, GROUP, RECORD))
_OBJECTS = frozenset(f"{kind.name}-object" for kind in (BUCKET, COLLECTION, GROUP, RECORD))


def floor_of(preconditions: Preconditions, query: Query) -> int:
    """The latest timestamp that a request on a list names: what its sender has seen."""
    named = [preconditions.match or 0, preconditions.none_match or 0]
    if query.token is not None:
        named.append(query.token.etag)
    for each in query.filters:
        if each.field == "last_modified":
            values = each.value if isinstance(each.value, tuple) else (each.value,)
            named += [value for value in values if isinstance(value, int)]
    return max(named)


async def ask_replica(
    context: Context, request: Request, endpoint: Endpoint, handler: Handler
) -> Answer | None:
    """The answer that a replica has; None when the primary has to be asked."""
    replicas = context.service.store.replicas
    if replicas is None or context.work is not None or not (context.claim is None or replicas.everybody):
        return None
    if endpoint.name in _OBJECTS:
        if "if-none-match" in request.headers or "if-match" in request.headers:
            return None
    elif endpoint.name not in _LISTS or b"_at=" in request.query:
        return None
    if request.parameters and request.parameters[0] in context.service.aliases:
        return None
    replica = replicas.choose()
    if replica is None:
        return None
    context.replica = replica.read
    try:
        return await handler(context, request)
    except (Behind, ProtocolError, Unavailable, Conflict):
        return None
    finally:
        context.replica = None
        context.floor = 0
