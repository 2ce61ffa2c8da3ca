"""Server-Sent Events as bytes, and the ids by which a stream is resumed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kintoun.model import json
from kintoun.model.errors import ProtocolError, invalid

MEDIA_TYPE = "text/event-stream; charset=utf-8"
HEARTBEAT = b": \n\n"

_ID = re.compile(r'"?([0-9]{1,15}(?:-[0-9]{1,15})?(?:,[0-9]{1,15}(?:-[0-9]{1,15})?)*)"?', re.ASCII)


def event(data: str, name: str | None = None, place: str | None = None) -> str:
    """One event; `place` is its id."""
    head = f"event: {name}\n" if name is not None else ""
    if place is not None:
        head += f"id: {place}\n"
    if "\n" in data or "\r" in data:  # between the tokens of JSON: strings have none
        data = data.replace("\r", " ").replace("\n", " ")
    return f"{head}data: {data}\n\n"


def place_only(place: str) -> bytes:
    """What moves the id on, without an event."""
    return f"id: {place}\n\n".encode()


def retry(seconds: float) -> bytes:
    """How long the client is to wait before it connects anew."""
    return f"retry: {round(seconds * 1000)}\n".encode()


def ending(error: ProtocolError) -> bytes:
    """The last event of a stream that is not to go on."""
    return event(json.encode_text(error.body()), "end").encode()


def position(timestamp: int, until: int) -> str:
    """Where a reader is in one list: at a timestamp, or within what leads up to the timestamp `until`."""
    return f"{timestamp}-{until}" if until else str(timestamp)


def place_of(positions: Sequence[str]) -> str:
    """The id of a place in one list, which is its ETag, or in several."""
    return f'"{",".join(positions)}"'


def parse_place(value: str, lists: int, location: str, name: str) -> tuple[int, ...]:
    """The timestamps that an id names, one for each list. Raises InvalidParameters."""
    match = _ID.fullmatch(value)
    parts = match[1].split(",") if match is not None else []
    if len(parts) != lists:
        wanted = "a timestamp between double quotes" if lists == 1 else f"the id of a stream of {lists} lists"
        raise invalid(location, name, f"The value should be {wanted}.")
    return tuple(int(part.partition("-")[0]) for part in parts)
