"""Writing one object: PUT, POST, PATCH and DELETE (protocol sections 5.1 to 5.5).

Every handler parses its request first, outside of any lock; what is wrong with it is kept and told only once
the caller turns out to be allowed to know. Then one function runs in the transaction, in the protocol's order
of checks: parent, media types, access, syntax, id, existence, preconditions, meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model import json, timestamps
from kintoun.model.attributes import check_attributes
from kintoun.model.changes import Action, Change
from kintoun.model.envelope import Envelope, parse_envelope
from kintoun.model.errors import CONSTRAINT_VIOLATED, Detail, InvalidParameters, ProtocolError, invalid
from kintoun.model.kinds import BUCKET, RECORD, Kind
from kintoun.model.patch import Patch, parse_patch, response_body
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import NO_GRANTS, acl_text, parse_acl, with_author
from kintoun.model.query import split_query
from kintoun.resources.context import Context, Work, collect
from kintoun.resources.errors import (
    check_accept,
    check_content_type,
    ill_formed_id,
    unknown_object,
    unknown_parent,
)
from kintoun.resources.preconditions import parse_preconditions, stamp
from kintoun.resources.presentation import object_answer
from kintoun.resources.validation import validate
from kintoun.storage.rows import Stored
from kintoun.storage.unit import Needs, TimestampTaken

Row = Stored | None


class Kept(NamedTuple):
    """What a parser made of a part of the request, or the error it raised."""

    value: Any
    error: InvalidParameters | None

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def keep(parse: Callable[[], Any]) -> Kept:
    try:
        return Kept(parse(), None)
    except InvalidParameters as error:
        return Kept(None, error)


def needs_of(path: Path) -> Needs:
    """What writing an object touches: its list, those below it, and the rows that access depends on.

    The lists below are locked so that no write in them goes by rights or schemas that are being changed.
    """
    if path.kind is BUCKET:
        return Needs((path.list,), (path.id,), path.lineage)
    return Needs((path.list, *path.children), (), path.lineage)


def body_of(context: Context, request: Request) -> Any:
    limits = context.service.settings.limits
    return json.decode_body(request.body, writes=True, max_depth=limits.json_depth)


def envelope_of(context: Context, request: Request, kind: Kind) -> Envelope:
    body = body_of(context, request)
    return parse_envelope(body, kind=kind.name, permissions_allowed=kind.permissions)


async def prepared(context: Context, kind: Kind, path: Path | None, kept: Kept) -> Kept:
    """The attributes completed by the kind's own rules, before any lock is taken."""
    prepare = context.service.rules_of(kind).prepare
    if prepare is None or kept.error is not None or kept.value.data is None:
        return kept
    data = await prepare(context, path, kept.value.data)
    return Kept(kept.value._replace(data=data), None)


def check_place(path: Path | ListPath, above: list[Row]) -> None:
    """The first check of a write: that the URL can name anything at all (protocol section 1.5)."""
    parent = path.lineage[-1] if isinstance(path, ListPath) else path.list.parent
    if isinstance(path, ListPath):
        parent = path.parent
    if parent is None:
        return
    if path.kind is RECORD:
        if above[-1] is None or above[-1].deleted:
            raise unknown_parent(parent)
    elif not BUCKET.accepts(parent.id):
        raise unknown_parent(parent)


def check_parent(path: ListPath, above: list[Row]) -> None:
    """That the parent is there, for callers who may know."""
    if path.parent is not None and (above[-1] is None or above[-1].deleted):
        raise unknown_parent(path.parent)


async def rows_of(work: Work, path: Path) -> tuple[list[Row], Row]:
    """The rows above a path, and the live row at it."""
    *above, own = [await work.unit.object(step) for step in path.lineage]
    return above, own if own is not None and not own.deleted else None


# PUT


