"""Files on their way in: checked as early as can be, and in the spool when they are whole."""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64decode
from binascii import Error as NotBase64
from io import BytesIO
from typing import Any, NamedTuple

from kintoun.features.attachments.multipart import Part, filename_in, header, parts_of
from kintoun.features.attachments.names import base_name, extension_of, media_type
from kintoun.files import Spool
from kintoun.http.incoming import Incoming
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.errors import (
    INVALID_PARAMETERS,
    INVALID_POSTED_DATA,
    REQUEST_TOO_LARGE,
    InvalidParameters,
    ProtocolError,
    invalid,
)

FILE = "attachment"
FIELDS = ("data", "permissions")
FIELD_BYTES = 1024 * 1024

COUNTED_BYTES = 8 * 1024 * 1024
"""How much of what is too large is read, to say how large it is."""

GZIP = "application/x-gzip"
GZIP_CHUNK = 256 * 1024
_GZIP_WINDOW = 31
"""zlib's code for the format of gzip, whose header then tells no time: the same file gives the same bytes."""


class Described(NamedTuple):
    """A file as a record tells of it; sizes are in bytes, the hash is the hexadecimal SHA-256."""

    filename: str
    mimetype: str
    hash: str
    size: int


class Form(NamedTuple):
    """What was sent with a file: attributes of the record and permissions on it, as JSON values."""

    filename: str
    mimetype: str
    fields: dict[str, Any]


class Rules(NamedTuple):
    """What files may be: their extensions (None: any), types by extension, and size in bytes (None: any)."""

    extensions: frozenset[str] | None
    mimetypes: dict[str, str]
    max_size_bytes: int | None

    def named(self, filename: str | None, said: str | None) -> tuple[str, str]:
        """The name and the media type of a file. Raises InvalidParameters."""
        if not filename:
            raise invalid("body", None, "Filename is required.")
        name = base_name(filename)
        if self.extensions is not None and extension_of(name).removeprefix(".") not in self.extensions:
            raise invalid("body", None, "File extension is not allowed.")
        return name, media_type(said, name, self.mimetypes)

    def check_size(self, size: int, more: str = "") -> None:
        """Refuse a file of so many bytes, or `more`, if that is too large."""
        most = self.max_size_bytes
        if most is not None and size > most:
            told = f"File size ({more}{size} bytes) exceeds the limit ({most} bytes)."
            raise invalid("body", None, told)


class _File:
    """Takes a file in, and beyond the limit counts what there would be."""

    def __init__(self, spool: Spool, rules: Rules) -> None:
        self._spool = spool
        self._rules = rules
        self._size = 0

    async def write(self, part: bytes) -> None:
        self._size += len(part)
        most = self._rules.max_size_bytes
        if most is None or self._size <= most:
            await self._spool.write(part)
        elif self._size > most + COUNTED_BYTES:
            self._rules.check_size(self._size, "at least ")

    def close(self) -> None:
        self._rules.check_size(self._size)


