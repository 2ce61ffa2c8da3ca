"""The requests of a batch, made ready before its transaction: who asks, what will be touched, what is parsed.

What may take long is done now, before anything is locked: credentials are verified, passwords hashed. A plain
write, as a client that synchronises sends them by the dozen, is parsed and routed here as well, once for all
those of a list; what remains of it is what `put` and `post` do in the transaction.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.model.batch import BatchItem
from kintoun.model.errors import ProtocolError
from kintoun.model.kinds import BY_PLURAL, CHILDREN
from kintoun.model.paths import ListPath, Path
from kintoun.resources.aliases import meant_path
from kintoun.resources.context import Context, Work
from kintoun.resources.post import place_in, post, post_object
from kintoun.resources.put import put, put_object
from kintoun.resources.writing import envelope_of, keep, needs_of, prepare_ahead
from kintoun.storage.unit import Needs

Place = Path | ListPath | None

Act = Callable[[Work], Awaitable[Answer]]

_OF_THE_BODY = frozenset(("content-length", "content-encoding", "transfer-encoding"))


class Turn(NamedTuple):
    """One request of a batch. `act` is what a plain write does; None where it has to be dispatched."""

    context: Context
    request: Request
    needs: Needs
    act: Act | None = None


async def turns_of(context: Context, request: Request, items: Sequence[BatchItem]) -> list[Turn]:
    """The turns of the requests in a batch."""
    inherited = {name: value for name, value in request.headers.items() if name not in _OF_THE_BODY}
    service = context.service
    plain = None
    if not service.gates and not service.settings.protocol.readonly:
        plain = _PlainWrites(context, request, {**inherited, "content-type": "application/json"})
    turns = []
    for item in items:
        turn = await plain.turn(item) if plain is not None and item.body and not item.headers else None
        if turn is None:
            sub = sub_request(request, item, inherited)
            child = context.child(sub)
            turn = Turn(child, sub, _needs_of(sub, await _get_ready(child, sub)))
        turns.append(turn)
    return turns


def sub_request(outer: Request, item: BatchItem, inherited: Mapping[str, str]) -> Request:
    """The request that an item of a batch spells; its headers add to those that it inherits."""
    path, _, query = item.path.partition("?")
    if not path.startswith(PREFIX + "/") and path != PREFIX:
        path = PREFIX + path
    headers = dict(inherited)
    if item.headers:
        headers.update((name.lower(), value) for name, value in item.headers.items())
    if item.body is not None:
        headers["content-type"] = "application/json"
    if "%" in path:
        path = unquote_to_bytes(path).decode("utf-8", "replace")
    return _request(outer, item, path, query.encode(), headers)


def _request(outer: Request, item: BatchItem, path: str, query: bytes, headers: Mapping[str, str]) -> Request:
    request = Request(item.method, path, query, headers, base=outer.base, peer=outer.peer, in_batch=True)
    request.payload = item.body
    return request


class _Way(NamedTuple):
    """How a plain write of a list goes: what serves it, and what it needs besides the object's own row."""

    prefix: str
    """What the paths of the requests lack of the version."""
    place: ListPath
    endpoint: Endpoint
    lists: tuple[ListPath, ...]
    above: tuple[Path, ...]