async def put_object(context: Context, request: Request, kind: Kind) -> Answer:
    """PUT: create an object, or replace what is there."""
    path = Path(kind, request.parameters)
    kept = await prepared(context, kind, path, keep(lambda: envelope_of(context, request, kind)))

    async def act(work: Work) -> Answer:
        above, own = await rows_of(work, path)
        check_place(path, above)
        check_accept(request)
        check_content_type(request)
        access, principals = context.service.access, context.principals
        creating = own is None or request.headers.get("if-none-match") == "*"
        if creating:
            may = access.may_create(kind, above, principals)
        else:
            may = access.may_write(kind, above, own, principals)
        if not may:
            raise context.refusal()
        check_parent(path.list, above)
        preconditions, envelope, _ = collect(
            lambda: parse_preconditions(request), kept.get, lambda: context.service.cors.check(request)
        )
        if not kind.accepts(path.id):
            raise ill_formed_id()
        if own is None:
            clock = await work.unit.clock(path.list)
            preconditions.refuse_missing(clock.timestamp if clock else 0)
        else:
            preconditions.refuse_existing(own, visible=access.may_read(kind, above, own, principals))
        check_id(path, envelope.data)
        if own is None:
            return await create(work, path, above, envelope)
        return await replace(work, path, above, own, envelope)

    return await context.write(needs_of(path), act)


def check_id(path: Path, data: dict[str, Any] | None) -> None:
    if data is not None and "id" in data and data["id"] != path.id:
        raise invalid("body", "id", "Object id does not match existing object")


async def create(work: Work, path: Path, above: list[Row], envelope: Envelope) -> Answer:
    """Write an object where there is none."""
    context = work.context
    rules = context.service.rules_of(path.kind)
    if rules.may_create is not None:
        rules.may_create(context, path)
    if len(path.id) > context.service.settings.limits.id_length:
        raise invalid("path", "id", f"Longer than {context.service.settings.limits.id_length} characters")
    attributes = dict(envelope.data or {})
    validate(context, path.kind, above, attributes)
    grants = acl_text(envelope.permissions or {})
    row = await write(work, "create", path, None, attributes, owned(context, path, grants))
    return object_answer(context, row, 201)


async def replace(work: Work, path: Path, above: list[Row], own: Stored, envelope: Envelope) -> Answer:
    """Write all attributes of an object anew, or only its permissions."""
    context = work.context
    if envelope.data is None:
        attributes = json.decode(own.body.encode())
        del attributes["last_modified"]
    else:
        attributes = dict(envelope.data)
    validate(context, path.kind, above, attributes)
    grants = own.acl if not envelope.permissions else acl_text(envelope.permissions)
    row = await write(work, "update", path, own, attributes, owned(context, path, grants))
    return object_answer(context, row)


def owned(context: Context, path: Path, grants: str) -> str:
    """The ACL with its author among the writers (protocol section 5.4)."""
    author = context.service.rules_of(path.kind).author
    if author is not None:
        return with_author(NO_GRANTS if author(path) else grants, author(path))
    if not context.service.settings.protocol.explicit_permissions:
        return grants
    return with_author(grants, context.author)


async def write(
    work: Work, action: Action, path: Path, own: Row, attributes: dict[str, Any], grants: str
) -> Stored:
    """Write the row and tell the hooks."""
    chosen = await choose_timestamp(work, path, own, attributes.get("last_modified"))
    try:
        row = await work.unit.put(path, attributes, grants, chosen)
    except TimestampTaken:
        raise taken(work.context) from None
    old_body = own.body if own is not None else None
    await work.context.changed(
        Change(action, path, old_body, row.body, grants, row.timestamp, work.context.user)
    )
    return row


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
    clock = await work.unit.clock(path.list)
    assert clock is not None, "the parent exists"
    return chosen + 1 if chosen == clock.timestamp else chosen


# POST


