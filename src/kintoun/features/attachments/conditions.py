"""What a request demands of a file before it is sent (RFC 9110, section 13)."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

from kintoun.http.negotiation import matches

Verdict = Literal["send", "not modified", "precondition failed"]


def judge(headers: Mapping[str, str], tag: str, modified: int) -> Verdict:
    """What becomes of a request for the representation `tag`, last modified at `modified` (seconds).

    The order is that of section 13.2.2. A date that cannot be read demands nothing.
    """
    if (match := headers.get("if-match")) is not None:
        if not _names(match, tag):
            return "precondition failed"
    elif (since := _seconds(headers.get("if-unmodified-since"))) is not None and modified > since:
        return "precondition failed"
    if (none_match := headers.get("if-none-match")) is not None:
        return "not modified" if matches(none_match, tag) else "send"
    since = _seconds(headers.get("if-modified-since"))
    return "not modified" if since is not None and modified <= since else "send"


def same_as_before(if_range: str, tag: str, modified: int) -> bool:
    """Whether the part that a client has is of this representation (`If-Range`, section 13.1.5)."""
    if if_range.startswith(('"', "W/")):
        return if_range == tag
    return _seconds(if_range) == modified


def _names(match: str, tag: str) -> bool:
    return match.strip() == "*" or tag in [each.strip() for each in match.split(",")]


def _seconds(date: str | None) -> int | None:
    if date is None:
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
