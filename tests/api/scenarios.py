"""Scenarios: one request to a small world, and everything that must come of it.

A table of them is one test, so that the world is made once for each and not the server. A scenario checks the
status, the headers, the body and the hooks' events; what it does not mention must not have happened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.inprocess import App, parsed, principal, reset

ALICE, BOB, CAROL = (principal(name) for name in ("alice", "bob", "carol"))
C = "/buckets/b/collections/c"
R = f"{C}/records"
G = "/buckets/b/groups/g"


class Like:
    """Equal to every text that matches a pattern as a whole."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self._pattern, other) is not None

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Like({self._pattern!r})"


class Some:
    """Equal to everything of a type."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __eq__(self, other: object) -> bool:
        return type(other) is self._kind

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"any {self._kind.__name__}"


T = Some(int)
"""Some timestamp."""
TAG = Like(r'"\d{13}"')
ABSENT = None
"""As a header: not there."""
UNSAID = object()


def shown(**attributes: Any) -> dict[str, Any]:
    """The answer with an object that the caller holds `write` on."""
    return {"data": {"last_modified": T, **attributes}, "permissions": {"write": [ALICE]}}


def error(
    code: int, errno: int, message: Any = UNSAID, details: Any = UNSAID, name: str = ""
) -> dict[str, Any]:
    """The body of an error; `name` is what it is called, the reason of its status by default."""
    reasons = {400: "Invalid parameters", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
               405: "Method Not Allowed", 406: "Invalid parameters", 412: "Precondition Failed",
               415: "Invalid parameters"}  # fmt: skip
    body: dict[str, Any] = {"code": code, "errno": errno, "error": name or reasons[code]}
    if message is not UNSAID:
        body["message"] = message
    if details is not UNSAID:
        body["details"] = details
    return body


def refused(location: str, name: str | None, description: str, message: str | None = None) -> dict[str, Any]:
    """The body of a 400 that names one field."""
    detail = {"location": location, "name": name, "description": description}
    return error(400, 107, Some(str) if message is None else message, [detail])


FORBIDDEN = error(403, 121, "This user cannot access this resource.")
UNAUTHORIZED = error(401, 104, "Please authenticate yourself to use this endpoint.")


def missing(kind: str, object_id: str) -> dict[str, Any]:
    return error(404, 110, details={"id": object_id, "resource_name": kind})


def no_parent(kind: str, object_id: str) -> dict[str, Any]:
    return error(404, 111, details={"id": object_id, "resource_name": kind})


@dataclass(frozen=True)
class Scenario:
    """One request to the world, and what comes of it. `given` are requests sent before, by alice."""

    send: str
    status: int
    answer: Any = UNSAID
    body: Any = None
    user: str | None = "alice"
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    given: Sequence[tuple[str, Any]] = ()
    has: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[str] = ()
    then: Sequence[tuple[str, Any]] = ()
    """Requests that alice sends afterwards, and the JSON that answers them."""

    def __str__(self) -> str:
        about = {"body": self.body, "raw": self.raw, "headers": dict(self.headers), "given": self.given}
        return " ".join(
            [f"{self.user}:", self.send, *(f"{key}={value}" for key, value in about.items() if value)]
        )


async def world(app: App) -> None:
    """Alice's bucket `b`: a collection `c` of records 1 to 3, a group `g` with bob in it. And the bait."""
    await reset(app)
    await app.bait()
    requests: list[dict[str, Any]] = [
        {"path": "/buckets/b", "body": {}},
        {"path": C, "body": {}},
        {"path": G, "body": {"data": {"members": [BOB]}}},
        *({"path": f"{R}/r{n}", "body": {"data": {"n": n, "title": "abc"[:n]}}} for n in (1, 2, 3)),
    ]
    await app.ok("POST /batch", {"defaults": {"method": "PUT"}, "requests": requests})
    app.forget()


async def run(app: App, scenarios: Sequence[Scenario]) -> None:
    """Run a table, each scenario in a world of its own, and tell all that went otherwise."""
    wrong: list[str] = []
    for scenario in scenarios:
        await world(app)
        wrong += [f"{scenario}: {problem}" for problem in await _problems(app, scenario)]
    assert not wrong, "\n".join(wrong)


async def _problems(app: App, scenario: Scenario) -> list[str]:
    for request, body in scenario.given:
        response = await app.call(request, body)
        if response.status_code >= 400:
            return [f"given {request}: {response.text}"]
    app.forget()
    response = await app.call(
        scenario.send, scenario.body, user=scenario.user, headers=scenario.headers, raw=scenario.raw
    )
    problems = []
    if response.status_code != scenario.status:
        problems.append(f"{response.status_code} instead of {scenario.status}: {response.text[:300]}")
    elif scenario.answer is not UNSAID and parsed(response) != scenario.answer:
        problems.append(f"answers {parsed(response)} instead of {scenario.answer}")
    for name, expected in scenario.has.items():
        value = response.headers.get(name)
        if value != expected:
            problems.append(f"{name}: {value!r} instead of {expected!r}")
    if app.events != list(scenario.events):
        problems.append(f"events {app.events} instead of {list(scenario.events)}")
    for request, expected in scenario.then:
        after = parsed(await app.call(request))
        if after != expected:
            problems.append(f"then {request}: {after} instead of {expected}")
    return problems
