"""What the named differences are recognised by: small questions about an exchange."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.compat.compare import Exchange, Mismatch
from tests.compat.wire import Answer

Recogniser = Callable[[Exchange, Mismatch], bool]


def arguments(exchange: Exchange) -> list[tuple[str, str]]:
    """The decoded query parameters of our request."""
    return parse_qsl(urlsplit(exchange.ours_request.target).query, keep_blank_values=True)


def sent(exchange: Exchange) -> str:
    """The body that was sent, as text."""
    return (exchange.ours_request.body or b"").decode("utf-8", "replace")


def media_type(exchange: Exchange) -> str:
    """The Content-Type that was sent, with its parameters."""
    return exchange.ours_request.headers.get("Content-Type", "")


def records(answer: Answer) -> list[Any]:
    """The `data` of a list answer; empty when there is none."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    return data if isinstance(data, list) else []


def data(answer: Answer) -> dict[str, Any]:
    """The `data` of an object answer; empty when there is none."""
    found = answer.json.get("data") if isinstance(answer.json, dict) else None
    return found if isinstance(found, dict) else {}


def message(answer: Answer) -> str:
    """The message of an error; empty when there is none."""
    return str(answer.json.get("message", "")) if isinstance(answer.json, dict) else ""


def ids(answer: Answer) -> list[str]:
    """The ids of a list answer, in order."""
    return [str(item.get("id")) for item in records(answer)]


def items(answer: Answer) -> list[Any]:
    """The responses of a batch; empty when there are none."""
    return answer.json.get("responses", []) if isinstance(answer.json, dict) else []


def refused(when: Callable[[Exchange], bool], *statuses: int) -> Recogniser:
    """Kinto answers one of `statuses` (500 or 503 if none is given), we answer 400 errno 107 with details."""
    theirs = statuses or (500, 503)

    def applies(exchange: Exchange, _: Mismatch) -> bool:
        body = exchange.ours.json
        invalid = exchange.ours.status == 400 and exchange.ours.errno == 107 and bool(body.get("details"))
        return exchange.kinto.status in theirs and invalid and when(exchange)

    return applies


def both_say(kinto: str, ours: str) -> Recogniser:
    """The wording of the same error differs: both descriptions match their pattern, nothing else differs."""

    def applies(_: Exchange, mismatch: Mismatch) -> bool:
        if not mismatch.where.endswith((".message", ".description")):
            return False
        texts = (mismatch.kinto, mismatch.ours)
        return all(
            isinstance(text, str) and re.search(pattern, text) is not None
            for text, pattern in zip(texts, (kinto, ours), strict=True)
        )

    return applies


def in_scenario(name: str) -> Callable[[Exchange], bool]:
    """Whether the exchange belongs to the scenario made to show the difference."""
    return lambda exchange: exchange.scenario.name == name


def value(mismatch: Mismatch, *suffixes: str) -> bool:
    """Whether the disagreement is about one of these places."""
    return mismatch.where.removesuffix(" (timestamp)").endswith(suffixes)


def header_names(values: list[str] | None) -> set[str]:
    """The names that a header such as `Access-Control-Expose-Headers` lists."""
    return {name.strip() for name in ",".join(values or ()).split(",") if name}
