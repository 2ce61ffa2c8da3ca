"""What the writes of every method share: deferred parsing, the first checks, and the row that is written.

A handler parses its request first, outside of any lock; what is wrong with it is kept, and told only once the
caller turns out to be allowed to know. Then one function runs in the transaction, in the protocol's order of
checks (section 1.5): parent, media types, access, syntax, id, existence, preconditions, meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kintoun.http.limits import WITH_BODY
from kintoun.http.requests import Request
from kintoun.model import json, timestamps
from kintoun.model.changes import Action, Change
from kintoun.model.envelope import Envelope, parse_envelope
from kintoun.model.errors import CONSTRAINT_VIOLATED, InvalidParameters, ProtocolError, invalid
from kintoun.model.kinds import BUCKET, Kind
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import NO_GRANTS, acl_text, parse_acl, with_author
from kintoun.model.tuples import made
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import collect
from kintoun.resources.ground import Ground, ground_of
from kintoun.resources.preconditions import NO_DEMANDS, Preconditions, parse_preconditions
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Stored
from kintoun.storage.unit import TimestampTaken

Row = Stored | None


class Kept(NamedTuple):
    """What a parser made of a part of the request, or the error it raised."""

    value: Any
    error: InvalidParameters | None

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def keep(parse: Callable[..., Any], *of: Any) -> Kept:
    try:
        return made(Kept, (parse(*of), None))
    except InvalidParameters as error:
        return Kept(None, error)


def needs_of(path: Path) -> Needs:
    """What writing an object touches: its list, those below it, and the rows that access depends on.

    The lists below are locked so that no write in them goes by rights or schemas that are being changed.
    """
    if path.kind is BUCKET:
        return Needs((path.list,), (path.id,), path.lineage)
    return Needs((path.list, *path.children), (), path.lineage)


def needs_in(context: Context, path: Path) -> Needs:
    """What writing an object touches, which the batch that the request is in has found out already."""
    needs = context.needs
    return needs if needs is not None and needs.points[-1:] == (path,) else needs_of(path)


def body_of(context: Context, request: Request) -> Any:
    if request.payload is not None:
        return request.payload
    limits = context.service.settings.limits
    return json.decode_body(request.body, writes=True, max_depth=limits.json_depth)


def demands_of(context: Context, request: Request, kept: Kept) -> tuple[Preconditions, Any]:
    """The preconditions of a write and what was kept of its body; raises all that is wrong at once."""
    headers = request.headers
    if kept.error is None and headers.keys().isdisjoint(_DEMANDING):
        return NO_DEMANDS, kept.value
    preconditions, value, _ = collect(
        lambda: parse_preconditions(request), kept.get, lambda: context.service.cors.check(request)
    )
    return preconditions, value


_DEMANDING = frozenset(("if-match", "if-none-match", "origin"))


def envelope_of(context: Context, request: Request, kind: Kind) -> Envelope:
    body = body_of(context, request)
    required = context.service.rules[kind].data_required
    return parse_envelope(body, kind=kind.name, permissions_allowed=kind.permissions, data_required=required)


async def prepared(context: Context, kind: Kind, path: Path | None, kept: Kept) -> Kept:
    """The attributes completed by the kind's own rules, before any lock is taken."""
    prepare = context.service.rules[kind].prepare
    if prepare is None or kept.error is not None or kept.value.data is None:
        return kept
    try:
        data = await prepare(context, path, kept.value.data)
    except InvalidParameters as error:
        return Kept(None, error)
    return Kept(kept.value._replace(data=data), None)


async def prepare_ahead(context: Context, place: Path | ListPath) -> None:
    """Let the kind's rules begin with a request of a batch, before the transaction that it will run in."""
    request = context.request
    prepare = context.service.rules[place.kind].prepare
    data = request.payload.get("data") if isinstance(request.payload, dict) else None
    if prepare is None or not isinstance(data, dict) or request.method not in WITH_BODY:
        return
    path = place if isinstance(place, Path) else None
    if isinstance(place, ListPath) and place.kind.accepts(data.get("id")):
        path = place.object(data["id"])
    await prepare(context, path, data)


async def rows_of(work: Work, path: Path) -> tuple[Ground, Row]:
    """What stands above a path, and the live row at it."""
    own = await work.unit.object(path)
    return await ground_of(work, path.list), own if own is not None and not own.deleted else None


def check_id(path: Path, data: dict[str, Any] | None) -> None:
    if data is not None and "id" in data and data["id"] != path.id:
        raise invalid("body", "id", "Object id does not match existing object")