class _Field:
    """Takes in a field that is not a file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.content = bytearray()

    async def write(self, part: bytes) -> None:
        self.content += part
        if len(self.content) > FIELD_BYTES:
            told = f"body: {self.name} is larger than {FIELD_BYTES} bytes"
            raise ProtocolError(413, REQUEST_TOO_LARGE, told)

    def close(self) -> None:
        pass

    def value(self, max_depth: int) -> dict[str, Any]:
        if not self.content:
            raise _ill_formed(f"{self.name} is not valid JSON (it is empty)")
        try:
            value = json.decode_body(bytes(self.content), writes=True, max_depth=max_depth)
        except InvalidParameters as error:
            raise _ill_formed(f"{self.name} is not valid JSON ({error.message})") from None
        if not isinstance(value, dict):
            raise _ill_formed(f"{self.name} is not a JSON object")
        return value


class _Reading:
    """A form of which some parts have come."""

    def __init__(self, spool: Spool, rules: Rules) -> None:
        self._spool = spool
        self._rules = rules
        self.file: tuple[str, str] | None = None
        self.fields: dict[str, _Field] = {}
        self.unknown: str | None = None
        """The name of a part that has no place in such a form."""

    def begin(self, part: Part) -> _File | _Field:
        """What takes in a part that begins."""
        name = part.name or ""
        if name in self.fields or (name == FILE and self.file is not None):
            raise _ill_formed(f"{name!r} is given twice")
        encoding = header(part, "Content-Transfer-Encoding")
        if encoding is not None and encoding.lower() not in ("binary", "8bit", "7bit"):
            raise _ill_formed(f"{name!r} is sent as {encoding!r}, not as it is")
        filename = filename_in(header(part, "Content-Disposition") or "")
        if name == FILE:
            self.file = self._rules.named(filename, part.content_type)
            return _File(self._spool, self._rules)
        if name not in FIELDS:
            self.unknown = name
            return _Field(name)
        if filename is not None:
            raise _ill_formed(f"{name!r} field should be passed as form data, not files")
        field = self.fields[name] = _Field(name)
        return field


async def receive_form(
    body: Incoming, content_type: str, spool: Spool, rules: Rules, *, max_depth: int
) -> Form:
    """Read a form, its file into the spool. Raises ProtocolError for whatever is wrong with it."""
    reading = _Reading(spool, rules)
    writer: _File | _Field | None = None
    async for event in parts_of(body, content_type):
        if isinstance(event, (bytes, bytearray)):
            assert writer is not None, "what is in a part follows its head"
            await writer.write(bytes(event))
        elif event is not None:
            writer = reading.begin(event)
        elif writer is not None:
            writer.close()
    if reading.file is None:
        raise ProtocolError(400, INVALID_POSTED_DATA, "Attachment missing.")
    if reading.unknown is not None:
        raise _ill_formed(f"{reading.unknown!r} not in {FIELDS}")
    return Form(*reading.file, {name: field.value(max_depth) for name, field in reading.fields.items()})


async def receive_whole(request: Request, body: Incoming, spool: Spool, rules: Rules) -> Form:
    """Read a body that is the file itself. Raises ProtocolError for whatever is wrong with it."""
    headers = request.headers
    digest = digest_of(headers.get("content-digest"))
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise invalid("header", "Content-Encoding", "Content-Encoding: files are sent as they are")
    if body.length is None and digest is None:
        # Where neither is said, a body that broke off would look like a whole one.
        raise ProtocolError(411, INVALID_PARAMETERS, "Content-Length or Content-Digest is required.")
    filename = filename_in(headers.get("content-disposition", ""))
    name, mimetype = rules.named(filename, headers.get("content-type"))
    if body.length is not None:
        rules.check_size(body.length)
    file = _File(spool, rules)
    async for piece in body:
        await file.write(piece)
    file.close()
    await spool.finish()
    if digest is not None and digest.hex() != spool.sha256:
        raise invalid("header", "Content-Digest", "Content-Digest does not fit the body")
    return Form(name, mimetype, {})


def digest_of(value: str | None) -> bytes | None:
    """The SHA-256 in a Content-Digest (RFC 9530); other algorithms are ignored. Raises InvalidParameters."""
    for item in (value or "").split(","):
        algorithm, _, digest = item.strip().partition("=")
        if algorithm != "sha-256":
            continue
        try:
            decoded = b64decode(digest.removeprefix(":").removesuffix(":"), validate=True)
        except NotBase64:
            decoded = b""
        if len(decoded) != 32 or digest[:1] != ":" or digest[-1:] != ":":
            raise invalid("header", "Content-Digest", "Content-Digest is not sha-256=:BASE64:")
        return decoded
    return None


async def compress(original: Spool, compressed: Spool) -> None:
    """Write a file that was spooled whole into another spool, compressed."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, _GZIP_WINDOW)
    with original.path.open("rb") if original.content is None else BytesIO(original.content) as file:
        while chunk := await asyncio.to_thread(file.read, GZIP_CHUNK):
            await compressed.write(await asyncio.to_thread(compressor.compress, chunk))
    await compressed.write(compressor.flush())
    await compressed.finish()


def gzipped_from(sent: Described, compressed: Spool) -> Described:
    """What is told of a file that was compressed."""
    return Described(f"{sent.filename}.gz", GZIP, compressed.sha256, compressed.size)


def _ill_formed(what: str) -> ProtocolError:
    return ProtocolError(400, INVALID_POSTED_DATA, f"body: {what}")
