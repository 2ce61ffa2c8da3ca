"""How objects leave the server: envelopes made of finished JSON, timestamps and cache headers."""

from __future__ import annotations

from kintoun.http.answers import Answer, Headers
from kintoun.model import json
from kintoun.model.kinds import RECORD, Kind
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import NO_GRANTS, WRITE_ONLY, holds
from kintoun.model.timestamps import http_date, now
from kintoun.resources.context import Context
from kintoun.resources.preconditions import stamp
from kintoun.storage.rows import Stored

NOT_CACHED: Headers = (("Cache-Control", "no-cache, no-store"),)
EXPIRED: Headers = (
    ("Cache-Control", "max-age=0, must-revalidate, no-cache, no-store"),
    ("Pragma", "no-cache"),
)


def visible_grants(context: Context, kind: Kind, row: Stored) -> str:
    """The ACL's text as the caller sees it: only its own writers see it (protocol section 3.1)."""
    if context.service.rules[kind].open_grants or holds(row.grants, WRITE_ONLY, context.principals):
        return row.grants
    return NO_GRANTS


def object_answer(
    context: Context,
    kind: Kind,
    row: Stored,
    status: int = 200,
    headers: Headers = (),
    *,
    exposed: str = "plain",
) -> Answer:
    """The full answer with one object."""
    envelope = f'{{"data":{row.body},"permissions":{visible_grants(context, kind, row)}}}'
    return Answer(status, envelope.encode(), (*stamp(row.timestamp), *headers), exposed=exposed)


def caching(context: Context, place: Path | ListPath, collection: Stored | None) -> Headers:
    """The cache headers of a read (protocol section 1.7): only anonymous answers may be kept."""
    if not context.anonymous:
        return NOT_CACHED
    seconds = _lifetime(context, place, collection)
    if seconds is None:
        return NOT_CACHED
    expires = ("Expires", http_date(now() + seconds * 1000))
    if seconds == 0:
        return (*EXPIRED, expires)
    return (("Cache-Control", f"max-age={seconds}"), expires)


def _lifetime(context: Context, place: Path | ListPath, collection: Stored | None) -> int | None:
    """For how many seconds an answer may be kept; for records 0 is an answer too, None is none."""
    settings = context.service.settings.cache_expires
    kind = place.kind
    if kind is not RECORD:
        return settings.get(kind.name) or None
    ids = place.ids if isinstance(place, Path) else place.parents
    bucket, name = ids[0], ids[1]
    seconds = None
    if settings:
        keys = (f"{bucket}.{name}.record", f"{bucket}.record", "record")
        seconds = next((settings[key] for key in keys if key in settings), None)
    if collection is not None and '"cache_expires"' in collection.body:
        own = json.decode(collection.body.encode()).get("cache_expires")
        if own is not None:
            seconds = max(seconds or 0, own)
    return seconds
