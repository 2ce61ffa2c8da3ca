"""Those who are told of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from kintoun.http.answers import Answer
from kintoun.http.requests import Request

log = structlog.get_logger()

Observer = Callable[[Request, Answer, str | None, float], None]
"""Called after each answer with the caller's id and the seconds that it took; a batch is one request."""


def tell(
    observers: Sequence[Observer], request: Request, answer: Answer, user: str | None, seconds: float
) -> None:
    """Tell observers of an answer, which leaves whatever they do."""
    for hook in observers:
        try:
            hook(request, answer, user, seconds)
        except Exception:
            log.exception("an observer failed", hook=getattr(hook, "__qualname__", repr(hook)))
