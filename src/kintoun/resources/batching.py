"""POST /batch: several requests in one transaction (protocol section 6)."""

from __future__ import annotations

import time
from functools import partial

from kintoun.http.answers import Answer, error_answer
from kintoun.http.requests import Request
from kintoun.http.wire import complete_json
from kintoun.model import json
from kintoun.model.batch import BatchItem, parse_batch
from kintoun.model.errors import ProtocolError
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_content_type
from kintoun.resources.observing import tell
from kintoun.resources.turns import Turn, sub_request, turns_of
from kintoun.resources.writing import body_of

REDIRECTS = 5
"""How many redirects a request of a batch follows."""

Told = list[tuple[Request, Answer, str | None, float]]
"""What the observers will be told of."""


async def post_batch(context: Context, request: Request) -> Answer:
    """Run the requests of a batch in order, each seeing what those before it did, and commit once."""
    check_content_type(request)
    context.service.cors.check(request)
    limit = context.service.settings.limits.batch_requests
    items = parse_batch(body_of(context, request), max_requests=limit or None)
    turns, needs = await turns_of(context, request, items)

    told: Told = []
    run = partial(_run_observed, told) if context.service.batch_observers else _run

    async def act(work: Work) -> Answer:
        told.clear()
        answers = [_item(turn.context, *(await run(work, turn))) for turn in turns]
        return Answer(200, b'{"responses":[' + b",".join(answers) + b"]}")

    if not turns:
        return Answer(200, b'{"responses":[]}')
    answer = await context.write(needs, act)
    for each in told:
        tell(context.service.batch_observers, *each)
    return answer


async def _run_observed(told: Told, work: Work, turn: Turn) -> tuple[Request, Answer]:
    """As `_run`, keeping what the observers will be told."""
    began = time.perf_counter()
    request, answer = await _run(work, turn)
    told.append((request, answer, turn.context.user, time.perf_counter() - began))
    return request, answer


async def _run(work: Work, turn: Turn) -> tuple[Request, Answer]:
    """The answer to one request of the batch, and the request: where there was a redirect, the last one."""
    unit = work.unit
    mark, changes = unit.mark(), len(work.context.changes)
    context, request, needs, act = turn
    context.work = Work(unit, context)
    context.request = request
    context.needs = needs
    try:
        await context.identify()
        if act is not None and (context.claim is None or context.claim.scope is None):
            return request, await context.write(needs, act)
        return await _dispatched(context, request)
    except ProtocolError as error:
        if error.status >= 500:
            raise
        unit.rollback(mark)
        del work.context.changes[changes:]
        return context.request, error_answer(error)


async def _dispatched(context: Context, request: Request) -> tuple[Request, Answer]:
    """The answer of what serves a request, redirects followed."""
    for gate in context.service.gates:
        await gate(context, request)
    dispatch = context.service.dispatch
    assert dispatch is not None, "the application is wired"
    answer = await dispatch(context, request)
    for _ in range(REDIRECTS):
        if answer.status != 307:
            break
        request = context.request = _redirected(request, answer)
        context.needs = None
        answer = await dispatch(context, request)
    return request, answer


def _redirected(request: Request, answer: Answer) -> Request:
    location = dict(answer.headers)["Location"].removeprefix(request.base)
    path, _, query = location.partition("?")
    item = BatchItem(request.method, path + (f"?{query}" if query else ""), {}, request.payload)
    return sub_request(request, item, request.headers)


def _item(context: Context, request: Request, answer: Answer) -> bytes:
    body = answer.body if answer.body and request.method != "HEAD" and answer.status != 304 else b'""'
    if answer.media_type != "application/json" and body != b'""':
        body = json.encode(body.decode("utf-8", "replace"))
    if answer.status == 204:
        body = b"null"
    headers = complete_json(context.service.wire, request, answer)
    path = json.encode(request.path)
    return b'{"path":%b,"status":%d,"headers":%b,"body":%b}' % (path, answer.status, headers, body)
