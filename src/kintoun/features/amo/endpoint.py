"""The URL of a blocklist."""

from __future__ import annotations

import asyncio
import re
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from kintoun.features.amo.source import Source
from kintoun.http.answers import Answer, Headers
from kintoun.http.negotiation import matches
from kintoun.http.requests import Request
from kintoun.model.timestamps import http_date
from kintoun.resources.cache import Pages
from kintoun.resources.context import Context
from kintoun.resources.dispatch import unknown_url

MEDIA_TYPE = "application/xml;charset=UTF-8"
_NUMBER = re.compile(r"[0-9]{1,9}")


class Document(NamedTuple):
    """A finished document, and the tag of the edition that it is of."""

    tag: str
    body: bytes


class BlocklistEndpoint:
    """Answers with the documents of a source, of which some bytes are kept."""

    def __init__(self, source: Source, memory: int, max_age: int) -> None:
        self._source = source
        self._documents: Pages[Document] = Pages(memory)
        self._caching: Headers = (("Cache-Control", f"public, max-age={max_age}"),) if max_age else ()

    async def get(self, _context: Context, request: Request) -> Answer:
        """GET and HEAD. What follows the version in the URL is the application's own, and ignored."""
        api, app, version = request.parameters[:3]
        if _NUMBER.fullmatch(api) is None:
            raise unknown_url()
        edition = await self._source.edition()
        tag = f'"{edition.changed}-{edition.tag}"'
        headers: Headers = (
            ("ETag", tag),
            ("Last-Modified", http_date(edition.changed)),
            *self._caching,
        )
        if _unchanged(request, tag, edition.changed):
            return Answer(304, b"", headers, exposed="object")
        reader = edition.blocklist.reader(int(api), app, version)
        key = (f"{reader.api} {reader.version} {reader.certificates}", reader.app.encode(), "")
        document = self._documents.get(key)
        if document is None or document.tag != edition.tag:
            document = Document(edition.tag, await asyncio.to_thread(edition.blocklist.xml, reader))
            self._documents.put(key, document)
        return Answer(200, document.body, headers, media_type=MEDIA_TYPE, exposed="object")


def _unchanged(request: Request, tag: str, changed: int) -> bool:
    """Whether the client has this document; a header that cannot be read demands nothing."""
    named = request.headers.get("if-none-match")
    if named is not None:
        return matches(named, tag)
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return int(parsedate_to_datetime(since).timestamp()) == changed // 1000
    except (ValueError, TypeError, OverflowError):
        return False
