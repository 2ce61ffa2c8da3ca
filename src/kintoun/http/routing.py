"""From a URL to what serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kintoun.http.answers import Answer
from kintoun.http.requests import Request

PREFIX = "/v1"

Handler = Callable[[Any, Request], Awaitable[Answer]]
"""A handler takes the caller's context (see `resources.context`) and the request."""


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """Everything that one URL pattern serves.

    `name` is what settings, metrics and the API's description call it, as `record-plural` or `hello`;
    `resource` is whether it serves objects, and so only JSON. `operations` is what the API's description says
    of each method, as operation objects of OpenAPI; what every endpoint has in common need not be said.
    With `streams` its handlers get the bodies of requests as they arrive, as `Request.incoming`, however
    large they are; the last segment of its pattern must be a literal.
    """

    name: str
    pattern: str
    methods: Mapping[str, Handler]
    resource: bool = False
    operations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    streams: bool = False

    @property
    def allow(self) -> str:
        """The `Allow` header: the methods that this URL knows."""
        return ", ".join((*self.methods, "OPTIONS"))


MOST, LONGEST = 1024, 200
"""Paths that are remembered, and characters that one of them may have."""


class _Node:
    __slots__ = ("endpoint", "literal", "tail", "variable")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.tail: Endpoint | None = None
        self.endpoint: Endpoint | None = None


class Router:
    """A tree of path segments.

    A literal segment is preferred to a `{variable}` where both lead somewhere; `{name:tail}` takes all that
    remains.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._found: dict[str, tuple[Endpoint, tuple[str, ...]]] = {}
        """Of late: most clients ask for few things, again and again."""
        self._streaming: tuple[str, ...] = ()
        self.endpoints: list[Endpoint] = []

    def add(self, endpoint: Endpoint) -> None:
        """Serve `endpoint.pattern`, as `/buckets/{bucket_id}`, below the version prefix."""
        self.endpoints.append(endpoint)
        self._found.clear()
        if endpoint.streams:
            self._streaming = (*self._streaming, endpoint.pattern[endpoint.pattern.rindex("/") :])
        node = self._root
        for segment in endpoint.pattern.split("/")[1:]:
            if segment.endswith(":tail}"):
                node.tail = endpoint
                return
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literal.setdefault(segment, _Node())
        if node.endpoint is not None:
            raise ValueError(f"two endpoints at {endpoint.pattern}")
        node.endpoint = endpoint

    def streams(self, path: str) -> bool:
        """Whether what serves a path (with its prefix) takes bodies as they arrive."""
        if not path.endswith(self._streaming):
            return False
        found = self.find(path[len(PREFIX) :])
        return found is not None and found[0].streams

    def find(self, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
        """What serves a path (without its prefix), and the values of the pattern's variables."""
        known = self._found.get(path)
        if known is None:
            known = self._look(path)
            if known is not None and len(path) <= LONGEST:
                if len(self._found) >= MOST:
                    self._found.clear()
                self._found[path] = known
        return known

    def _look(self, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
        segments = path.split("/")[1:]
        node: _Node | None = self._root
        values: list[str] = []
        forks: list[tuple[int, _Node, list[str]]] = []
        tail: tuple[Endpoint, tuple[str, ...]] | None = None
        n = 0
        while True:
            while node is not None and n < len(segments):
                segment = segments[n]
                if node.tail is not None:
                    tail = node.tail, (*values, "/".join(segments[n:]))
                n += 1
                following = node.literal.get(segment)
                if following is None:
                    following = node.variable if segment else None
                    values.append(segment)
                elif node.variable is not None:
                    forks.append((n, node.variable, [*values, segment]))
                node = following
            if node is not None and node.endpoint is not None:
                return node.endpoint, tuple(values)
            if not forks:
                return tail
            n, node, values = forks.pop()

    def below(self, path: str) -> Endpoint | None:
        """What serves every path of one more segment; None when it depends on what that is."""
        node: _Node | None = self._root
        for segment in path.split("/")[1:]:
            node = node and (node.literal.get(segment) or (node.variable if segment else None))
        if node is None or node.literal or node.variable is None:
            return None
        return node.variable.endpoint
