"""POST /batch: several requests in one transaction (protocol section 6)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

from kintoun.http.answers import Answer, error_answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX
from kintoun.http.wire import complete
from kintoun.model import json
from kintoun.model.batch import BatchItem, parse_batch
from kintoun.model.errors import ProtocolError
from kintoun.model.kinds import BY_PLURAL
from kintoun.model.paths import ListPath, Path
from kintoun.resources.aliases import meant_path
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_content_type
from kintoun.resources.observing import tell
from kintoun.resources.writing import body_of, needs_of, prepare_ahead
from kintoun.storage.unit import Needs

Place = Path | ListPath | None

REDIRECTS = 5
"""How many redirects a request of a batch follows."""


async def post_batch(context: Context, request: Request) -> Answer:
    """Run the requests of a batch in order, each seeing what those before it did, and commit once."""
    check_content_type(request)
    context.service.cors.check(request)
    limit = context.service.settings.limits.batch_requests
    items = parse_batch(body_of(context, request), max_requests=limit or None)
    inherited = {name: value for name, value in request.headers.items() if name not in _OF_THE_BODY}
    requests = [_sub_request(request, item, inherited) for item in items]
    contexts = [context.child(sub) for sub in requests]
    for child, sub in zip(contexts, requests, strict=True):
        child.needs = _needs_of(sub, await _get_ready(child, sub))

    told: list[tuple[Request, Answer, str | None, float]] = []
    run = partial(_run_observed, told) if context.service.batch_observers else _run

    async def act(work: Work) -> Answer:
        told.clear()
        answers = [
            _item(*(await run(work, child, sub))) for child, sub in zip(contexts, requests, strict=True)
        ]
        return Answer(200, b'{"responses":[' + b",".join(answers) + b"]}")

    if not requests:
        return Answer(200, b'{"responses":[]}')
    answer = await context.write(Needs.union(child.needs or Needs() for child in contexts), act)
    for each in told:
        tell(context.service.batch_observers, *each)
    return answer


async def _get_ready(context: Context, request: Request) -> Place:
    """What a request is about. What may take long is done now, before anything is locked: credentials are
    verified, passwords hashed."""
    path = request.path
    try:
        await context.identify()
        if context.service.aliases:
            path = await meant_path(context, request)
        place = _place_of(path)
        if place is not None and context.service.rules[place.kind].prepare is not None:
            await prepare_ahead(context, place)
    except ProtocolError as error:
        if error.status >= 500:
            raise
        return _place_of(path)  # the request is told when its turn comes
    return place


def _sub_request(outer: Request, item: BatchItem, inherited: Mapping[str, str]) -> Request:
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
    request = Request(
        item.method, path, query.encode(), headers, base=outer.base, peer=outer.peer, in_batch=True
    )
    request.payload = item.body
    return request


_OF_THE_BODY = frozenset(("content-length", "content-encoding", "transfer-encoding"))


def _place_of(path: str) -> Place:
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


async def _run_observed(
    told: list[tuple[Request, Answer, str | None, float]], work: Work, context: Context, request: Request
) -> tuple[Context, Request, Answer]:
    """As `_run`, keeping what the observers will be told."""
    began = time.perf_counter()
    context, request, answer = await _run(work, context, request)
    told.append((request, answer, context.user, time.perf_counter() - began))
    return context, request, answer


async def _run(work: Work, context: Context, request: Request) -> tuple[Context, Request, Answer]:
    """The answer to one request of the batch, and the request: where there was a redirect, the last one."""
    unit = work.unit
    mark, changes = unit.mark(), len(work.context.changes)
    context.work = Work(unit, context)
    context.request = request
    dispatch = context.service.dispatch
    assert dispatch is not None, "the application is wired"
    try:
        await context.identify()
        for gate in context.service.gates:
            await gate(context, request)
        answer = await dispatch(context, request)
        for _ in range(REDIRECTS):
            if answer.status != 307:
                break
            request = context.request = _redirected(request, answer)
            context.needs = None
            answer = await dispatch(context, request)
    except ProtocolError as error:
        if error.status >= 500:
            raise
        unit.rollback(mark)
        del work.context.changes[changes:]
        answer = error_answer(error)
    return context, request, answer


def _redirected(request: Request, answer: Answer) -> Request:
    location = dict(answer.headers)["Location"].removeprefix(request.base)
    path, _, query = location.partition("?")
    item = BatchItem(request.method, path + (f"?{query}" if query else ""), {}, request.payload)
    return _sub_request(request, item, request.headers)


def _item(context: Context, request: Request, answer: Answer) -> bytes:
    headers: dict[str, Any] = dict(complete(context.service.wire, request, answer))
    body = answer.body if answer.body and request.method != "HEAD" and answer.status != 304 else b'""'
    if answer.media_type != "application/json" and body != b'""':
        body = json.encode(body.decode("utf-8", "replace"))
    head = json.encode({"path": request.path, "status": answer.status, "headers": headers})
    return head[:-1] + b',"body":' + body + b"}"
