"""PATCH: change some attributes or permissions of an object (protocol section 5.3)."""

from __future__ import annotations

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.attributes import check_attributes
from kintoun.model.errors import InvalidParameters, invalid
from kintoun.model.kinds import Kind
from kintoun.model.patch import Patch, Patched, parse_patch, response_body
from kintoun.model.paths import Path
from kintoun.model.permissions import acl_text, parse_acl
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import (
    PATCH_TYPES,
    check_accept,
    check_content_type,
    collect,
    ill_formed_id,
    unknown_object,
)
from kintoun.resources.ground import Ground
from kintoun.resources.preconditions import parse_preconditions, stamp
from kintoun.resources.presentation import object_answer
from kintoun.resources.writing import (
    Kept,
    body_of,
    check_id,
    keep,
    needs_in,
    owned,
    require_write,
    rows_of,
    write,
)
from kintoun.storage.rows import Stored


async def patch_object(kind: Kind, context: Context, request: Request) -> Answer:
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
        ground, own = await rows_of(work, path)
        ground.check_place()
        check_accept(request)
        check_content_type(request)
        require_write(context, ground, own)
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
        return await _patch(work, ground, path, own, patch, behavior)

    return await context.write(needs_in(context, path), act)


async def _prepared_patch(context: Context, path: Path, kept: Kept) -> Kept:
    """A patch that sets attributes, completed by the kind's own rules as a PUT would be."""
    prepare = context.service.rules[path.kind].prepare
    submitted = kept.value.submitted
    if prepare is None or not submitted:
        return kept
    try:
        return Kept(kept.value.with_data(await prepare(context, path, submitted)), None)
    except InvalidParameters as error:
        return Kept(None, error)


async def _patch(work: Work, ground: Ground, path: Path, own: Stored, patch: Patch, behavior: str) -> Answer:
    row, patched = await amend(work, ground, path, own, patch)
    if behavior == "full":
        return object_answer(work.context, path.kind, row)
    old = json.decode(own.body.encode())
    changed = response_body(behavior, patched.submitted, old, patched.data)
    return Answer(200, b'{"data":' + json.encode(changed) + b"}", stamp(row.timestamp))


async def amend(work: Work, ground: Ground, path: Path, own: Stored, patch: Patch) -> tuple[Stored, Patched]:
    """Write an object as a patch changes it; returns its row, and what the patch came to."""
    context = work.context
    old = json.decode(own.body.encode())
    grants = {name: sorted(principals) for name, principals in parse_acl(own.grants).items()}
    patched = patch.apply(old, grants)
    attributes = dict(patched.data)
    check_id(path, attributes)
    if attributes.get("last_modified") == own.timestamp:
        del attributes["last_modified"]
    attributes = check_attributes(path.kind.name, attributes)
    ground.validate(attributes)
    text = own.grants
    if patched.permissions is not None:
        text = acl_text({**grants, **patched.permissions})
    row = await write(work, "update", path, own, attributes, owned(context, path, text))
    return row, patched._replace(data=attributes)


def response_behavior(request: Request) -> str:
    """What the caller wants to be told of the patched object (protocol section 5.3)."""
    value = request.headers.get("response-behavior") or "full"
    if value not in ("full", "light", "diff"):
        raise invalid("header", "Response-Behavior", f'"{value}" is not one of full, light, diff')
    return value
