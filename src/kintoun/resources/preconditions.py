"""Conditional requests (protocol section 4.8): entity tags are timestamps, compared by equality."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from kintoun.http.answers import Headers
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.errors import MODIFIED_MEANWHILE, Detail, InvalidParameters, ProtocolError
from kintoun.model.timestamps import http_date
from kintoun.storage.rows import Stored

ANY = -1
"""The condition `*`: that the object exists, or for If-None-Match that it does not."""

_TAG = re.compile(r'"([0-9]+)"', re.ASCII)

_DIGITS = 18
"""No timestamp has more digits: a longer tag is well-formed, and equal to none."""

_NEVER = 10**_DIGITS


class Preconditions(NamedTuple):
    """What a request demands of the present state: timestamps, ANY, or None for no demand."""

    match: int | None
    none_match: int | None

    def refuse_existing(self, row: Stored, *, visible: bool = True) -> None:
        """Raise the 412 of a write to an object that is there, when a demand is not met."""
        if self.none_match == ANY or (self.match not in (None, ANY) and self.match != row.timestamp):
            raise modified(row.timestamp, row if visible else None)

    def refuse_missing(self, list_timestamp: int) -> None:
        """Raise the 412 of a creation, when it demanded that something be there."""
        if self.match is not None:
            raise modified(list_timestamp, None)

    def refuse_list(self, timestamp: int) -> None:
        """Raise the 412 of a request on a list, when a demand is not met."""
        if self.none_match == ANY or (self.match not in (None, ANY) and self.match != timestamp):
            raise modified(timestamp, None)


def parse_preconditions(request: Request) -> Preconditions:
    """The demands of a request's headers. Raises InvalidParameters for what is no entity tag."""
    headers = request.headers
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return NO_DEMANDS
    wrong: list[Detail] = []
    parsed = Preconditions(_tag("If-Match", match, wrong), _tag("If-None-Match", none_match, wrong))
    if wrong:
        raise InvalidParameters(*wrong)
    return parsed


NO_DEMANDS = Preconditions(None, None)


def _tag(name: str, value: str | None, wrong: list[Detail]) -> int | None:
    if not value or value == '"0"':
        return None
    if value == "*":
        return ANY
    match = _TAG.fullmatch(value)
    if match is None:
        wrong.append(Detail("header", name, "The value should be integer between double quotes."))
        return None
    return int(match[1]) if len(match[1]) <= _DIGITS else _NEVER


@lru_cache(maxsize=8192)
def stamp(timestamp: int) -> Headers:
    """The headers that tell a timestamp."""
    return (("ETag", f'"{timestamp}"'), ("Last-Modified", http_date(timestamp)))


def modified(timestamp: int, existing: Stored | None) -> ProtocolError:
    """The 412 answer; `existing` is the object that the caller did not expect, if it may be shown."""
    details = {"existing": json.decode(existing.body.encode())} if existing is not None else None
    return ProtocolError(
        412, MODIFIED_MEANWHILE, "Resource was modified meanwhile", details=details, headers=stamp(timestamp)
    )
