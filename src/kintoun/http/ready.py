"""Answers that are ready before they are asked for.

What is published is asked for by many, again and again, and is the same for all who ask in the same way. Such
an answer is found by the URL and the few headers that it depends on, before a request is made of what came in
and anybody has looked at it: see the adapters' `at_once`. Whoever keeps one says when it does not hold any
more, so it is never older than one that is made anew.

Answers may be found in any thread. What is done about them, counting them and telling observers, is done in
the event loop, a moment later and for many at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kintoun.http.answers import Answer
from kintoun.http.negotiation import matches
from kintoun.http.requests import Request
from kintoun.http.wire import Wire, complete

MOST = 2048
"""Answers that are kept."""

SECONDS = 1.0
"""For how long: some headers name the time."""

TELL_SECONDS = 0.05
"""After how long it is told, at the latest, that one was sent."""

MOST_UNTOLD = 10_000
"""Answers of which nobody was told yet. When an event loop is so busy, requests wait for it."""

DECISIVE = frozenset(("authorization", "content-length", "transfer-encoding"))
"""The headers whose senders are not like all others: they are known, or have more to say."""


Tell = Callable[[Request, Answer, Sequence[float]], None]
"""Called with a request, the answer that others who asked the same were sent too, and the seconds that each
of them took.
"""

Question = tuple[str, str | None, bool]
"""A query string, the encodings that a client takes, and whether it is a page of some origin."""


class Reply(NamedTuple):
    """An answer with all its headers, and the request that it was made for. `sent` is called with the number
    of times that it was sent, in the event loop.
    """

    answer: Answer
    headers: list[tuple[str, str]]
    request: Request
    sent: Callable[[float], None]


class _Kept(NamedTuple):
    tag: str
    whole: Reply | None
    unchanged: Reply
    holds: Callable[[], bool]
    until: float


class Ready:
    """The answers of one process. `paths` has those of the URLs of which there are any."""

    def __init__(self, wire: Wire, longest: int, tell: Tell) -> None:
        """`longest` is the size of the longest header that is read; what was sent at the edge is told."""
        self.paths: dict[str, dict[Question, _Kept]] = {}
        self._decisive = DECISIVE if wire.cors.any else DECISIVE | {"origin"}
        self._wire = wire
        self._longest = longest
        self._tell = tell
        self._count = 0
        self._untold: deque[tuple[Reply, float]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timed = False

    def keep(
        self,
        request: Request,
        whole: Answer | None,
        unchanged: Answer,
        tag: str,
        holds: Callable[[], bool],
        sent: Callable[[float], None],
    ) -> None:
        """Remember what is answered to a request as long as `holds` says so, which any thread may ask.

        `unchanged` is for those who have what bears the `tag`. Both are the same for everybody but for the
        encodings that a client takes. Nothing is kept of requests that are not like those of others.
        """
        if request.method != "GET" or request.in_batch or not self._decisive.isdisjoint(request.headers):
            return
        if self._count >= MOST:
            self.forget()
        kept = self.paths.setdefault(request.path, {})
        headers = request.headers
        question = request.query.decode("latin-1"), headers.get("accept-encoding"), "origin" in headers
        self._count += question not in kept
        kept[question] = _Kept(
            tag,
            None if whole is None else Reply(whole, complete(self._wire, request, whole), request, sent),
            Reply(unchanged, complete(self._wire, request, unchanged), request, sent),
            holds,
            time.perf_counter() + SECONDS,
        )

    def forget(self) -> None:
        """Let go of all answers, and of their bodies."""
        self.paths = {}
        self._count = 0

    def find(self, path: str, query: str, headers: Sequence[tuple[str, str]]) -> Reply | None:
        """What is ready for a request to read: `path` is decoded, the names of `headers` in lower case."""
        given = dict(headers)
        if len(given) != len(headers) or not self._decisive.isdisjoint(given):
            return None
        if sum(map(len, given.values())) > self._longest or len(self._untold) > MOST_UNTOLD:
            return None
        host = given.get("host", "")
        if not (host.isascii() and host.isprintable()):
            return None
        kept = self.paths.get(path, _NONE).get((query, given.get("accept-encoding"), "origin" in given))
        if kept is None or kept.until < time.perf_counter() or not kept.holds():
            return None
        known = given.get("if-none-match")
        return kept.unchanged if known is not None and matches(known, kept.tag) else kept.whole

    # At the edge

    def open(self) -> None:
        """Called in the event loop before the first request."""
        self._loop = asyncio.get_running_loop()

    def note(self, reply: Reply, seconds: float) -> None:
        """Remember to tell that an answer was sent at the edge; from any thread."""
        self._untold.append((reply, seconds))
        if not self._timed and self._loop is not None:
            self._timed = True
            self._loop.call_soon_threadsafe(self._loop.call_later, TELL_SECONDS, self.tell)

    def tell(self) -> None:
        """Tell of what was sent."""
        self._timed = False
        told: dict[int, tuple[Reply, list[float]]] = {}
        while self._untold:
            reply, seconds = self._untold.popleft()
            told.setdefault(id(reply), (reply, []))[1].append(seconds)
        for reply, times in told.values():
            reply.sent(len(times))
            self._tell(reply.request, reply.answer, times)


_NONE: dict[Question, _Kept] = {}
