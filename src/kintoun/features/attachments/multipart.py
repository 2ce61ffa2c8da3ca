"""Forms with a file in them, read as they arrive (RFC 7578)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from email.message import Message
from typing import TypeAlias, cast

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_content_disposition,
    parse_options_header,
)

from kintoun.model.errors import REQUEST_TOO_LARGE, ProtocolError, invalid

Part: TypeAlias = MultipartSegment
Event: TypeAlias = Part | bytes | None
"""The head of a part, then what is in it, then None at its end."""

MOST_PARTS = 8
MOST_HEADERS = 8
MOST_HEADER_BYTES = 4096
BETWEEN_BYTES = 64 * 1024
"""What may stand before, between and after the parts, their heads included."""

LONGEST_BOUNDARY = 70


async def parts_of(body: AsyncIterable[bytes], content_type: str) -> AsyncGenerator[Event]:
    """The parts of a form, as events. Raises ProtocolError for what is no form, and for too much of it."""
    parser = PushMultipartParser(
        _boundary(content_type),
        max_header_size=MOST_HEADER_BYTES,
        max_header_count=MOST_HEADERS,
        max_segment_count=MOST_PARTS,
    )
    between = 0
    try:
        async for piece in body:
            between += len(piece)
            for event in parser.parse(piece):
                if isinstance(event, (bytes, bytearray)):
                    between -= len(event)
                yield event
            if between > BETWEEN_BYTES:
                raise _too_much(f"more than {BETWEEN_BYTES} bytes beside its parts")
        parser.close()
    except ParserLimitReached as error:
        raise _too_much(str(error)) from None
    except (MultipartError, UnicodeDecodeError) as error:
        raise invalid("body", None, f"The form cannot be read: {error}.") from None


def _boundary(content_type: str) -> str:
    boundary: str = parse_options_header(content_type)[1].get("boundary", "")
    if (
        not boundary
        or len(boundary) > LONGEST_BOUNDARY
        or not (boundary.isascii() and boundary.isprintable())
    ):
        raise invalid("header", "Content-Type", "Content-Type has no boundary that a form can have")
    return boundary


def _too_much(what: str) -> ProtocolError:
    return ProtocolError(413, REQUEST_TOO_LARGE, f"The form is too large: {what}.")


def filename_in(disposition: str) -> str | None:
    """The `filename` of a Content-Disposition, or its `filename*`; None when there is neither."""
    if "filename*" not in disposition:
        return cast("str | None", parse_content_disposition(disposition)[2])
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename()


def header(part: Part, name: str) -> str | None:
    """A header of a part, by its name in title case."""
    headers: list[tuple[str, str]] = part.headerlist
    return next((value for each, value in headers if each == name), None)
