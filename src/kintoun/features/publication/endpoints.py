"""What clients of published data ask for: the changesets and the list of all changes (signing section 10)."""

from __future__ import annotations

from collections.abc import Callable

from kintoun.features.publication.changesets import Changesets, Forgotten, Wish
from kintoun.features.publication.encodings import Body, Encodings
from kintoun.features.publication.lifetimes import Lifetimes, kept_for
from kintoun.features.publication.marks import Marks
from kintoun.features.publication.monitor import BUCKET_ID, COLLECTION_ID, PLACE, Entry, Monitor, Snapshot
from kintoun.features.publication.query import Asked, changed_query, parse_changeset_query, since_of
from kintoun.features.publication.settings import PublicationSettings
from kintoun.features.publication.shelf import Shelf
from kintoun.http.answers import Answer, Headers
from kintoun.http.negotiation import matches
from kintoun.http.ready import Ready
from kintoun.http.requests import Request
from kintoun.measures import Counter
from kintoun.model import json
from kintoun.model.query import DAY_MS, split_query
from kintoun.model.timestamps import now
from kintoun.resources.context import Context
from kintoun.resources.dispatch import redirect

MONITOR = (BUCKET_ID, COLLECTION_ID)

UNSAID = -1
"""No caching header: the lifetime that `redirect` takes for none."""

WITHOUT_NEWS_SECONDS = 86_400
"""For how long it stays true that nothing is news to who knows more than it expects."""


class Sender:
    """How bodies become answers."""

    def __init__(self, encodings: Encodings, lifetimes: Lifetimes, ready: Ready, sent: Counter) -> None:
        self.lifetimes = lifetimes
        self._encodings = encodings
        self._ready = ready
        self._kept, self._made, self._at_once = sent.of("kept"), sent.of("made"), sent.of("ready")

    def ready(self, request: Request) -> Answer | None:
        """What was answered to the same question a moment ago, if it still holds."""
        if request.in_batch:
            return None
        headers = tuple(request.headers.items())
        reply = self._ready.find(request.path, request.query.decode("latin-1"), headers)
        if reply is None:
            return None
        reply.sent(1)
        return reply.answer

    async def send(
        self,
        request: Request,
        body: Body,
        caching: Headers,
        *,
        kept: bool,
        holds: Callable[[], bool] | None = None,
    ) -> Answer:
        """The answer with a body, encoded as the client likes it best. When everybody is answered so as long
        as it `holds`, it is ready for the next.
        """
        (self._kept if kept else self._made).add()
        if request.in_batch:
            return Answer(200, body.plain, (*body.headers, *caching), exposed="object")
        headers = request.headers
        unchanged = Answer(304, b"", (*body.headers, *caching), exposed="object")
        known = "if-none-match" in headers and matches(headers["if-none-match"], body.tag)
        encoding = self._encodings.of(headers.get("accept-encoding"), body)
        encoded: tuple[bytes, Headers] | None = body.plain, body.headers
        if encoding is not None:
            encoded = body.encoded.get(encoding)
            if encoded is None and not known:
                encoded = await self._encodings.encode(body, encoding)
        whole = None
        if encoded is not None:
            whole = Answer(200, encoded[0], (*encoded[1], *caching), exposed="object")
        if holds is not None:
            self._ready.keep(request, whole, unchanged, body.tag, holds, self._at_once.add)
        return unchanged if known or whole is None else whole


class Redirects:
    """Where clients are sent whose question has a better form: always within what is served here."""

    def __init__(self, settings: PublicationSettings, scheme: str | None) -> None:
        self._scheme = scheme
        self._host = settings.http_host
        self._days = settings.since_max_age_days
        self._seconds = max(settings.since_max_age_redirect_ttl_seconds, UNSAID)

    def without_since(self, request: Request) -> Answer:
        """To the whole: what the client has is too old to be told the difference."""
        return self._to(request, changed_query(request, "_since", None), self._seconds)

    def unquoted(self, request: Request, asked: Asked) -> Answer:
        """To the same without quotation marks, so that caches have one answer for both."""
        expected = asked.expected.strip('"')
        return self._to(request, changed_query(request, "_expected", expected), UNSAID)

    def is_old(self, since: int | None) -> bool:
        """Whether a client knows only what is older than the settings allow."""
        return since is not None and self._days >= 0 and since < now() - self._days * DAY_MS

    def _to(self, request: Request, query: bytes, seconds: int) -> Answer:
        moved = request.at(request.path, request.parameters)
        moved.query = query
        if self._host is not None and not request.in_batch:
            scheme = self._scheme or request.base.partition("://")[0]
            moved.base = f"{scheme}://{self._host}"
        return redirect(moved, moved.raw_path, seconds)


