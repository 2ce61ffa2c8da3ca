"""What the file of a record is: attached, replaced, removed, in the record's own transaction."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from kintoun.features.attachments.names import locations
from kintoun.features.attachments.settings import AttachmentsSettings, OptionsOf
from kintoun.features.attachments.uploads import FILE, Described
from kintoun.files import Blob, Files, Spool
from kintoun.http.answers import Answer, json_answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX
from kintoun.model import json
from kintoun.model.envelope import Envelope
from kintoun.model.kinds import RECORD
from kintoun.model.patch import PlainPatch
from kintoun.model.paths import Path
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import collect, ill_formed_id, unknown_object
from kintoun.resources.ground import Ground, found
from kintoun.resources.patch import amend
from kintoun.resources.preconditions import NO_DEMANDS, Preconditions, parse_preconditions, stamp
from kintoun.resources.presentation import caching
from kintoun.resources.writing import (
    Row,
    create,
    needs_in,
    require_write,
    rows_of,
)
from kintoun.storage.rows import Stored, Wanted


class Upload(NamedTuple):
    """A file that was received whole, and what a record will tell of it.

    `original` is the file that was sent, where it was compressed before it was kept. `patch` are the
    attributes and permissions that were sent along.
    """

    spool: Spool
    described: Described
    original: Described | None
    patch: Envelope


class Attaching:
    """Attaches files to records, and removes them."""

    def __init__(self, files: Files, settings: AttachmentsSettings, options: OptionsOf) -> None:
        self._files = files
        self._settings = settings
        self._options = options
        prefix = settings.location_prefix
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""

    async def admit(self, context: Context, request: Request, path: Path) -> None:
        """Refuse who may not attach a file, before one is received; what was true then is checked again."""
        known = await context.load(Wanted(points=path.lineage, clock=path.list))
        *above, row = known.points
        own = row if row is not None and not row.deleted else None
        ground = found(context, path.list, above)
        self._check(context, request, path, ground, own, known.clock.timestamp if known.clock else 0)

    def _check(
        self, context: Context, request: Request, path: Path, ground: Ground, own: Row, timestamp: int
    ) -> None:
        """The checks of a write to a record that may not be there, in a list that has the timestamp."""
        principals = context.principals
        if not (ground.may_create if own is None else ground.grants_write(own, principals)):
            raise context.refusal()
        ground.check_parent()
        preconditions = self._demands(context, request)
        if not RECORD.accepts(path.id):
            raise ill_formed_id()
        if own is None:
            preconditions.refuse_missing(timestamp)
        else:
            may_read = context.service.access.may_read(RECORD, ground.above, own, principals)
            preconditions.refuse_existing(own, visible=may_read)

    def _demands(self, context: Context, request: Request) -> Preconditions:
        demands, _ = collect(
            lambda: parse_preconditions(request), lambda: context.service.cors.check(request)
        )
        return NO_DEMANDS if self._settings.ignore_preconditions else demands

    async def attach(self, context: Context, request: Request, path: Path, upload: Upload) -> Answer:
        """Keep the file, and let the record name it. Raises what `Files.keep_for` raises."""

        async def act(blob: Blob, work: Work) -> Answer:
            ground, own = await rows_of(work, path)
            timestamp = 0 if own is not None else await _list_timestamp(work, path)
            self._check(context, request, path, ground, own, timestamp)
            attachment = await self._placed(work, path, upload, blob)
            data = {**(upload.patch.data or {}), FILE: attachment}
            if own is None:
                created = upload.patch._replace(data={**data, "id": path.id})
                row = await create(work, ground, path, created)
            else:
                patch = PlainPatch(upload.patch._replace(data=data))
                row, _ = await amend(work, ground, path, own, patch)
            headers = (*stamp(row.timestamp), ("Location", f"{request.base}{PREFIX}{path}"))
            if own is None:
                return json_answer(attachment, 201, headers)
            return json_answer(attachment, headers=(*headers, *caching(context, path, ground.above[-1])))

        async def write(blob: Blob) -> Answer:
            return await context.write(needs_in(context, path), partial(act, blob))

        return await self._files.keep_for(upload.spool, write)

    async def _placed(self, work: Work, path: Path, upload: Upload, blob: Blob) -> dict[str, Any]:
        """What the record tells of the file, under a location that is its own from now on."""
        bucket, collection, record = path.ids
        options = self._options.of(bucket, collection)
        described = upload.described
        for location in locations(
            self._settings.folder,
            described.filename,
            randomize=options.randomize,
            pattern=options.filename_pattern,
            ids=(bucket, collection, record),
        ):
            if await self._files.place(
                work.unit.transaction,
                location,
                blob,
                filename=described.filename,
                mimetype=described.mimetype,
                record=(bucket, collection, record),
                keep=options.keep_old_files,
            ):
                break
        attachment: dict[str, Any] = described._asdict()
        attachment["location"] = self._prefix + location
        if upload.original is not None:
            attachment["original"] = upload.original._asdict()
        return attachment

    async def remove(self, context: Context, request: Request, path: Path) -> Answer:
        """Let the record name no file."""

        async def act(work: Work) -> Answer:
            ground, own = await rows_of(work, path)
            require_write(context, ground, own)
            preconditions = self._demands(context, request)
            if not RECORD.accepts(path.id):
                raise ill_formed_id()
            if own is None:
                raise unknown_object(path)
            preconditions.refuse_existing(own)
            row = await _without(work, ground, path, own)
            headers = (*stamp(row.timestamp), *caching(context, path, ground.above[-1]))
            return Answer(204, headers=headers)

        return await context.write(needs_in(context, path), act)


async def _list_timestamp(work: Work, path: Path) -> int:
    clock = await work.unit.clock(path.list)
    return clock.timestamp if clock is not None else 0


async def _without(work: Work, ground: Ground, path: Path, own: Stored) -> Stored:
    """The record without its file; one that has none is not written."""
    if attached_to(own) is None:
        return own
    row, _ = await amend(work, ground, path, own, PlainPatch(Envelope({FILE: None}, None)))
    return row


def attached_to(row: Stored) -> dict[str, Any] | None:
    """What a record tells of its file; None when it has none."""
    if f'"{FILE}"' not in row.body:
        return None
    attachment = json.decode(row.body.encode()).get(FILE)
    return attachment if isinstance(attachment, dict) and attachment else None
