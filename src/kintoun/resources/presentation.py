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


def visible_grants(context: Context, kind: Kind, row: Stored) -> str:
    """The ACL's text as the caller sees it: only its own writers see it (protocol section 3.1)."""
    if context.service.rules_of(kind).open_grants or holds(row.grants, WRITE_ONLY, context.principals):
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
    if not seconds:
        return NOT_CACHED
    return (("Cache-Control", f"max-age={seconds}"), ("Expires", http_date(now() + seconds * 1000)))


def _lifetime(context: Context, place: Path | ListPath, collection: Stored | None) -> int:
    settings = context.service.settings.cache_expires
    kind = place.kind
    if kind is not RECORD:
        return settings.get(kind.name, 0)
    ids = place.ids if isinstance(place, Path) else place.parents
    bucket, name = ids[0], ids[1]
    seconds = 0
    if settings:
        keys = (f"{bucket}.{name}.record", f"{bucket}.record", "record")
        seconds = next((settings[key] for key in keys if key in settings), 0)
    if collection is not None and '"cache_expires"' in collection.body:
        own = json.decode(collection.body.encode()).get("cache_expires")
        seconds = max(seconds, own or 0)
    return seconds
