"""The root view and the other endpoints that tell of the server itself (protocol section 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

import kintoun
from kintoun.http.answers import Answer, Headers, json_answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.model import json
from kintoun.model.permissions import AUTHENTICATED, EVERYONE
from kintoun.model.timestamps import http_date, now
from kintoun.resources.context import Context
from kintoun.storage.rows import Unavailable, Wanted

log = structlog.get_logger()

HTTP_API_VERSION = "1.23"


async def hello(context: Context, request: Request) -> Answer:
    """`GET /`: what this server is and can, and who the caller is."""
    settings = context.service.settings
    project = settings.project
    body: dict[str, Any] = {
        "project_name": project.name,
        "project_version": project.version or kintoun.__version__,
        "http_api_version": HTTP_API_VERSION,
        "project_docs": project.docs,
        "url": f"{request.base}{PREFIX}/",
        "config": None,
        "settings": {
            "readonly": settings.protocol.readonly,
            "batch_max_requests": settings.limits.batch_requests,
            "explicit_permissions": settings.protocol.explicit_permissions,
            **context.service.root_settings,
        },
        "capabilities": {
            name: _as_told(capability, request) for name, capability in context.service.capabilities.items()
        },
    }
    if settings.end_of_service.date is not None:
        body["eos"] = settings.end_of_service.date
    context.service.cors.check(request)
    if not context.anonymous:
        await context.load(Wanted())
    if not context.anonymous:
        body["user"] = _user(context)
    headers: Headers = ()
    if settings.protocol.readonly:
        seconds = settings.http.root_cache_seconds
        headers = (("Cache-Control", f"max-age={seconds}"), ("Expires", http_date(now() + seconds * 1000)))
    return json_answer(body, headers=headers)


def _as_told(capability: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
    """A capability as a request is told of it."""
    return {key: value(request) if callable(value) else value for key, value in capability.items()}


def _user(context: Context) -> dict[str, Any]:
    user = context.user
    assert user is not None, "only authenticated callers are described"
    groups = sorted(context.principals - {user, AUTHENTICATED, EVERYONE})
    described: dict[str, Any] = {"id": user, "principals": [user, *groups, AUTHENTICATED, EVERYONE]}
    for describe in context.service.user_info:
        described.update(describe(context))
    return described


async def lbheartbeat(_context: Context, _request: Request) -> Answer:
    """`GET /__lbheartbeat__`: the process answers."""
    return Answer(200, b"{}")


async def heartbeat(context: Context, _request: Request) -> Answer:
    """`GET /__heartbeat__`: whether everything that the server needs works."""
    service = context.service
    limit = service.settings.http.heartbeat_timeout_seconds
    checks = service.heartbeats
    results = await asyncio.gather(*(_checked(check, limit) for check in checks.values()))
    named = dict(zip(checks, results, strict=True))
    return json_answer(named, 503 if False in named.values() else 200)


async def _checked(check: Callable[[], Awaitable[bool | None]], limit: float) -> bool | None:
    try:
        async with asyncio.timeout(limit):
            return await check()
    except (TimeoutError, Unavailable):
        return False
    except Exception:
        log.exception("a heartbeat check failed")
        return False


async def version(context: Context, _request: Request) -> Answer:
    """`GET /__version__`: which build this is."""
    told = await asyncio.to_thread(_version_file, Path(context.service.settings.project.version_file))
    return json_answer(
        told
        or {
            "name": "kintoun",
            "version": kintoun.__version__,
            "source": kintoun.SOURCE,
            "commit": "",
            "build": "",
        }
    )


def _version_file(file: Path) -> Any:
    return json.decode(file.read_bytes()) if file.is_file() else None


async def contribute(context: Context, _request: Request) -> Answer:
    """`GET /contribute.json`: where the project lives."""
    return json_answer(
        {
            "name": "kintoun",
            "description": kintoun.__doc__,
            "repository": {"url": kintoun.SOURCE, "license": "Apache-2.0", "tests": ""},
            "participate": {"home": kintoun.SOURCE, "docs": context.service.settings.project.docs},
            "bugs": {"list": f"{kintoun.SOURCE}/issues/", "report": f"{kintoun.SOURCE}/issues/new"},
            "keywords": ["JSON", "storage", "sync", "Kinto"],
        }
    )


def _get(name: str, pattern: str, handler: Any) -> Endpoint:
    return Endpoint(name, pattern, {"HEAD": handler, "GET": handler})


ENDPOINTS = (
    _get("hello", "/", hello),
    _get("heartbeat", "/__heartbeat__", heartbeat),
    _get("lbheartbeat", "/__lbheartbeat__", lbheartbeat),
    _get("version", "/__version__", version),
    _get("contribute", "/contribute.json", contribute),
)
