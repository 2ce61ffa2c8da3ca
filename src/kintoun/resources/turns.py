"""The requests of a batch, made ready before its transaction: who asks, what will be touched, what is parsed.

What may take long is done now, before anything is locked: credentials are verified, passwords hashed. A plain
write, as a client that synchronises sends them by the dozen, is parsed and routed here as well, once for all
those of a list; what remains of it is what `put` and `post` do in the transaction.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.model.batch import BatchItem
from kintoun.model.envelope import parse_envelope
from kintoun.model.errors import InvalidParameters, ProtocolError
from kintoun.model.kinds import BY_PLURAL, CHILDREN, random_uuid
from kintoun.model.paths import ListPath, Path
from kintoun.model.tuples import made
from kintoun.resources.aliases import meant_path
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept
from kintoun.resources.post import post_object, post_plainly
from kintoun.resources.put import put_object, put_plainly
from kintoun.resources.writing import needs_of, prepare_ahead
from kintoun.storage.needs import Needs

Place = Path | ListPath | None

Act = Callable[[Work], Awaitable[Answer]]

_OF_THE_BODY = frozenset(("content-length", "content-encoding", "transfer-encoding"))


class Turn(NamedTuple):
    """One request of a batch. `act` is what a plain write does; None where it has to be dispatched."""

    context: Context
    request: Request
    needs: Needs
    act: Act | None = None


async def turns_of(
    context: Context, request: Request, items: Sequence[BatchItem]
) -> tuple[list[Turn], Needs]:
    """The turns of the requests in a batch, and what they will touch."""
    inherited = {name: value for name, value in request.headers.items() if name not in _OF_THE_BODY}
    plain = await _plain_writes(context, request, inherited)
    turns = []
    needs = []
    for item in items:
        turn = plain.turn(item) if plain is not None and item.body and not item.headers else None
        if turn is None:
            sub = sub_request(request, item, inherited)
            child = context.child(sub)
            turn = Turn(child, sub, _needs_of(sub, await _get_ready(child, sub)))
            needs.append(turn.needs)
        turns.append(turn)
    if plain is not None:
        needs += plain.needs()
    return turns, Needs.union(needs)


async def _plain_writes(
    context: Context, request: Request, inherited: Mapping[str, str]
) -> _PlainWrites | None:
    """The plain writes of a batch; None where others than the protocol have a say in every request."""
    if context.service.gates or context.service.settings.protocol.readonly:
        return None
    if not inherited.keys().isdisjoint(("if-match", "if-none-match")):
        return None
    plain = _PlainWrites(context, request, {**inherited, "content-type": "application/json"})
    try:
        check_accept(request)
        await plain.context.identify()
    except ProtocolError:
        return None  # every request is told so when its turn comes
    return plain


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


@dataclass(slots=True)
class _Way:
    """How the plain writes of a list go: what serves them, and what they will touch."""

    prefix: str
    """What the paths of the requests lack of the version."""
    place: ListPath
    endpoint: Endpoint
    data_required: bool
    found: list[Path] = field(default_factory=list)
    fresh: list[Path] = field(default_factory=list)

    def needs(self) -> Needs:
        return Needs((self.place,), (), (*self.place.lineage, *self.found), (), tuple(self.fresh))


class _PlainWrites:
    """The writes of a batch that share their headers, and in which nothing but the protocol has a say."""

    def __init__(self, context: Context, outer: Request, headers: Mapping[str, str]) -> None:
        self.context = context.child(_request(outer, _NO_ITEM, PREFIX, b"", headers))
        self._outer = outer
        self._headers = headers
        self._service = context.service
        self._ways: dict[tuple[str, str], _Way | None] = {}

    def needs(self) -> list[Needs]:
        """What the turns that were given will touch."""
        return [way.needs() for way in self._ways.values() if way is not None]

    def turn(self, item: BatchItem) -> Turn | None:
        """The turn of a POST or a PUT whose way is known; None for any other request."""
        text, object_id = item.path, None
        if item.method == "PUT":
            text, _, object_id = text.rpartition("/")
        key = item.method, text
        way = self._ways[key] if key in self._ways else self._find(*key)
        if way is None:
            return None
        context, place = self.context, way.place
        try:
            envelope = parse_envelope(
                item.body,
                kind=place.kind.name,
                permissions_allowed=place.kind.permissions,
                data_required=way.data_required,
            )
        except InvalidParameters:
            return None
        request = _request(self._outer, item, way.prefix + item.path, b"", self._headers)
        request.endpoint = way.endpoint
        act: Act
        if object_id is None:
            if envelope.data and "id" in envelope.data:
                return None
            path = place.object(random_uuid())
            way.fresh.append(path)
            request.parameters = place.parents
            act = partial(post_plainly, path, envelope)
        elif place.kind.accepts(object_id):
            path = place.object(object_id)
            way.found.append(path)
            request.parameters = path.ids
            act = partial(put_plainly, path, envelope)
        else:
            return None
        return made(Turn, (context, request, _NOTHING_MORE, act))

    def _find(self, method: str, text: str) -> _Way | None:
        """The way of a method on the list that a path names, or on all objects in it."""
        way = self._ways[method, text] = self._way(method, text)
        return way

    def _way(self, method: str, text: str) -> _Way | None:
        prefix = "" if text.startswith(PREFIX + "/") else PREFIX
        own = text if prefix else text[len(PREFIX) :]
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
        rules = self._service.rules[place.kind]
        if endpoint is None or not usual or rules.prepare is not None:
            return None
        if method == "POST" and place.kind.new_id is not random_uuid:
            return None
        return _Way(prefix, place, endpoint, rules.data_required)


_NOTHING_MORE = Needs()
"""What the turn of a plain write touches besides what is fetched for all of them."""

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
