"""Errors to Sentry: what is logged as an error becomes an event there, without anything of a client's.

An event has the trace, the method and the URL pattern of the request, and the request's id. It has no path,
query string, header, body, user, address, nor the values of variables.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Literal

import structlog
from msgspec import Meta

import kintoun
from kintoun.http.answers import Answer
from kintoun.http.asgi import Respond
from kintoun.http.request_ids import current as current_id
from kintoun.http.requests import Request
from kintoun.plugin import Plugin, Registry
from kintoun.settings import Section

if TYPE_CHECKING:
    from sentry_sdk.client import Client

TOLD = ("hook", "lease", "work", "error")
"""What of a line's own fields goes along."""

LEVELS = {
    "warning": ("warning", "error", "exception", "critical"),
    "error": ("error", "exception", "critical"),
}
FLUSH_SECONDS = 2.0


class SentrySettings(Section, frozen=True):
    """Where errors are sent."""

    dsn: Annotated[
        Annotated[str, Meta(pattern=r"^https?://\S+@\S+/\d+$")] | None,
        Meta(description="DSN of the project; without one nothing is sent."),
    ] = None
    environment: Annotated[str | None, Meta(description="Name of this deployment.")] = None
    level: Annotated[Literal["warning", "error"], Meta(description="Least level that is sent.")] = "error"
    events_per_minute: Annotated[
        int, Meta(ge=1, le=10_000, description="Events that one worker sends in a minute; more are dropped.")
    ] = 60


class Sentry(Plugin):
    """Sends errors to Sentry."""

    name = "sentry"
    settings = SentrySettings
    kinto_keys = {"sentry_dsn": "dsn", "sentry_env": "environment"}  # noqa: RUF012

    def setup(self, registry: Registry, settings: SentrySettings) -> None:
        if settings.dsn is None:
            return
        tap = Tap(settings)
        registry.around(_remembered)
        registry.background(tap.listen)


_request: ContextVar[Request | None] = ContextVar("sentry_request", default=None)


def _remembered(respond: Respond) -> Respond:
    """As `respond`, letting the tap know which request it is about."""

    async def remembered(request: Request) -> Answer:
        token = _request.set(request)
        try:
            return await respond(request)
        finally:
            _request.reset(token)

    return remembered


class Tap:
    """A processor of structlog that sends what it sees."""

    def __init__(self, settings: SentrySettings) -> None:
        self._settings = settings
        self._levels = LEVELS[settings.level]
        self._client: Client | None = None
        self._minute = -60.0
        self._sent = 0

    async def listen(self) -> None:
        """Send what is logged until the worker stops."""
        before = structlog.get_config()["processors"]
        structlog.configure(processors=[self, *before])
        try:
            await asyncio.Event().wait()
        finally:
            present = structlog.get_config()["processors"]
            structlog.configure(processors=[each for each in present if each is not self])
            client, self._client = self._client, None
            if client is not None:
                await asyncio.to_thread(client.close, timeout=FLUSH_SECONDS)

    def __call__(self, _logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method in self._levels and self._may_send():
            self._send(method, line)
        return line

    def _may_send(self) -> bool:
        now = time.monotonic()
        if now - self._minute >= 60:
            self._minute, self._sent = now, 0
        self._sent += 1
        return self._sent <= self._settings.events_per_minute

    def _send(self, method: str, line: MutableMapping[str, Any]) -> None:
        from sentry_sdk.utils import event_from_exception

        client = self._open()
        event: dict[str, Any] = {}
        hint: dict[str, Any] = {}
        if line.get("exc_info"):
            given = line["exc_info"]
            about = given if isinstance(given, (BaseException, tuple)) else sys.exc_info()
            found, hint = event_from_exception(
                about, client_options=client.options, mechanism={"type": "logging", "handled": True}
            )
            event.update(found)
        event["logger"] = "kintoun"
        event["level"] = "warning" if method == "warning" else "error"
        event["logentry"] = {"message": str(line.get("event", "")), "params": []}
        event["extra"] = {name: str(line[name]) for name in TOLD if name in line}
        event["tags"] = _tags()
        request = _request.get()
        if request is not None and request.endpoint is not None:
            event["transaction"] = f"{request.method} {request.endpoint.pattern}"
        client.capture_event(event, hint)  # type: ignore[arg-type]

    def _open(self) -> Client:
        if self._client is None:
            from sentry_sdk.client import Client

            self._client = Client(
                dsn=self._settings.dsn,
                environment=self._settings.environment,
                release=f"kintoun@{kintoun.__version__}",
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                include_source_context=True,
                max_request_body_size="never",
                max_breadcrumbs=0,
                auto_session_tracking=False,
                shutdown_timeout=FLUSH_SECONDS,
            )
        return self._client


def _tags() -> dict[str, str]:
    found = current_id.get()
    return {"rid": found} if found is not None else {}
