"""Those who are told of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from kintoun.http.answers import Answer
from kintoun.http.requests import Request

log = structlog.get_logger()

Observer = Callable[[Request, Answer, str | None, float], None]
"""Called after each answer with the caller's id and the seconds that it took; a batch is one request."""


ReadyObserver = Callable[[Request, Answer, Sequence[float]], None]
"""Called with an answer that was ready, the request that it was made for, and the seconds that it took each
time that it was sent; none of those who asked was known.
"""


def tell(
    observers: Sequence[Observer], request: Request, answer: Answer, user: str | None, seconds: float
) -> None:
    """Tell observers of an answer, which leaves whatever they do."""
    for hook in observers:
        try:
            hook(request, answer, user, seconds)
        except Exception:
            _log(hook)


def tell_of_ready(
    observers: Sequence[ReadyObserver], request: Request, answer: Answer, seconds: Sequence[float]
) -> None:
    """Tell observers of an answer that was ready."""
    for hook in observers:
        try:
            hook(request, answer, seconds)
        except Exception:
            _log(hook)


def _log(hook: Callable[..., None]) -> None:
    log.exception("an observer failed", hook=getattr(hook, "__qualname__", repr(hook)))
