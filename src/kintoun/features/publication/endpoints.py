"""What clients of published data ask for: the changesets and the list of all changes (signing section 10)."""

from __future__ import annotations

from kintoun.features.publication.changesets import Changesets, Forgotten, Wish
from kintoun.features.publication.encodings import Body, Encodings
from kintoun.features.publication.lifetimes import Lifetimes, kept_for
from kintoun.features.publication.monitor import BUCKET_ID, COLLECTION_ID, PLACE, Entry, Monitor, Snapshot
from kintoun.features.publication.query import Asked, changed_query, parse_changeset_query, since_of
from kintoun.features.publication.ready import Ready
from kintoun.features.publication.settings import PublicationSettings
from kintoun.features.publication.shelf import Shelf
from kintoun.http.answers import Answer, Headers
from kintoun.http.negotiation import matches
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

    def __init__(self, encodings: Encodings, lifetimes: Lifetimes, sent: Counter) -> None:
        self.lifetimes = lifetimes
        self._encodings = encodings
        self._kept, self._made = sent.of("kept"), sent.of("made")

    def count(self) -> None:
        """Count an answer that was sent as it had been kept."""
        self._kept.add()

    async def send(self, request: Request, body: Body, caching: Headers, *, kept: bool) -> Answer:
        """The answer with a body, encoded as the client likes it best."""
        (self._kept if kept else self._made).add()
        headers = request.headers
        if request.in_batch:
            return Answer(200, body.plain, (*body.headers, *caching), exposed="object")
        if "if-none-match" in headers and matches(headers["if-none-match"], body.tag):
            return Answer(304, b"", (*body.headers, *caching), exposed="object")
        encoding = self._encodings.of(headers.get("accept-encoding"), body)
        if encoding is None:
            return Answer(200, body.plain, (*body.headers, *caching), exposed="object")
        encoded = body.encoded.get(encoding) or await self._encodings.encode(body, encoding)
        return Answer(200, encoded[0], (*encoded[1], *caching), exposed="object")


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
        ready: Ready,
        sender: Sender,
        redirects: Redirects,
    ) -> None:
        self._changesets = changesets
        self._monitor = monitor
        self._ready = ready
        self._sender = sender
        self._redirects = redirects

    async def get(self, context: Context, request: Request) -> Answer:
        """The changeset of a collection, or of all collections that are followed."""
        ready = self._ready.find(context, request)
        if ready is not None:
            self._sender.count()
            return ready
        context.service.cors.check(request)
        asked = parse_changeset_query(request.query)
        place = request.parameters
        if place == MONITOR:
            return await self._monitor.changeset(context, request, asked)
        bucket, collection = place
        wish = Wish((bucket, collection), asked.since, asked.limit)
        anybody = context.claim is None and context.work is None
        kept = self._changesets.ready(wish) if anybody else None
        try:
            body = kept[0] if kept is not None else await self._changesets.read(context, wish)
        except Forgotten:
            return self._redirects.without_since(request)
        caching = self._sender.lifetimes.headers(bucket, collection, asked.life)
        answer = await self._sender.send(request, body, caching, kept=kept is not None)
        if kept is not None:
            self._ready.keep(context, request, answer, kept[1].places, kept[1].seen)
        return answer


class MonitorEndpoint:
    """`GET /buckets/monitor/collections/changes/changeset`: what anybody may follow."""

    def __init__(
        self,
        monitor: Monitor,
        shelf: Shelf[tuple[object, ...]],
        ready: Ready,
        sender: Sender,
        redirects: Redirects,
    ) -> None:
        self._monitor = monitor
        self._shelf = shelf
        self._ready = ready
        self._sender = sender
        self._redirects = redirects

    async def changeset(self, context: Context, request: Request, asked: Asked) -> Answer:
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
        seen = snapshot.seen
        answer = await self._sender.send(request, kept, caching, kept=True)
        self._ready.keep(context, request, answer, (PLACE,), seen)
        return answer


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
