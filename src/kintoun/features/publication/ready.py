"""Answers as they were given to the same question a moment ago, while nothing has moved."""

from __future__ import annotations

import time
from typing import NamedTuple

from kintoun.features.publication.marks import Marks, Seen
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.resources.context import Context

MOST = 2048
"""Questions that are remembered."""

SECONDS = 1.0
"""For how long: some headers name the time."""

Question = tuple[str, bytes, str | None]
"""The path and the query string of a request, and the encodings that its client takes."""


class _Kept(NamedTuple):
    answer: Answer
    places: tuple[int, ...]
    seen: Seen
    until: float


class Ready:
    """The answers to questions that are asked by many: those that are the same for everybody."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._kept: dict[Question, _Kept] = {}

    def find(self, context: Context, request: Request) -> Answer | None:
        """The answer to a request, when it is ready."""
        headers = request.headers
        kept = self._kept.get((request.path, request.query, headers.get("accept-encoding")))
        if (
            kept is None
            or kept.seen != self._marks.at(kept.places)
            or kept.until < time.monotonic()
            or not _common(context, request)
        ):
            return None
        return kept.answer

    def keep(
        self, context: Context, request: Request, answer: Answer, places: tuple[int, ...], seen: Seen
    ) -> None:
        """Remember an answer that holds as long as the marks at `places` are what was seen there."""
        if answer.status == 200 and _common(context, request):
            if len(self._kept) >= MOST:
                self._kept.clear()
            question = (request.path, request.query, request.headers.get("accept-encoding"))
            self._kept[question] = _Kept(answer, places, seen, time.monotonic() + SECONDS)

    def forget(self) -> None:
        """Let go of all answers, and of their bodies."""
        self._kept.clear()


def _common(context: Context, request: Request) -> bool:
    """Whether a request is one of many that have the same answer."""
    headers = request.headers
    known = context.claim is not None or context.work is not None or request.in_batch
    return not (known or "if-none-match" in headers or "origin" in headers)
