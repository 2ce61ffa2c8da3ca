"""A scenario: a table of steps, where a step may use what an earlier one was answered.

In paths, header values and bodies `{{name.etag}}` stands for a part of the answer of the step called `name`:
`etag` (the integer), `id`, `last_modified`, `schema` (of its `data`), `next` (the target of its `Next-Page`),
`token`. `+1` or `-1` may follow: `{{name.etag+1}}`. `{{now}}` is the wall clock, in milliseconds, when the
scenario began.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.compat.wire import Answer, Request

JSON = "application/json"
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"

NOWHERE = "/v1/__lbheartbeat__"
"""Where following a `Next-Page` leads that was not there."""

_REFERENCE = re.compile(r"\{\{(\w+)(?:\.(\w+))?([+-]\d+)?\}\}")


@dataclass(frozen=True)
class Raw:
    """A body sent as it is, with its own Content-Type (None: without any)."""

    content: bytes
    type: str | None = JSON
    chunked: bool = False


@dataclass(frozen=True)
class Step:
    """One request. `path` is below `/v1`, or the whole target when it starts with `!`."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    user: str | None = "alice"
    name: str | None = None
    on: str | None = None
    """The profile of the server that gets it, when it is not the scenario's own."""


@dataclass(frozen=True)
class Scenario:
    """Steps that belong together; they start from an empty server."""

    name: str
    steps: tuple[Step, ...]
    traps: tuple[int, ...] = ()
    """Which traps of protocol section 16 it shows."""
    profile: str = "default"
    feature: str = ""


def scenario(
    name: str, *steps: Step | list[Step], traps: tuple[int, ...] = (), profile: str = "default"
) -> Scenario:
    """A scenario from steps and lists of steps."""
    flat: list[Step] = []
    for step in steps:
        flat.extend(step if isinstance(step, list) else [step])
    return Scenario(name, tuple(flat), traps, profile)


def _maker(method: str) -> Callable[..., Step]:
    def make(
        path: str,
        body: Any = None,
        *,
        h: Mapping[str, str] | None = None,
        user: str | None = "alice",
        name: str | None = None,
        on: str | None = None,
    ) -> Step:
        return Step(method, path, body, h or {}, user, name, on)

    return make


get = _maker("GET")
head = _maker("HEAD")
put = _maker("PUT")
post = _maker("POST")
patch = _maker("PATCH")
delete = _maker("DELETE")
options = _maker("OPTIONS")


def merge(path: str, body: Any, **kwargs: Any) -> Step:
    """PATCH with a JSON merge patch (RFC 7396)."""
    return patch(path, Raw(json.dumps(body).encode(), MERGE), **kwargs)


def json_patch(path: str, operations: Any, **kwargs: Any) -> Step:
    """PATCH with a JSON patch (RFC 6902)."""
    return patch(path, Raw(json.dumps(operations).encode(), PATCH), **kwargs)


def batch(*requests: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, **kwargs: Any) -> Step:
    """POST /batch."""
    body: dict[str, Any] = {"requests": list(requests)}
    if defaults is not None:
        body["defaults"] = defaults
    return post("/batch", body, **kwargs)


def query(path: str, *pairs: tuple[str, str], **parameters: str) -> str:
    """`path` with a percent-encoded query string; references stay readable."""
    items = [*pairs, *parameters.items()]
    encoded = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='{}.+-') if '{{' in value else quote(value, safe='')}"
        for name, value in items
    )
    return f"{path}?{encoded}" if items else path


def references(step: Step) -> set[str]:
    """The names of the steps that a step refers to."""
    texts = [step.path, *step.headers.values()]
    if step.body is not None and not isinstance(step.body, Raw):
        texts.append(json.dumps(step.body))
    return {match[1] for text in texts for match in _REFERENCE.finditer(text)} - {"now"}


def basic(user: str, password: str = "secret") -> str:
    """The Authorization header of a user of the basicauth policy."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Memory:
    """What the earlier steps of a running scenario were answered, for the references of the later ones."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._answers: dict[str, Answer] = {}

    def remember(self, name: str | None, answer: Answer) -> None:
        """Keep the answer of a named step."""
        if name is not None:
            self._answers[name] = answer

    def knows(self, name: str) -> bool:
        """Whether a step of that name was answered."""
        return name in self._answers

    def request(self, step: Step) -> Request:
        """The request of a step, its references resolved."""
        headers = {name: str(self._fill(value)) for name, value in step.headers.items()}
        if step.user is not None and "Authorization" not in headers:
            headers["Authorization"] = basic(step.user)
        path = str(self._fill(step.path))
        target = path[1:] if path.startswith("!") else f"/v1{path}"
        request = Request(step.method, target, headers)
        if step.body is None:
            return request
        raw = (
            step.body if isinstance(step.body, Raw) else Raw(json.dumps(self._fill_deep(step.body)).encode())
        )
        if raw.type is not None:
            headers.setdefault("Content-Type", raw.type)
        return replace(request, body=raw.content, chunked=raw.chunked)

    def _fill_deep(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._fill(value)
        if isinstance(value, dict):
            return {self._fill(key): self._fill_deep(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill_deep(item) for item in value]
        return value

    def _fill(self, text: str) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole:
            return self._look_up(whole)
        return _REFERENCE.sub(lambda match: str(self._look_up(match)), text)

    def _look_up(self, match: re.Match[str]) -> Any:
        name, part, shift = match.groups()
        value = self._now if name == "now" else _part(self._answers[name], part)
        return value + int(shift) if shift else value


def _part(answer: Answer, part: str) -> Any:
    if part == "etag":
        return answer.timestamp
    if part in ("next", "token"):
        target = urlsplit(answer.header("next-page") or f"{NOWHERE}?_token=none")
        if part == "token":
            return quote(parse_qs(target.query)["_token"][0], safe="")
        return f"!{target.path}?{target.query}"
    return answer.json["data"][part]
