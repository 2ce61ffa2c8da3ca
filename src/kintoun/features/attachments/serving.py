"""GET /attachments/{location}: the files, with everything that HTTP has to spare bytes.

What a location stands for is looked up in the database; no part of a URL ever becomes a path. Files are sent
in a way in which a browser cannot take them for pages or scripts of this server.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, Any

import structlog
from msgspec import Meta, field

from kintoun.features.attachments.compressing import Compressor
from kintoun.features.attachments.conditions import judge, same_as_before
from kintoun.features.attachments.dictionaries import Dictionaries
from kintoun.features.attachments.privacy import Private, url_path
from kintoun.features.attachments.representations import (
    Representation,
    chosen,
    disposition,
    media_type,
    never_changes,
)
from kintoun.files import BackendFailed, Files, FileSettings, Location
from kintoun.http.answers import Answer, FilePart, Headers, Streamed, json_answer
from kintoun.http.ranges import Range, Unsatisfiable, parse_ranges
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model.errors import BACKEND, INVALID_PARAMETERS, MODIFIED_MEANWHILE, ProtocolError
from kintoun.model.timestamps import http_date
from kintoun.plugin import Registry
from kintoun.resources.context import Context
from kintoun.resources.dispatch import unknown_url
from kintoun.settings import Count

log = structlog.get_logger()

POLICY = "sandbox; default-src 'none'"
FOR_EVER = "public, max-age=31536000, immutable"
FOR_A_WHILE = "public, max-age=60"
ASK_AGAIN = "private, no-cache"

BaseUrl = Callable[[Request], str]
Place = Annotated[str, Meta(pattern=r"^[^/\s]+(/[^/\s]+)?$")]


class ServingSettings(FileSettings, frozen=True):
    """How files are read."""

    private: Annotated[
        list[Place],
        Meta(
            description="Buckets, and collections as `BUCKET/COLLECTION`, whose files only those may read "
            "who may read a record that names them."
        ),
    ] = field(default_factory=list)
    url_secret: Annotated[
        str,
        Meta(description="Secret of the signed URLs of private files; default: `protocol.userid_secret`."),
    ] = ""
    signed_url_seconds: Annotated[
        Count, Meta(description="How long a signed URL may be asked to hold, at most.")
    ] = 86_400
    compressed_bytes: Annotated[
        Count,
        Meta(description="Size of the largest file that is kept compressed as well, in bytes; 0: none is."),
    ] = 64 * 1024 * 1024
    dictionary_bytes: Annotated[
        Count,
        Meta(
            description="Size of the largest file that is a dictionary for its next version, in the "
            "collections with the flag `compression-dictionaries`; 0: none is."
        ),
    ] = 32 * 1024 * 1024


def serve_files(registry: Registry, settings: ServingSettings, files: Files, base: BaseUrl) -> Private:
    """Serve the files of a server; `base` tells where they are read, as a URL with a slash at its end.

    Returns what knows which of them are private. Raises ValueError for settings that do not fit.
    """
    secret = settings.url_secret or registry.settings.protocol.userid_secret
    private = Private(files, settings.private, secret, settings.signed_url_seconds)
    dictionaries = Dictionaries(files, settings.dictionary_bytes)
    Compressor(files, settings.compressed_bytes, dictionaries).join(registry)
    endpoint = _Serving(files, base, private, dictionaries, registry.settings.http.retry_after_seconds)
    registry.endpoint(
        Endpoint(
            "attachment-file",
            "/attachments/{location:tail}",
            {"GET": endpoint.get, "HEAD": endpoint.get},
            operations={"GET": OPERATION, "HEAD": OPERATION},
        )
    )
    return private


OPERATION: dict[str, Any] = {
    "summary": "A file that is attached to a record",
    "responses": {
        "200": {"description": "It."},
        "206": {"description": "The parts of it that `Range` asks for."},
        "304": {"description": "It is still what the client has."},
        "404": {"description": "There is none."},
        "412": {"description": "It is not what `If-Match` demands."},
        "416": {"description": "It has none of the bytes that `Range` asks for."},
    },
}


def unreadable(retry_after: int) -> ProtocolError:
    """The answer when the back end does not give the bytes of a file."""
    message = "The file cannot be read at present, please retry later."
    return ProtocolError(503, BACKEND, message, headers=(("Retry-After", str(retry_after)),))


async def _resumed(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """A stream whose first part was read already."""
    try:
        yield first
        async for part in rest:
            yield part
    finally:
        await rest.aclose()


class _Serving:
    """What answers requests for files."""

    def __init__(
        self, files: Files, base: BaseUrl, private: Private, dictionaries: Dictionaries, retry: int
    ) -> None:
        self._files = files
        self._base = base
        self._retry_after = retry
        self._private = private
        self._dictionaries = dictionaries

    async def get(self, context: Context, request: Request) -> Answer:
        if request.in_batch:
            raise ProtocolError(400, INVALID_PARAMETERS, "Files cannot be read in a batch.")
        location = await self._files.find(request.parameters[0])
        if location is None:
            raise unknown_url()
        caching = FOR_EVER if never_changes(location) else FOR_A_WHILE
        if self._private.holds(location):
            left = await self._private.check(context, location, request.query)
            caching = ASK_AGAIN if left is None else f"private, max-age={left}"
            seconds = self._private.asked_for(request)
            if seconds is not None and left is None:
                return self._signed(request, location, seconds)
        return await self._send(context, request, location, caching)

    def _signed(self, request: Request, location: Location, seconds: int) -> Answer:
        """A URL with which anybody may read a private file for a while."""
        url = f"{self._base(request)}{url_path(location.location)}"
        signed = f"{url}?{self._private.signed(location, seconds)}"
        return json_answer({"url": signed, "seconds": seconds}, headers=(("Cache-Control", "no-store"),))

    async def _send(self, context: Context, request: Request, location: Location, caching: str) -> Answer:
        form = chosen(location, request.headers)
        modified = location.created // 1000
        vary = ["Accept-Encoding"]
        headers: Headers = (
            ("ETag", form.tag),
            ("Last-Modified", http_date(location.created)),
            ("Cache-Control", caching),
            ("Accept-Ranges", "bytes"),
            ("Content-Disposition", disposition(location)),
            ("Cross-Origin-Resource-Policy", "cross-origin"),
        )
        if await self._dictionaries.used_for(location):
            vary.append("Available-Dictionary")
            headers += self._dictionaries.offer(location, self._base(request))
        headers += (("Vary", ", ".join(vary)),)
        if form.coding is not None:
            headers += (("Content-Encoding", form.coding),)
        origin = request.headers.get("origin")
        if origin is None or not context.service.cors.allows(origin):
            headers += (("Access-Control-Allow-Origin", "*"),)  # the wire says it to the others
        match judge(request.headers, form.tag, modified):
            case "not modified":
                return Answer(304, b"", headers, exposed="file", policy=POLICY)
            case "precondition failed":
                message = "The file is not the one that was asked for."
                raise ProtocolError(412, MODIFIED_MEANWHILE, message)
        return await self._body(request, location, form, headers, modified)

    async def _body(
        self, request: Request, location: Location, form: Representation, headers: Headers, modified: int
    ) -> Answer:
        try:
            ranges = self._ranges(request, form, modified)
        except Unsatisfiable:
            size = (("Content-Range", f"bytes */{form.size}"),)
            raise ProtocolError(
                416, INVALID_PARAMETERS, "The file has none of the bytes that were asked for.", headers=size
            ) from None
        if ranges is not None and len(ranges) > 1:
            return self._several(location, form, ranges, headers)
        part = ranges[0] if ranges else Range(0, form.size)
        if ranges:
            headers += (("Content-Range", part.content_range(form.size)),)
        if part.start == part.stop:
            return Answer(200, b"", headers, media_type=media_type(location), exposed="file", policy=POLICY)
        stream, file = await self._opened(request, form.key, part)
        return Streamed(
            206 if ranges else 200,
            stream,
            headers,
            media_type=media_type(location),
            length=part.stop - part.start,
            file=file,
            exposed="file",
            policy=POLICY,
        )

    async def _opened(
        self, request: Request, key: str, part: Range
    ) -> tuple[AsyncGenerator[bytes], FilePart | None]:
        """The bytes of a part, of which the first are here already, or the file that they stand in."""
        stream = self._files.read_key(key, part.start, part.stop)
        if request.method == "HEAD":
            return stream, None
        try:
            path = self._files.path(key)
            if path is not None and path.is_file():
                return stream, FilePart(str(path), part.start, part.stop)
            return _resumed(await anext(stream), stream), None
        except KeyError:
            log.error("the bytes of a file are gone", key=key)
        except BackendFailed as error:
            log.error("the bytes of a file cannot be read", key=key, error=str(error))
        raise unreadable(self._retry_after)

    @staticmethod
    def _ranges(request: Request, form: Representation, modified: int) -> Sequence[Range] | None:
        wanted = request.headers.get("range")
        if wanted is None or request.method != "GET":
            return None
        before = request.headers.get("if-range")
        if before is not None and not same_as_before(before, form.tag, modified):
            return None
        return parse_ranges(wanted, form.size)

    def _several(
        self, location: Location, form: Representation, ranges: Sequence[Range], headers: Headers
    ) -> Answer:
        """Several parts in one answer (RFC 9110, section 14.6)."""
        boundary = secrets.token_hex(16)
        kind = media_type(location)
        heads = [
            f"--{boundary}\r\nContent-Type: {kind}\r\n"
            f"Content-Range: {part.content_range(form.size)}\r\n\r\n".encode()
            for part in ranges
        ]
        end = f"--{boundary}--\r\n".encode()

        async def parts() -> AsyncGenerator[bytes]:
            for head, part in zip(heads, ranges, strict=True):
                yield head
                async for chunk in self._files.read_key(form.key, part.start, part.stop):
                    yield chunk
                yield b"\r\n"
            yield end

        length = sum(len(head) + part.stop - part.start + 2 for head, part in zip(heads, ranges, strict=True))
        return Streamed(
            206,
            parts(),
            headers,
            media_type=f"multipart/byteranges; boundary={boundary}",
            length=length + len(end),
            exposed="file",
            policy=POLICY,
        )