class _PlainWrites:
    """The writes of a batch in which nothing but the protocol has a say, and that share their headers."""

    def __init__(self, context: Context, outer: Request, headers: Mapping[str, str]) -> None:
        self._outer = outer
        self._headers = headers
        self._service = context.service
        self._ways: dict[tuple[str, str], _Way | None] = {}
        self._context = context.child(_request(outer, _NO_ITEM, PREFIX, b"", headers))

    async def turn(self, item: BatchItem) -> Turn | None:
        """The turn of a POST or a PUT whose way is known; None for any other request."""
        method = item.method
        if method == "PUT":
            text, _, object_id = item.path.rpartition("/")
        else:
            text, object_id = item.path, None
        key = method, text
        if key not in self._ways:
            self._ways[key] = await self._find(*key)
        way = self._ways[key]
        if way is None:
            return None
        context, place = self._context, way.place
        request = _request(self._outer, item, way.prefix + item.path, b"", self._headers)
        request.endpoint = way.endpoint
        kept = keep(envelope_of, context, request, place.kind)
        if object_id is None:
            path = place_in(place, kept)
            if not path:
                return None
            request.parameters = place.parents
            act = partial(post, request, place, path, kept)
        elif place.kind.accepts(object_id):
            path = place.object(object_id)
            request.parameters = path.ids
            act = partial(put, request, path, kept)
        else:
            return None
        return Turn(context, request, Needs(way.lists, (), (*way.above, path)), act)

    async def _find(self, method: str, text: str) -> _Way | None:
        """The way of a method on the list that a path names, or on all objects in it."""
        prefix = "" if text.startswith(PREFIX + "/") else PREFIX
        own = (prefix + text)[len(PREFIX) :]
        place = place_of(own)
        if not isinstance(place, ListPath) or place.kind in CHILDREN or not _PLAIN.fullmatch(own):
            return None
        if place.parents and place.parents[0] in self._service.aliases:
            return None
        router = self._service.router
        if method == "POST":
            endpoint = (router.find(own) or (None,))[0]
        else:
            endpoint = router.below(own) if method == "PUT" else None
        handler = endpoint.methods.get(method) if endpoint is not None else None
        usual = isinstance(handler, partial) and handler.func in (post_object, put_object)
        if endpoint is None or not usual or self._service.rules[place.kind].prepare is not None:
            return None
        try:
            await self._context.identify()
        except ProtocolError:
            return None
        return _Way(prefix, place, endpoint, (place,), place.lineage)


_NO_ITEM = BatchItem("GET", "/", {}, None)

_PLAIN = re.compile(r"[A-Za-z0-9_/-]+")
"""Paths that mean what they say."""


async def _get_ready(context: Context, request: Request) -> Place:
    """What a request is about; credentials are verified, and the rules of its kind begin with it."""
    path = request.path
    try:
        await context.identify()
        if context.service.aliases:
            path = await meant_path(context, request)
        place = place_of(path)
        if place is not None and context.service.rules[place.kind].prepare is not None:
            await prepare_ahead(context, place)
    except ProtocolError as error:
        if error.status >= 500:
            raise
        return place_of(path)  # the request is told when its turn comes
    return place


def place_of(path: str) -> Place:
    """The object or the list that a path names; None for other things."""
    segments = path.removeprefix(PREFIX).split("/")[1:] or [""]
    kind = BY_PLURAL.get(segments[(len(segments) - 1) // 2 * 2])
    plurals = tuple(segments[::2])
    if kind is None or plurals != tuple(step.plural for step in kind.lineage):
        return None
    ids = tuple(segments[1::2])
    return ListPath(kind, ids) if len(ids) < len(kind.lineage) else Path(kind, ids)


def _needs_of(request: Request, place: Place) -> Needs:
    if place is None:
        return Needs()
    if isinstance(place, ListPath):
        if request.method == "POST":
            return _needs_of_post(request, place)
        return Needs((place,) if request.method == "DELETE" else (), (), place.lineage)
    if request.method in ("PUT", "PATCH", "DELETE"):
        return needs_of(place)
    return Needs((), (), place.lineage)


def _needs_of_post(request: Request, place: ListPath) -> Needs:
    """As for a PUT, once the id is known: the one that the body gives, or a new one."""
    data = (request.payload or {}).get("data")
    given = data.get("id") if isinstance(data, dict) else None
    if given is None and place.kind.new_id is not None:
        given = request.new_id = place.kind.new_id()
    if given is None or not place.kind.accepts(given):
        return Needs((place,), (), place.lineage)
    return needs_of(place.object(given))
