"""DELETE of a list: what matches the filters goes, one page at a time (protocol section 5.5)."""

from __future__ import annotations

import secrets

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model import timestamps
from kintoun.model.errors import ProtocolError, invalid
from kintoun.model.kinds import Kind
from kintoun.model.paths import ListPath
from kintoun.model.permissions import WRITE_ONLY
from kintoun.model.query import EVERYTHING
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept
from kintoun.resources.ground import ground_of
from kintoun.resources.listing import Asked, alerts, next_page_url, page_of, parse_list_request
from kintoun.resources.preconditions import stamp
from kintoun.resources.writing import remove
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Page, Stored, Wanted


async def delete_list(kind: Kind, context: Context, request: Request) -> Answer:
    """DELETE of the objects of a list that match the filters and that the caller may write."""
    path = ListPath(kind, request.parameters)
    asked = parse_list_request(context, request, path)

    async def act(work: Work) -> Answer:
        ground = await ground_of(work, path)
        check_accept(request)
        check_list = context.service.rules[kind].check_list
        if check_list is not None:
            check_list(context)
        holders = None
        if not ground.may_write:
            holders = context.principals
            if not ground.may_create and not await _owns_any(work, path):
                raise context.refusal()
        ground.check_parent()
        if isinstance(asked, ProtocolError):
            raise asked
        clock = await work.unit.standing(path)
        asked.preconditions.refuse_list(clock.timestamp)
        if asked.misuse is not None:
            raise asked.misuse
        return await _delete_page(work, request, path, asked, holders)

    return await context.write(Needs((path,), (), path.lineage), act)


async def _owns_any(work: Work, path: ListPath) -> bool:
    page = Page((), EVERYTHING.sort, 1, holders=work.context.principals, permissions=WRITE_ONLY)
    found = await work.unit.read(Wanted(clock=path, page=page))
    return bool(found.rows)


async def _delete_page(
    work: Work, request: Request, path: ListPath, asked: Asked, holders: frozenset[str] | None
) -> Answer:
    token = asked.query.token
    if token is not None:
        await consume_nonce(work, token.nonce)
    page = page_of(work.context.service.rules[path.kind], asked)._replace(
        deleted=False, until=None, holders=holders, permissions=WRITE_ONLY if holders is not None else None
    )
    rows = (await work.unit.read(Wanted(clock=path, page=page))).rows or ()
    bodies: list[str] = []
    timestamp = 0
    for row in rows[: asked.limit]:
        target = path.object(row[1])
        own = await work.unit.object(target)
        assert own is not None, "the page was read in this transaction"
        tombstone: Stored = await remove(work, target, own, None)
        bodies.append(tombstone.body)
        timestamp = tombstone.timestamp
    clock = await work.unit.standing(path)
    headers = (*stamp(timestamp or clock.timestamp), *alerts(work.context, asked.query))
    if len(rows) > asked.limit:
        last = rows[asked.limit - 1][3]
        nonce = await issue_nonce(work)
        url = next_page_url(work.context, request, asked, last, clock.timestamp, nonce)
        headers = (*headers, ("Next-Page", url))
    return Answer(200, f'{{"data":[{",".join(bodies)}]}}'.encode(), headers)


async def issue_nonce(work: Work) -> str:
    """A page token of a deletion is good once, and for a while."""
    nonce = f"pagination-token-{secrets.token_hex(16)}"
    seconds = work.context.service.settings.protocol.page_token_seconds
    expires = timestamps.now() + seconds * 1000
    await work.unit.transaction.fetch("DELETE FROM nonce WHERE expires < $1", (timestamps.now(),))
    await work.unit.transaction.fetch("INSERT INTO nonce (id, expires) VALUES ($1, $2)", (nonce, expires))
    return nonce


async def consume_nonce(work: Work, nonce: str | None) -> None:
    """Use a page token of a deletion. Raises InvalidParameters when that was done before, or too late."""
    sql = "DELETE FROM nonce WHERE id = $1 AND expires >= $2 RETURNING id"
    if nonce is None or not await work.unit.transaction.fetch(sql, (nonce, timestamps.now())):
        raise invalid("querystring", None, "_token was already used or has expired.")
