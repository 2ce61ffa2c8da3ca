"""`…/records/R/attachment`: the one file of a record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from kintoun.features.attachments.attaching import Attaching, Upload, attached_to
from kintoun.features.attachments.settings import Options, OptionsOf
from kintoun.features.attachments.uploads import (
    Described,
    Form,
    Rules,
    compress,
    gzipped_from,
    receive_form,
    receive_whole,
)
from kintoun.files import BackendFailed, BlobGone, Files, Spool
from kintoun.http.answers import Answer
from kintoun.http.incoming import Incoming
from kintoun.http.requests import Request
from kintoun.model.envelope import parse_envelope
from kintoun.model.errors import BACKEND, INVALID_PARAMETERS, ProtocolError, invalid
from kintoun.model.kinds import RECORD
from kintoun.model.paths import Path
from kintoun.model.query import split_query
from kintoun.resources.context import Context
from kintoun.resources.errors import ill_formed_id, unknown_object, unknown_parent
from kintoun.resources.preconditions import stamp
from kintoun.resources.presentation import caching
from kintoun.resources.writing import check_id
from kintoun.storage.rows import Wanted

log = structlog.get_logger()

AT_ONCE_BYTES = 64 * 1024
"""Up to which a body is received before anybody is asked whether it may be: it is on its way anyway."""

Receive = Callable[[Request, Incoming, Spool, Rules], Awaitable[Form]]


class AttachmentEndpoint:
    """The handlers. `rules` are what files may be, their size aside; `url_of` tells where one is read."""

    def __init__(
        self,
        files: Files,
        attaching: Attaching,
        options: OptionsOf,
        rules: Rules,
        url_of: Callable[[Request, str], str],
    ) -> None:
        self._files = files
        self._attaching = attaching
        self._options = options
        self._rules = rules
        self._url_of = url_of

    async def post(self, context: Context, request: Request) -> Answer:
        """POST: attach the file in a form."""
        depth = context.service.settings.limits.json_depth

        async def receive(request: Request, body: Incoming, spool: Spool, rules: Rules) -> Form:
            content_type = request.headers["content-type"]
            return await receive_form(body, content_type, spool, rules, max_depth=depth)

        return await self._receive(context, request, receive)

    async def put(self, context: Context, request: Request) -> Answer:
        """PUT: attach the file that the body is."""
        return await self._receive(context, request, receive_whole)

    async def _receive(self, context: Context, request: Request, receive: Receive) -> Answer:
        path = Path(RECORD, request.parameters)
        body = request.incoming
        admitted = body is None or body.length is None or body.length > AT_ONCE_BYTES
        if admitted:
            await self._attaching.admit(context, request, path)
        try:
            async with await self._files.spool() as spool, await self._files.spool() as compressed:
                try:
                    upload = await self._received(request, body, receive, path, spool, compressed)
                except ProtocolError:
                    if not admitted:
                        await self._attaching.admit(context, request, path)
                    raise
                return await self._attaching.attach(context, request, path, upload)
        except (BackendFailed, BlobGone, OSError) as error:
            log.error("a file could not be kept", error=str(error), path=request.path)
            raise _not_kept(context) from None

    async def _received(
        self,
        request: Request,
        body: Incoming | None,
        receive: Receive,
        path: Path,
        spool: Spool,
        compressed: Spool,
    ) -> Upload:
        """What was sent. Raises ProtocolError for whatever is wrong with it."""
        if body is None or (request.method == "POST" and request.media_type != "multipart/form-data"):
            raise ProtocolError(400, INVALID_PARAMETERS, "Content-Type should be multipart/form-data")
        options = self._options.of(*path.ids[:2])
        gzipped = _gzipped(request, options)
        rules = self._rules._replace(max_size_bytes=options.max_size_bytes)
        form = await receive(request, body, spool, rules)
        envelope = parse_envelope(form.fields, kind=RECORD.name, permissions_allowed=RECORD.permissions)
        check_id(path, envelope.data)
        await spool.finish()
        sent = Described(form.filename, form.mimetype, spool.sha256, spool.size)
        if not gzipped:
            return Upload(spool, sent, None, envelope)
        await compress(spool, compressed)
        return Upload(compressed, gzipped_from(sent, compressed), sent, envelope)

    async def delete(self, context: Context, request: Request) -> Answer:
        """DELETE: let the record have no file."""
        return await self._attaching.remove(context, request, Path(RECORD, request.parameters))

    async def get(self, context: Context, request: Request) -> Answer:
        """GET and HEAD: where the record's file is, for who may read the record."""
        path = Path(RECORD, request.parameters)
        found = await context.load(Wanted(points=path.lineage))
        *above, row = found.points
        own = row if row is not None and not row.deleted else None
        context.service.cors.check(request)
        if not context.service.access.may_read(RECORD, above, own, context.principals):
            raise context.refusal()
        if above[-1] is None or above[-1].deleted:
            raise unknown_parent(path.lineage[-2])
        if not RECORD.accepts(path.id):
            raise ill_formed_id()
        attachment = attached_to(own) if own is not None else None
        if own is None or attachment is None or not isinstance(attachment.get("location"), str):
            raise unknown_object(path)
        location = ("Location", self._url_of(request, attachment["location"]))
        return Answer(302, b"", (location, *stamp(own.timestamp), *caching(context, path, above[-1])))


def _not_kept(context: Context) -> ProtocolError:
    retry = str(context.service.settings.http.retry_after_seconds)
    told = "The file could not be kept, please retry later."
    return ProtocolError(503, BACKEND, told, headers=(("Retry-After", retry),))


def _gzipped(request: Request, options: Options) -> bool:
    """Whether to compress: as the last `gzipped` of the query string says, or the settings."""
    said = [value for name, value in split_query(request.query) if name == "gzipped"]
    if not said:
        return options.gzipped
    if said[-1].lower() not in ("true", "false", "1", "0"):
        raise invalid("querystring", "gzipped", f'"{said[-1]}" is not one of true, false')
    return said[-1].lower() in ("true", "1")
