"""From a request to its answer: version and slash redirects, the route, the method, the handler."""

from __future__ import annotations

import re

from kintoun.http.answers import JSON, Answer, Headers, error_answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint, Handler
from kintoun.model import json
from kintoun.model.errors import (
    FORBIDDEN,
    INVALID_PARAMETERS,
    METHOD_NOT_ALLOWED,
    MISSING_RESOURCE,
    VERSION_NOT_AVAILABLE,
    ProtocolError,
)
from kintoun.model.timestamps import http_date, now
from kintoun.resources.aliases import through_alias
from kintoun.resources.context import Context
from kintoun.resources.replicated import ask_replica

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))

_VERSIONED = re.compile(r"/v([0-9]+)")
_CONTROL = frozenset(map(chr, (*range(32), 127)))


async def dispatch(context: Context, request: Request) -> Answer:
    """The answer to a request. Raises ProtocolError for what is not a success."""
    path = request.path
    if "\0" in path or (not path.isascii() and "\ufffd" in path):
        # The replacement character stands for bytes that are no UTF-8.
        raise ProtocolError(400, INVALID_PARAMETERS, "Invalid URL path.")
    if context.service.settings.protocol.readonly and request.method not in SAFE:
        raise method_not_allowed()
    if not path.startswith("/v1/"):
        redirected = _elsewhere(context, request)
        if redirected is not None:
            return redirected
    found = context.service.router.find(path[len(PREFIX) :])
    if found is None:
        return _unrouted(context, request)
    endpoint, request.parameters = found
    request.endpoint = endpoint
    method = request.method
    if method == "OPTIONS":
        return context.service.cors.preflight(request, endpoint)
    handler = _handler(context, request, endpoint)
    if not endpoint.resource or method not in SAFE:
        return await handler(context, request)
    return await _read(context, request, endpoint, handler)


async def _read(context: Context, request: Request, endpoint: Endpoint, handler: Handler) -> Answer:
    try:
        if context.service.store.replicas is not None:
            answer = await ask_replica(context, request, endpoint, handler)
            if answer is not None:
                return answer
        return await handler(context, request)
    except ProtocolError as error:
        if error.status >= 500:
            raise
        return error_answer(error, exposed=_exposed(endpoint, request.method))


def _handler(context: Context, request: Request, endpoint: Endpoint) -> Handler:
    """What serves the request's method, when its credentials may be used for it."""
    scope = context.claim.scope if context.claim is not None else None
    # Here, where every request comes by: those of batches, and those that were redirected in one.
    if scope is not None and not scope.covers(request.method, request.path[len(PREFIX) :]):
        raise ProtocolError(403, FORBIDDEN, "These credentials may not be used for this request.")
    handler = endpoint.methods.get(request.method)
    if handler is None:
        raise method_not_allowed(("Allow", endpoint.allow))
    return through_alias(endpoint, handler, context, request) if context.service.aliases else handler


def _exposed(endpoint: Endpoint, method: str) -> str:
    """What scripts may read of the answers to a read, errors included (protocol section 1.3)."""
    if not endpoint.name.endswith("-plural"):
        return "object"
    return "totals" if method == "HEAD" else "list"


def method_not_allowed(*headers: tuple[str, str]) -> ProtocolError:
    return ProtocolError(405, METHOD_NOT_ALLOWED, "Method not allowed on this endpoint.", headers=headers)


def _elsewhere(context: Context, request: Request) -> Answer | None:
    """What becomes of a URL that is not below this version's prefix (protocol section 1.2)."""
    http = context.service.settings.http
    path = request.path
    version = _VERSIONED.match(path)
    if version is None:
        if not http.version_redirect:
            raise _no_such_version()
        if request.method == "OPTIONS":
            return Answer(200, b"null")
        if not _CONTROL.isdisjoint(path):
            raise unknown_url()  # nothing can be there, and no header need carry it
        return redirect(request, PREFIX + request.raw_path, http.version_redirect_ttl_seconds)
    if not path.startswith(PREFIX):
        raise _no_such_version()
    if path == PREFIX:
        if not http.trailing_slash_redirect:
            raise unknown_url()
        return redirect(request, PREFIX + "/", http.trailing_slash_redirect_ttl_seconds)
    if path.endswith("/") and http.trailing_slash_redirect:
        return redirect(request, request.raw_path.rstrip("/"), http.trailing_slash_redirect_ttl_seconds)
    raise unknown_url()


def _unrouted(context: Context, request: Request) -> Answer:
    http = context.service.settings.http
    if request.path.endswith("/") and http.trailing_slash_redirect:
        return redirect(request, request.raw_path.rstrip("/"), http.trailing_slash_redirect_ttl_seconds)
    raise unknown_url()


def unknown_url() -> ProtocolError:
    return ProtocolError(404, MISSING_RESOURCE, "The resource you are looking for could not be found.")


def _no_such_version() -> ProtocolError:
    return ProtocolError(
        404,
        VERSION_NOT_AVAILABLE,
        "The requested API version is not available on this server.",
    )


def redirect(request: Request, raw_path: str, lifetime: int) -> Answer:
    """307 to another path of this server, to be remembered for `lifetime` seconds (-1: unsaid)."""
    query = f"?{request.query.decode('latin-1')}" if request.query else ""
    location = f"{request.base}{raw_path}{query}"
    headers: Headers = (("Location", location),)
    if lifetime >= 0:
        expires = http_date(now() + lifetime * 1000)
        headers = (*headers, ("Cache-Control", f"max-age={lifetime}"), ("Expires", expires))
    body, media_type = _moved(request, raw_path + query)
    return Answer(307, body, headers, media_type=media_type)


def _moved(request: Request, location: str) -> tuple[bytes, str]:
    title = "Temporary Redirect"
    message = f"The resource has been moved to {location}; you should be redirected automatically.\n\n"
    if "application/json" in request.headers.get("accept", ""):
        return json.encode({"message": message, "code": "307 " + title, "title": title}), JSON
    return f"307 {title}\n\n{message}".encode(), "text/plain; charset=UTF-8"
