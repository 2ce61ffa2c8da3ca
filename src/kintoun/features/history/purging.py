"""DELETE of a bucket's history: the entries that match the filters go, one page at a time."""

from __future__ import annotations

from kintoun.features.history.counting import buried
from kintoun.features.history.table import HISTORY, history_of
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model import json, timestamps
from kintoun.model.errors import ProtocolError
from kintoun.model.paths import ListPath
from kintoun.model.permissions import NO_GRANTS
from kintoun.resources.clearing import consume_nonce, issue_nonce
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import check_accept
from kintoun.resources.ground import ground_of
from kintoun.resources.listing import Asked, alerts, next_page_url, page_of, parse_list_request
from kintoun.resources.preconditions import stamp
from kintoun.storage.needs import Needs
from kintoun.storage.outgoing import digest
from kintoun.storage.rows import Wanted

# Of an entry nothing is left but that it was there; lists of the past miss its change from then on.
_BURY = (
    "UPDATE history SET ts = $1, deleted = 1, body = $2, acl = $3, acl_collection = NULL, acl_bucket = NULL,"
    " part = 0, name = '', collection = '', resource = '', author = '', origin = 0, old_ts = NULL,"
    " old_deleted = NULL, old_body = NULL, old_grants = NULL, old_acl = NULL WHERE list = $4 AND ts = $5"
)


async def delete_history(context: Context, request: Request) -> Answer:
    """DELETE of the entries that match the filters, for who may write the bucket."""
    path = history_of(request.parameters[0])
    asked = parse_list_request(context, request, path)

    async def act(work: Work) -> Answer:
        ground = await ground_of(work, path)
        check_accept(request)
        if not ground.may_write:
            raise context.refusal()
        ground.check_parent()
        if isinstance(asked, ProtocolError):
            raise asked
        work.unit.settle()  # its own changes are entered already
        clock = await work.unit.standing(path)
        asked.preconditions.refuse_list(clock.timestamp)
        if asked.misuse is not None:
            raise asked.misuse
        return await _delete_page(work, request, path, asked)

    return await context.write(Needs((path,), (), path.lineage), act)


async def _delete_page(work: Work, request: Request, path: ListPath, asked: Asked) -> Answer:
    token = asked.query.token
    if token is not None:
        await consume_nonce(work, token.nonce)
    page = page_of(work.context.service.rules[HISTORY], asked)._replace(deleted=False, until=None)
    rows = (await work.unit.read(Wanted(clock=path, page=page))).rows or ()
    clock = await work.unit.standing(path)
    headers = alerts(work.context, asked.query)
    if len(rows) > asked.limit:
        rows = rows[: asked.limit]
        nonce = await issue_nonce(work)
        url = next_page_url(work.context, request, asked, rows[-1][3], clock.timestamp, nonce)
        headers = (*headers, ("Next-Page", url))
    bodies: list[str] = []
    changes = []
    for row in rows:
        clock = buried(clock, timestamps.now())
        work.unit.tick(clock)
        tombstone = {"id": row[1], "last_modified": clock.timestamp, "deleted": True}
        bodies.append(json.encode_text(tombstone))
        changes.append((clock.timestamp, bodies[-1], digest(NO_GRANTS), clock.list, row[2]))
    await work.unit.transaction.execute_many(_BURY, changes)
    return Answer(200, f'{{"data":[{",".join(bodies)}]}}'.encode(), (*stamp(clock.timestamp), *headers))
