"""The endpoints of a kind of objects: its lists and its objects, the same for every kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint, Handler
from kintoun.model.kinds import Kind
from kintoun.resources.clearing import delete_list
from kintoun.resources.context import Context
from kintoun.resources.delete import delete_object
from kintoun.resources.listing import get_list
from kintoun.resources.patch import patch_object
from kintoun.resources.post import post_object
from kintoun.resources.put import put_object
from kintoun.resources.reading import get_object

ByKind = Callable[[Kind, Context, Request], Awaitable[Answer]]

# The order is that of the `Allow` header (protocol section 1.3).
LIST: dict[str, ByKind] = {"HEAD": get_list, "GET": get_list, "POST": post_object, "DELETE": delete_list}
OBJECT: dict[str, ByKind] = {
    "GET": get_object,
    "HEAD": get_object,
    "PUT": put_object,
    "PATCH": patch_object,
    "DELETE": delete_object,
}


def endpoints_of(kind: Kind, disabled: Collection[str]) -> tuple[Endpoint, Endpoint]:
    """The endpoints of a kind's lists and objects, without the methods that a deployment switched off."""
    above = "".join(f"/{step.plural}/{{{step.name}_id}}" for step in kind.lineage[:-1])
    plural = f"{above}/{kind.plural}"
    return (
        _endpoint(f"{kind.name}-plural", plural, "plural", kind, LIST, disabled),
        _endpoint(f"{kind.name}-object", f"{plural}/{{id}}", "object", kind, OBJECT, disabled),
    )


def _endpoint(
    name: str, pattern: str, form: str, kind: Kind, handlers: dict[str, ByKind], disabled: Collection[str]
) -> Endpoint:
    methods: dict[str, Handler] = {
        method: partial(handler, kind)
        for method, handler in handlers.items()
        if f"{form}_{kind.name}_{method.lower()}" not in disabled
    }
    return Endpoint(name, pattern, methods, resource=True)