class ChangesetEndpoint:
    """`GET /buckets/{bucket}/collections/{collection}/changeset`."""

    def __init__(
        self,
        changesets: Changesets,
        monitor: MonitorEndpoint,
        marks: Marks,
        sender: Sender,
        redirects: Redirects,
    ) -> None:
        self._changesets = changesets
        self._monitor = monitor
        self._marks = marks
        self._sender = sender
        self._redirects = redirects

    async def get(self, context: Context, request: Request) -> Answer:
        """The changeset of a collection, or of all collections that are followed."""
        ready = self._sender.ready(request)
        if ready is not None:
            return ready
        context.service.cors.check(request)
        asked = parse_changeset_query(request.query)
        place = request.parameters
        if place == MONITOR:
            return await self._monitor.changeset(request, asked)
        bucket, collection = place
        wish = Wish((bucket, collection), asked.since, asked.limit)
        anybody = context.claim is None and context.work is None
        kept = self._changesets.ready(wish) if anybody else None
        try:
            body = kept[0] if kept is not None else await self._changesets.read(context, wish)
        except Forgotten:
            return self._redirects.without_since(request)
        caching = self._sender.lifetimes.headers(bucket, collection, asked.life)
        holds = None if kept is None else self._marks.watch(kept[1].places, kept[1].seen)
        return await self._sender.send(request, body, caching, kept=kept is not None, holds=holds)


class MonitorEndpoint:
    """`GET /buckets/monitor/collections/changes/changeset`: what anybody may follow."""

    def __init__(
        self,
        monitor: Monitor,
        shelf: Shelf[tuple[object, ...]],
        marks: Marks,
        sender: Sender,
        redirects: Redirects,
    ) -> None:
        self._monitor = monitor
        self._shelf = shelf
        self._marks = marks
        self._sender = sender
        self._redirects = redirects

    async def changeset(self, request: Request, asked: Asked) -> Answer:
        """The collections that changed since the client has asked."""
        if asked.quoted:
            return self._redirects.unquoted(request, asked)
        snapshot = self._monitor.ready() or await self._monitor.snapshot()
        caching = self._sender.lifetimes.headers(*MONITOR, asked.life)
        since = asked.since
        if asked.behind and since is not None and since <= snapshot.timestamp:
            # The announcement is older than what the client has: whatever is cached for it brings nothing.
            body = _changeset([], since, snapshot)
            return await self._sender.send(request, body, kept_for(WITHOUT_NEWS_SECONDS), kept=True)
        if self._redirects.is_old(since):
            return self._redirects.without_since(request)
        key = ("monitor", since, asked.limit, asked.bucket, asked.collection)
        kept = self._shelf.get(key, snapshot)
        if kept is None:
            body = _changeset(_chosen(snapshot.entries, asked), snapshot.timestamp, snapshot)
            self._shelf.put(key, body)
            return await self._sender.send(request, body, caching, kept=False)
        holds = self._marks.watch((PLACE,), snapshot.seen)
        return await self._sender.send(request, kept, caching, kept=True, holds=holds)


def _chosen(entries: list[Entry], asked: Asked) -> list[Entry]:
    since, limit, bucket, collection = asked.since, asked.limit, asked.bucket, asked.collection
    chosen = [
        entry
        for entry in entries
        if (since is None or entry["last_modified"] > since)
        and (bucket is None or entry["bucket"] == bucket)
        and (collection is None or entry["collection"] == collection)
    ]
    return chosen if limit is None else chosen[:limit]


def _changeset(entries: list[Entry], timestamp: int, snapshot: Snapshot) -> Body:
    told = {"metadata": {"bucket": BUCKET_ID}, "timestamp": timestamp, "changes": entries}
    return Body(json.encode(told), timestamp, snapshot)


def since_too_old(request: Request, redirects: Redirects) -> Answer | None:
    """The redirect of a request on the list of changes; what is wrong with its `_since` is told by others."""
    given = [value for name, value in split_query(request.query) if name == "_since"]
    if len(given) == 1 and redirects.is_old(since_of(given[0], [])):
        return redirects.without_since(request)
    return None