async def post_object(context: Context, request: Request, kind: Kind) -> Answer:
    """POST on a list: create an object, or find the one that has the id already."""
    parents = request.parameters
    place = ListPath(kind, parents)
    kept = keep(lambda: envelope_of(context, request, kind))
    given = (kept.value.data or {}).get("id", _NO_ID) if kept.error is None else _NO_ID
    if given is not _NO_ID and not kind.accepts(given):
        kept = Kept(None, ill_formed_id())
        path = None
    elif given is not _NO_ID:
        path = place.object(given)
    else:
        path = place.object(kind.new_id()) if kind.new_id is not None else None
    kept = await prepared(context, kind, path, kept)
    needs = needs_of(path) if path is not None else Needs((), (), place.lineage)

    async def act(work: Work) -> Answer:
        above = [await work.unit.object(step) for step in place.lineage]
        check_place(place, above)
        if path is None and kept.error is not None and given is not _NO_ID:
            raise kept.error
        check_accept(request)
        check_content_type(request)
        own = None
        if path is not None:
            _, own = await rows_of(work, path)
        access, principals = context.service.access, context.principals
        if own is not None:
            may = access.may_read(kind, above, own, principals)
        else:
            may = access.may_create(kind, above, principals)
        if not may:
            raise context.refusal()
        check_parent(place, above)
        preconditions, envelope, _ = collect(
            lambda: parse_preconditions(request), kept.get, lambda: context.service.cors.check(request)
        )
        if path is None:
            raise InvalidParameters(Detail("body", "data.id", "data.id in body: Required"))
        if own is not None:
            preconditions.refuse_existing(own)
            return object_answer(context, own)
        clock = await work.unit.clock(place)
        preconditions.refuse_missing(clock.timestamp if clock else 0)
        return await create(work, path, above, envelope)

    return await context.write(needs, act)


_NO_ID = object()


# PATCH


async def patch_object(context: Context, request: Request, kind: Kind) -> Answer:
    """PATCH: change some attributes or permissions of an object."""
    path = Path(kind, request.parameters)
    media_type = request.media_type or "application/json"
    limits = context.service.settings.limits

    def parse() -> Patch:
        body = body_of(context, request)
        return parse_patch(
            body,
            media_type,
            kind=kind.name,
            permissions_allowed=kind.permissions,
            max_operations=limits.patch_operations,
        )

    kept = keep(parse) if media_type in PATCH_TYPES else Kept(None, None)
    if kept.error is None and kept.value is not None:
        kept = await _prepared_patch(context, path, kept)

    async def act(work: Work) -> Answer:
        above, own = await rows_of(work, path)
        check_place(path, above)
        check_accept(request)
        check_content_type(request)
        require_write(context, path, above, own)
        preconditions, patch, behavior, _ = collect(
            lambda: parse_preconditions(request),
            kept.get,
            lambda: response_behavior(request),
            lambda: context.service.cors.check(request),
        )
        if not kind.accepts(path.id):
            raise ill_formed_id()
        if own is None:
            raise unknown_object(path)
        preconditions.refuse_existing(own)
        return await _patch(work, path, above, own, patch, behavior)

    return await context.write(needs_of(path), act)


PATCH_TYPES = ("application/json", "application/merge-patch+json", "application/json-patch+json")


async def _prepared_patch(context: Context, path: Path, kept: Kept) -> Kept:
    """A patch that sets attributes, completed by the kind's own rules as a PUT would be."""
    prepare = context.service.rules_of(path.kind).prepare
    submitted = kept.value.submitted
    if prepare is None or not submitted:
        return kept
    return Kept(kept.value.with_data(await prepare(context, path, submitted)), None)


