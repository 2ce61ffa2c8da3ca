"""From a request to a stream: what it asks, and whether it may."""

from __future__ import annotations

from kintoun.features.live.events import MEDIA_TYPE, parse_place
from kintoun.features.live.feeds import changes_page
from kintoun.features.live.hub import Hub
from kintoun.features.live.rights import Rights, rights_of
from kintoun.features.live.streams import Stream
from kintoun.features.live.views import Form, Look
from kintoun.http.answers import Answer, Streamed
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX
from kintoun.model.errors import INVALID_PARAMETERS, MISSING_RESOURCE, ProtocolError, invalid
from kintoun.model.kinds import BY_PLURAL
from kintoun.model.paths import ListPath
from kintoun.model.query import Op, Query, split_query
from kintoun.resources.context import Behind, Context
from kintoun.resources.dispatch import method_not_allowed
from kintoun.resources.errors import changes_forgotten
from kintoun.resources.listing import parse_list_request
from kintoun.storage.sources import OBJECTS, Source

_ORDER = frozenset(("_limit", "_sort", "_token", "_before", "_to"))
"""What a stream decides by itself: the order is that of the changes, and there is no end."""

_HEADERS = (("Cache-Control", "no-cache, no-store"), ("X-Accel-Buffering", "no"))


class Asking:
    """Answers the requests for streams."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def one_list(self, context: Context, request: Request, path: ListPath) -> Answer:
        """The stream of one list, at the list's own URL."""
        _check_place(context, request)
        heard = self._hub.heard
        asked = parse_list_request(context, request, path)
        rights = await rights_of(self._hub.service, request, path, context)
        if isinstance(asked, ProtocolError):
            raise asked
        if asked.misuse is not None:
            raise asked.misuse
        for name, _ in split_query(request.query):
            if name in _ORDER:
                raise invalid("querystring", name, "A stream has no order and no pages of its own.")
        look = self._look(path, rights, "plain", asked.query)
        since = self._since(request, asked.query, rights)
        return self._answer(request, [(path, look, rights, since)], heard)

    async def several(self, context: Context, request: Request) -> Answer:
        """The stream of the lists that a request names."""
        _check_place(context, request)
        heard = self._hub.heard
        service = context.service
        service.cors.check(request)
        names: list[str] = []
        form: Form = "named"
        since = None
        for name, value in split_query(request.query):
            if name == "list":
                names.append(value.removeprefix(PREFIX))
            elif name == "form":
                if value not in ("objects", "timestamps"):
                    raise invalid("querystring", name, "The value should be `objects` or `timestamps`.")
                form = "timestamps" if value == "timestamps" else "named"
            elif name == "_since":
                since = value
            else:
                raise invalid("querystring", name, "A stream of several lists has no such parameter.")
        if not names or len(names) > self._hub.settings.lists:
            raise invalid("querystring", "list", f"1 to {self._hub.settings.lists} lists can be followed.")
        if len(set(names)) < len(names):
            raise invalid("querystring", "list", "A list can be followed once.")
        starts = self._starts(request, since, len(names))
        asked = []
        for n, name in enumerate(names):
            path = self._path(context, name)
            rights = await rights_of(service, request, path, context)
            look = self._look(path, rights, form, None)
            start = rights.clock.timestamp if starts is None else starts[n]
            self._check_known(path, rights, start)
            asked.append((path, look, rights, start))
        return self._answer(request, asked, heard)

    def _answer(
        self, request: Request, asked: list[tuple[ListPath, Look, Rights, int]], heard: int
    ) -> Answer:
        if request.method == "HEAD":
            return Answer(200, b"", _HEADERS, media_type=MEDIA_TYPE, exposed="list")
        stream: Stream = self._hub.join(request, asked, asked[0][2].user, heard)
        patience = self._hub.settings.stalled_seconds
        return Streamed(
            200, stream, _HEADERS, media_type=MEDIA_TYPE, endless=True, patience=patience, exposed="list"
        )

    def _look(self, path: ListPath, rights: Rights, form: Form, query: Query | None) -> Look:
        source = self._source(path)
        return Look(
            str(path),
            tuple(f for f in query.filters if f.field != "last_modified") if query is not None else (),
            query.fields if query is not None else None,
            None if rights.whole else rights.principals,
            source.seen_by,
            form,
        )

    def _since(self, request: Request, query: Query, rights: Rights) -> int:
        """Where the stream begins: what the reader saw last, else what it asks for, else now."""
        start: int | None = None
        for field, op, value in query.filters:
            if field == "last_modified":
                if op is not Op.GT or start is not None:
                    raise invalid("querystring", field, "A stream has no bound but `_since`.")
                start = value
        last = request.headers.get("last-event-id")
        if last:
            start = parse_place(last, 1, "header", "Last-Event-ID")[0]
        if start is None:
            return rights.clock.timestamp
        self._check_known(rights.clock.path, rights, start)
        return start

    def _starts(self, request: Request, since: str | None, lists: int) -> tuple[int, ...] | None:
        last = request.headers.get("last-event-id")
        if last:
            return parse_place(last, lists, "header", "Last-Event-ID")
        return parse_place(since, lists, "querystring", "_since") if since is not None else None

    def _check_known(self, path: ListPath, rights: Rights, start: int) -> None:
        """Refuse to tell the changes since a time from which on not all deletions are known any more."""
        watermark = rights.clock.watermark
        if rights.whole and 0 < start < watermark and self._source(path) is OBJECTS:
            raise changes_forgotten(watermark)

    def _path(self, context: Context, name: str) -> ListPath:
        """The list at a path. Raises ProtocolError when no list can be there."""
        found = context.service.router.find(name)
        kind = BY_PLURAL.get(name.rpartition("/")[2])
        if found is None or kind is None or found[0].name != f"{kind.name}-plural":
            raise ProtocolError(404, MISSING_RESOURCE, details={"list": name})
        if "GET" not in found[0].methods:
            raise method_not_allowed()
        return ListPath(kind, found[1])

    def _source(self, path: ListPath) -> Source:
        return changes_page(self._hub.service, path, 0).source


def _check_place(context: Context, request: Request) -> None:
    if request.in_batch or context.work is not None:
        raise ProtocolError(400, INVALID_PARAMETERS, "A stream cannot be part of a batch.")
    if context.replica is not None:
        raise Behind  # the primary is the first to know
