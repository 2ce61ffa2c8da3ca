"""DELETE /__user_data__/{principal}, and `kintoun user erase`: forget a user (protocol section 8.7)."""

from __future__ import annotations

from kintoun.http.answers import Answer, json_answer
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import GROUP, KINDS
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import acl_text, parse_acl
from kintoun.resources.context import Context, Work
from kintoun.resources.writing import needs_of, remove
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Stored

_OBJECTS = (
    "SELECT k.path, o.id, o.grants FROM acl_entry e JOIN object o ON o.acl = e.acl"
    " JOIN clock k ON k.list = o.list WHERE e.principal = $1 AND o.deleted = 0"
)
_GROUPS = "SELECT k.path, m.id FROM member m JOIN clock k ON k.list = m.list WHERE m.principal = $1"


async def delete_user_data(context: Context, request: Request) -> Answer:
    """Delete what only this user may write, and take the user out of every ACL and group that remains."""
    principal = request.parameters[0]

    async def act(work: Work) -> Answer:
        context.service.cors.check(request)
        allowed = context.service.settings.access.get("user-data_delete", ())
        if context.principals.isdisjoint(allowed):
            raise context.refusal()
        return await erase(work, principal)

    return await context.write(Needs(), act)


async def erase(work: Work, principal: str) -> Answer:
    """Forget a user within a write, whoever asks for it; the features forget what they know."""
    await _erase(work, principal)
    for forget in work.context.service.erase:
        await forget(work, principal)
    return json_answer({"data": {"principal": principal}})


async def _erase(work: Work, principal: str) -> None:
    rows = await work.unit.transaction.fetch(_OBJECTS, (principal,))
    mentioned = {ListPath.parse(row[0]).object(row[1]): parse_acl(row[2]) for row in rows}
    only_his = [path for path, grants in mentioned.items() if grants.get("write") == frozenset((principal,))]
    others = [path for path in mentioned if path not in set(only_his)]
    # Parents first: what is below them goes with them.
    for path in sorted(only_his, key=lambda path: (len(path.ids), KINDS.index(path.kind), path.ids)):
        own = await _locked(work, path)
        if own is not None and not await _removed(work, path, own):
            others.append(path)
    for path in others:
        own = await _locked(work, path)
        if own is not None:
            grants = {name: holders - {principal} for name, holders in parse_acl(own.grants).items()}
            await _rewrite(work, path, own, json.decode(own.body.encode()), acl_text(grants))
    for row in await work.unit.transaction.fetch(_GROUPS, (principal,)):
        path = ListPath.parse(row[0]).object(row[1])
        own = await _locked(work, path)
        if own is not None and path.kind is GROUP:
            attributes = json.decode(own.body.encode())
            attributes["members"] = [member for member in attributes["members"] if member != principal]
            await _rewrite(work, path, own, attributes, own.grants)


async def _removed(work: Work, path: Path, own: Stored) -> bool:
    """Remove an object, unless a feature forbids it, as of a bucket that others publish to: then it stays."""
    mark, told = work.unit.mark(), len(work.context.changes)
    try:
        await remove(work, path, own, None)
    except ProtocolError as error:
        if error.errno != FORBIDDEN:
            raise
        work.unit.rollback(mark)
        del work.context.changes[told:]
        return False
    return True


async def _locked(work: Work, path: Path) -> Stored | None:
    """The live row at a path, its list locked; None when it went with its parent."""
    await work.unit.prepare([needs_of(path)])
    clock = await work.unit.clock(path.list)
    if clock is None or clock.list is None:
        return None
    own = await work.unit.object(path)
    return own if own is not None and not own.deleted else None


async def _rewrite(work: Work, path: Path, own: Stored, attributes: dict[str, object], grants: str) -> None:
    del attributes["last_modified"]
    row, _, since = await work.unit.put(path, attributes, grants)
    user = work.context.user
    change = Change("update", path, own.body, row.body, grants, row.timestamp, user, own.grants)
    await work.context.changed(change._replace(old_timestamp=own.timestamp, since=since))