async def _patch(
    work: Work, path: Path, above: list[Row], own: Stored, patch: Patch, behavior: str
) -> Answer:
    context = work.context
    old = json.decode(own.body.encode())
    grants = {name: sorted(principals) for name, principals in parse_acl(own.acl).items()}
    patched = patch.apply(old, grants)
    attributes = dict(patched.data)
    check_id(path, attributes)
    if attributes.get("last_modified") == own.timestamp:
        del attributes["last_modified"]
    attributes = check_attributes(path.kind.name, attributes)
    validate(context, path.kind, above, attributes)
    text = own.acl
    if patched.permissions is not None:
        text = acl_text({**grants, **patched.permissions})
    row = await write(work, "update", path, own, attributes, owned(context, path, text))
    if behavior == "full":
        return object_answer(context, row)
    changed = response_body(behavior, patch.submitted, old, attributes)
    return Answer(200, b'{"data":' + json.encode(changed) + b"}", stamp(row.timestamp))


def response_behavior(request: Request) -> str:
    """What the caller wants to be told of the patched object (protocol section 5.3)."""
    value = request.headers.get("response-behavior", "full")
    if value not in ("full", "light", "diff"):
        raise invalid("header", "Response-Behavior", f'"{value}" is not one of full, light, diff')
    return value


def require_write(context: Context, path: Path, above: list[Row], own: Row) -> None:
    """Raise the refusal, or the 404 that a caller who may read the parent is told (protocol section 8.5)."""
    access, principals = context.service.access, context.principals
    if access.may_write(path.kind, above, own, principals) and (own is not None or not above):
        return
    if own is not None:
        raise context.refusal()
    if not access.may_read_parent(path.kind, above, principals):
        raise context.refusal()
    check_parent(path.list, above)


# DELETE


async def delete_object(context: Context, request: Request, kind: Kind) -> Answer:
    """DELETE of an object: its tombstone stays."""
    path = Path(kind, request.parameters)
    kept = keep(lambda: deletion_timestamp(request))
    body = keep(lambda: check_body(context, request))

    async def act(work: Work) -> Answer:
        above, own = await rows_of(work, path)
        check_place(path, above)
        check_accept(request)
        require_write(context, path, above, own)
        preconditions, chosen, _, _ = collect(
            lambda: parse_preconditions(request),
            kept.get,
            body.get,
            lambda: context.service.cors.check(request),
        )
        if not kind.accepts(path.id):
            raise ill_formed_id()
        if own is None:
            raise unknown_object(path)
        preconditions.refuse_existing(own)
        row = await remove(work, path, own, chosen)
        return Answer(200, f'{{"data":{row.body}}}'.encode(), stamp(row.timestamp))

    return await context.write(needs_of(path), act)


def check_body(context: Context, request: Request) -> None:
    """Refuse a body that says to be JSON and is not, where none is expected (protocol section 1.1)."""
    if request.body and request.media_type in ("", *PATCH_TYPES):
        limits = context.service.settings.limits
        json.decode_body(request.body, writes=False, max_depth=limits.json_depth)


def deletion_timestamp(request: Request) -> int | None:
    """The timestamp that the client wants the tombstone to have."""
    for name, value in split_query(request.query):
        if name == "last_modified":
            if not value.isascii() or not value.removeprefix("-").isdigit():
                raise invalid("querystring", "last_modified", f'"{value}" is not an integer')
            try:
                return timestamps.client_timestamp(int(value[:20]))
            except ValueError as error:
                raise invalid("querystring", "last_modified", str(error)) from None
    return None


async def remove(work: Work, path: Path, own: Stored, chosen: int | None) -> Stored:
    """Turn an object into its tombstone and tell the hooks."""
    clock = await work.unit.clock(path.list)
    assert clock is not None, "what is deleted stands in a list"
    if chosen is not None:
        chosen = None if chosen <= own.timestamp else chosen + 1 if chosen == clock.timestamp else chosen
    try:
        row = await work.unit.delete(path, chosen)
    except TimestampTaken:
        raise taken(work.context) from None
    await work.context.changed(
        Change("delete", path, own.body, row.body, NO_GRANTS, row.timestamp, work.context.user)
    )
    return row


