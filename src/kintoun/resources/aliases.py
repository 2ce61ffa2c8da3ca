"""Ids that stand in URLs for a bucket of the caller's own, as `default` does (protocol section 7)."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint, Handler
from kintoun.resources.context import Context

_BUCKETS = f"{PREFIX}/buckets/"


class Alias(Protocol):
    """What stands for a bucket of each user's own."""

    def bucket(self, user: str) -> str:
        """The id of the bucket that a user means."""
        ...

    async def serve(self, handler: Handler, context: Context, request: Request) -> Answer:
        """The answer of an endpoint's handler to a request whose URL has the alias."""
        ...


def through_alias(endpoint: Endpoint, handler: Handler, context: Context, request: Request) -> Handler:
    """The handler of a request, by way of the alias that its URL may have."""
    alias = context.service.aliases.get(request.parameters[0]) if request.parameters else None
    if alias is None or not endpoint.pattern.startswith("/buckets/"):
        return handler
    return partial(alias.serve, handler)


def path_of(request: Request, bucket: str) -> str:
    """The path of a request with a bucket's id in place of the alias."""
    _, slash, below = request.path.removeprefix(_BUCKETS).partition("/")
    return f"{_BUCKETS}{bucket}{slash}{below}"


async def meant_path(context: Context, request: Request) -> str:
    """The path that a request of a batch is about to be served under, for who its credentials say it is."""
    if not request.path.startswith(_BUCKETS):
        return request.path
    alias = context.service.aliases.get(request.path.removeprefix(_BUCKETS).partition("/")[0])
    if alias is None:
        return request.path
    caller = context.child(request)
    await caller.identify()
    return request.path if caller.user is None else path_of(request, alias.bucket(caller.user))