def require_write(context: Context, ground: Ground, own: Row) -> None:
    """Raise the refusal, or the 404 that a caller who may read the parent is told (protocol section 8.5)."""
    principals = context.principals
    if own is not None:
        if not ground.grants_write(own, principals):
            raise context.refusal()
    elif ground.above or not ground.may_write:
        kind = ground.place.kind
        if not context.service.access.may_read_parent(kind, ground.above, principals):
            raise context.refusal()
        ground.check_parent()


def check_body(context: Context, request: Request) -> None:
    """Refuse a body that says to be JSON and is not, where none is expected (protocol section 1.1)."""
    kind = request.media_type
    if request.body and (not kind or kind == "application/json" or kind.endswith("+json")):
        limits = context.service.settings.limits
        json.decode_body(request.body, writes=False, max_depth=limits.json_depth)


async def create(work: Work, ground: Ground, path: Path, envelope: Envelope) -> Stored:
    """Write an object where there is none."""
    context = work.context
    rules = context.service.rules[path.kind]
    if rules.may_create is not None:
        rules.may_create(context, path)
    if len(path.id) > context.service.settings.limits.id_length:
        raise invalid("path", "id", f"Longer than {context.service.settings.limits.id_length} characters")
    attributes = dict(envelope.data or {})
    ground.validate(attributes)
    grants = acl_text(envelope.permissions) if envelope.permissions else NO_GRANTS
    return await write(work, "create", path, None, attributes, owned(context, path, grants))


def owned(context: Context, path: Path, grants: str) -> str:
    """The ACL with its author among the writers (protocol section 5.4)."""
    author = context.service.rules[path.kind].author
    if author is not None:
        name = author(path)
        return with_author(NO_GRANTS, name) if name is not None else NO_GRANTS
    if not context.service.settings.protocol.explicit_permissions:
        return grants
    return with_author(grants, context.author)


def check_grants(context: Context, grants: str) -> None:
    """Refuse an ACL in which a permission has more principals than the settings allow."""
    most = context.service.settings.limits.principals
    if len(grants) <= most:
        return  # every principal has a character, so there cannot be too many
    for name, principals in parse_acl(grants).items():
        if len(principals) > most:
            raise invalid("body", f"permissions.{name}", f"A permission has at most {most} principals")


async def write(
    work: Work, action: Action, path: Path, own: Row, attributes: dict[str, Any], grants: str
) -> Stored:
    """Write the row and tell the hooks. Returns the object's row as it is after them."""
    check_grants(work.context, grants)
    supplied = attributes.get("last_modified")
    chosen = await choose_timestamp(work, path, own, supplied) if supplied is not None else None
    context = work.context
    try:
        row, before, since = await work.unit.put(path, attributes, grants, chosen)
    except TimestampTaken:
        raise taken(context) from None
    old_body, old_grants = (own.body, own.grants) if own is not None else (None, None)
    old_timestamp = before.timestamp if before is not None else None
    await context.changed(
        made(
            Change,
            (
                action, path, old_body, row.body, grants, row.timestamp, context.user,
                old_grants, old_timestamp, since,
            ),
        )
    )  # fmt: skip
    return await work.unit.object(path) or row


def taken(context: Context) -> ProtocolError:
    retry = str(context.service.settings.http.retry_after_seconds)
    return ProtocolError(
        409,
        CONSTRAINT_VIOLATED,
        "Integrity constraint violated, please retry.",
        headers=(("Retry-After", retry),),
    )


async def choose_timestamp(work: Work, path: Path, own: Row, supplied: object) -> int | None:
    """The timestamp that the client's own choice leads to; None for the next one (protocol section 3.3)."""
    try:
        chosen = timestamps.client_timestamp(supplied)
    except ValueError as error:
        raise invalid("body", "data.last_modified", str(error)) from None
    if chosen is None or (own is not None and chosen <= own.timestamp):
        return None
    clock = await work.unit.standing(path.list)
    return chosen + 1 if chosen == clock.timestamp else chosen


async def remove(work: Work, path: Path, own: Stored, chosen: int | None) -> Stored:
    """Turn an object into its tombstone and tell the hooks."""
    clock = await work.unit.standing(path.list)
    if chosen is not None:
        chosen = None if chosen <= own.timestamp else chosen + 1 if chosen == clock.timestamp else chosen
    try:
        row, _, since = await work.unit.delete(path, chosen)
    except TimestampTaken:
        raise taken(work.context) from None
    user = work.context.user
    change = Change("delete", path, own.body, row.body, NO_GRANTS, row.timestamp, user, own.grants)
    await work.context.changed(change._replace(old_timestamp=own.timestamp, since=since))
    return row
