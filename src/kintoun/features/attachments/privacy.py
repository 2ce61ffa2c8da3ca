"""Files that only those may read who may read a record that names them."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

from kintoun.files import Files, Location
from kintoun.http.requests import Request
from kintoun.model.errors import invalid
from kintoun.model.kinds import RECORD
from kintoun.model.parameters import split_query
from kintoun.model.paths import ListPath, Path
from kintoun.resources.context import Context, Work
from kintoun.storage.rows import Wanted

MOST_RECORDS = 20
"""Records that name a file, of which one has to be readable."""

_NAMING = (
    "SELECT k.path, r.id FROM reference r JOIN clock k ON k.list = r.list WHERE r.location = $1"
    " ORDER BY k.path, r.id LIMIT $2"
)
_UPLOADED_TO = "SELECT bucket, collection, record FROM location WHERE location = $1"
_SECONDS = re.compile(r"[0-9]{1,9}")

Fetch = Callable[[str, Sequence[Any]], Awaitable[list[Any]]]


class Private:
    """Knows which files are private, and who may read them.

    `places` are buckets, as `bucket`, and collections, as `bucket/collection`. `secret` makes the signatures
    of URLs; raises ValueError when there is none, and files that need them.
    """

    def __init__(self, files: Files, places: Sequence[str], secret: str, longest: int) -> None:
        if places and not secret:
            raise ValueError("attachments.private needs attachments.url_secret, or protocol.userid_secret")
        self._files = files
        self._places = frozenset(places)
        self._key = hashlib.sha256(b"attachments " + secret.encode()).digest()
        self._longest = longest

    def holds(self, location: Location) -> bool:
        """Whether a file is private."""
        return self._holds(location.bucket, location.collection)

    def _holds(self, bucket: str, collection: str) -> bool:
        return bool(self._places) and not self._places.isdisjoint((bucket, f"{bucket}/{collection}"))

    async def check(self, context: Context, location: Location, query: bytes) -> int | None:
        """Refuse who may not read a private file; the seconds for which a signed URL still holds.

        None for a caller who may read a record that names it. Raises the refusal that the record would give.
        """
        left = self._left(location, query)
        if left > 0:
            return left
        if not await _readable(context, location.location, self._files.store.fetch):
            raise context.refusal()
        return None

    async def admit(self, work: Work, path: Path, location: str) -> None:
        """Refuse to let a record name a private file, for who may read none that does.

        Else whoever knows its location could make a record to read it by. A record may get back its own.
        """
        if not self._places:
            return
        fetch = work.unit.transaction.fetch
        for place in await fetch(_UPLOADED_TO, (location,)):
            if tuple(place) == path.ids or not self._holds(*place[:2]):
                continue
            if not await _readable(work.context, location, fetch):
                raise work.context.refusal()

    def signed(self, location: Location, seconds: int) -> str:
        """The query string with which anybody may read a private file for so many seconds."""
        expires = int(time.time()) + seconds
        return f"expires={expires}&signature={self._signature(location.location, expires)}"

    def asked_for(self, request: Request) -> int | None:
        """For how many seconds a signed URL is asked for with `_sign`; None when none is.

        Raises InvalidParameters for what is no number, or too large a one.
        """
        given = [value for name, value in split_query(request.query) if name == "_sign"]
        if not given:
            return None
        if _SECONDS.fullmatch(given[0]) is None or not 0 < int(given[0]) <= self._longest:
            raise invalid("querystring", "_sign", f"_sign is a number of seconds, at most {self._longest}")
        return int(given[0])

    def _signature(self, location: str, expires: int) -> str:
        return hmac.new(self._key, f"{expires} {location}".encode(), hashlib.sha256).hexdigest()

    def _left(self, location: Location, query: bytes) -> int:
        """The seconds for which a query string still opens a file; 0 when it does not."""
        given = dict(split_query(query))
        expires = given.get("expires", "")
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            return 0
        signature = self._signature(location.location, int(expires))
        if not hmac.compare_digest(signature, given.get("signature", "").encode().decode("ascii", "ignore")):
            return 0
        return max(int(expires) - int(time.time()), 0)


async def _readable(context: Context, location: str, fetch: Fetch) -> bool:
    """Whether the caller may read a record that names a location."""
    for path, record in await fetch(_NAMING, (location, MOST_RECORDS)):
        found = await context.load(Wanted(points=ListPath.parse(path).object(record).lineage))
        *above, own = found.points
        if context.service.access.may_read(RECORD, above, own, context.principals):
            return True
    return False


def url_path(location: str) -> str:
    """A location as the rest of a URL."""
    return quote(location, safe="/:@!$&'()*+,;=~")
