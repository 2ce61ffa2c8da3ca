"""For how long others may keep what was published (signing section 10.5).

An answer always says so: a browser that is told nothing takes a guess from `Last-Modified`, and asks again
after days (firefox section 6).
"""

from __future__ import annotations

from collections.abc import Mapping

from kintoun.features.publication.query import Life
from kintoun.http.answers import Headers
from kintoun.model.timestamps import http_date, now
from kintoun.resources.presentation import EXPIRED

ASK_AGAIN: Headers = (("Cache-Control", "no-cache"),)
"""It may be kept, and is asked for again each time; whoever has it is told so in a few bytes."""


class Lifetimes:
    """The seconds that the settings give, by collection."""

    def __init__(self, settings: Mapping[str, int]) -> None:
        self._settings = settings

    def headers(self, bucket: str, collection: str, life: Life) -> Headers:
        """The headers of an answer for that life."""
        seconds = self.seconds(bucket, collection, life) if self._settings else None
        return ASK_AGAIN if seconds is None else kept_for(seconds)

    def seconds(self, bucket: str, collection: str, life: Life) -> int | None:
        """For how long an answer may be kept; None when nobody said."""
        prefix = f"{bucket}.{collection}.record"
        for key in (f"{prefix}_{life}", prefix, f"{bucket}.record", "record"):
            if key in self._settings:
                return self._settings[key]
        return None


def kept_for(seconds: int) -> Headers:
    """The headers of an answer that may be kept for some seconds."""
    expires = ("Expires", http_date(now() + seconds * 1000))
    return (*EXPIRED, expires) if seconds == 0 else (("Cache-Control", f"max-age={seconds}"), expires)
