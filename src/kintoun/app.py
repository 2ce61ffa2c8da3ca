"""The composition root: the one place that knows which features there are, and wires everything together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial, reduce
from typing import Any

import structlog

from kintoun.config import feature
from kintoun.http import asgi, rsgi
from kintoun.http.answers import Answer, error_answer
from kintoun.http.asgi import Receive, Respond, Scope, Send
from kintoun.http.cors import Cors
from kintoun.http.limits import Base, Limits
from kintoun.http.ready import Ready
from kintoun.http.request_ids import identified
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint, Router
from kintoun.http.wire import Wire
from kintoun.model.errors import BACKEND, SERVICE_DEPRECATED, UNDEFINED, ProtocolError
from kintoun.model.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind, register
from kintoun.model.parameters import QueryLimits
from kintoun.plugin import Plugin, PolicyFactory, Turn
from kintoun.resources.access import Access
from kintoun.resources.access_log import log_access
from kintoun.resources.aliases import Alias
from kintoun.resources.batching import post_batch
from kintoun.resources.cache import ListCache
from kintoun.resources.context import Context
from kintoun.resources.dispatch import dispatch
from kintoun.resources.ending import alert_of, end_of
from kintoun.resources.endpoints import endpoints_of
from kintoun.resources.erasure import delete_user_data
from kintoun.resources.identity import Policy
from kintoun.resources.observing import Observer, ReadyObserver, tell, tell_of_ready
from kintoun.resources.root import ENDPOINTS
from kintoun.resources.rules import Rules
from kintoun.resources.service import (
    AfterCommit,
    BeforeCommit,
    BeforeCommitTogether,
    ChangeHook,
    Erase,
    Gate,
    Listener,
    PastList,
    Service,
    Widen,
)
from kintoun.settings import Settings
from kintoun.storage import make_store
from kintoun.storage.background import Background
from kintoun.storage.lanes import Closing
from kintoun.storage.reclaiming import reclaim
from kintoun.storage.rows import Conflict, Unavailable

log = structlog.get_logger()

OVERLOADED = "Service temporary unavailable due to overloading or maintenance, please retry later."
BROKEN = "A programmatic error occurred, developers have been informed."
GONE = "The service you are trying to connect no longer exists at this location."


TURNS: tuple[Turn, ...] = ("first", "in order", "last")
"""The order in which policies are asked, whatever the order of the configuration."""


class Composition:
    """The registry that features fill, and the service that comes of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        http, limits = settings.http, settings.limits
        wire = Wire(
            Cors(http.cors_origins, http.cors_max_age_seconds),
            str(http.backoff_seconds) if http.backoff_seconds is not None else None,
            http.backoff_percentage,
            alert_of(settings),
        )
        self._ready_observers: list[ReadyObserver] = []
        self.service = Service(
            settings,
            make_store(settings.storage),
            Router(),
            wire,
            Access(settings.access),
            ListCache(settings.storage.cache_bytes),
            Ready(wire, limits.header_bytes, partial(tell_of_ready, self._ready_observers)),
            query_limits=QueryLimits(
                filters=limits.filters, sort_fields=limits.sort_fields, items=limits.in_items
            ),
            token_key=settings.protocol.userid_secret.encode()[:64],
            dispatch=dispatch,
        )
        self._reclaimed = ["object"]
        self._policies: dict[str, tuple[PolicyFactory, int]] = {}
        failures = self.service.measures.counter(
            "background_failures_total", "Times that background work failed."
        )
        self.jobs = Background(self.service.store, failures)
        self.service.measures.before_collect.append(self._count_ready)
        self._ends = end_of(settings)
        self.wraps: list[Callable[[Respond], Respond]] = []
        self._policy_wraps: list[Callable[[Policy], Policy]] = []

    # What features call

    def endpoint(self, endpoint: Endpoint) -> None:
        self.service.router.add(endpoint)

    def kind(self, kind: Kind, rules: Rules, endpoints: Sequence[Endpoint] | None = None) -> None:
        register(kind)
        self.service.rules[kind] = rules
        for endpoint in endpoints or endpoints_of(kind, self.settings.protocol.disabled_endpoints):
            self.endpoint(endpoint)

    def alias(self, name: str, alias: Alias) -> None:
        self.service.aliases[name] = alias

    def capability(self, name: str, description: str, url: str, **extra: Any) -> None:
        self.service.capabilities[name] = {"description": description, "url": url, **extra}

    def root_setting(self, name: str, value: Any) -> None:
        self.service.root_settings[name] = value

    def user_info(self, describe: Callable[[Context], Mapping[str, Any]]) -> None:
        self.service.user_info.append(describe)

    def policy(self, use: str, make: PolicyFactory, asked: Turn = "in order") -> None:
        self._policies[use] = make, TURNS.index(asked)

    def around_policies(self, wrap: Callable[[Policy], Policy]) -> None:
        self._policy_wraps.append(wrap)

    def before_commit(
        self, hook: BeforeCommit, *kinds: Kind, together: BeforeCommitTogether | None = None
    ) -> None:
        self.service.before_commit.append(ChangeHook(hook, frozenset(kinds), together))

    def react(self, hook: BeforeCommit, *kinds: Kind) -> None:
        self.service.reactions.append(ChangeHook(hook, frozenset(kinds)))

    def closing(self, hook: Closing) -> None:
        self.service.store.closing.append(hook)

    def after_commit(self, hook: AfterCommit) -> None:
        self.service.after_commit.append(hook)

    def widen(self, hook: Widen) -> None:
        self.service.widen.append(hook)

    def erase(self, hook: Erase) -> None:
        self.service.erase.append(hook)

    def reclaim(self, table: str) -> None:
        self._reclaimed.append(table)

    def past_list(self, answer: PastList) -> None:
        self.service.past_list = answer

    def stream_list(self, answer: PastList) -> None:
        self.service.stream_list = answer

    def listen(self, listener: Listener) -> None:
        self.service.listeners.append(listener)

    def heartbeat(self, name: str, check: Callable[[], Awaitable[bool | None]]) -> None:
        self.service.heartbeats[name] = check

    def background(self, work: Callable[[], Awaitable[None]], lease: str | None = None) -> None:
        self.jobs.add(work, lease)

    def gate(self, check: Gate) -> None:
        self.service.gates.append(check)

    def observe(self, hook: Observer, *, batched: bool = False, ready: ReadyObserver | None = None) -> None:
        self.service.observers.append(hook)
        if ready is not None:
            self._ready_observers.append(ready)
        if batched:
            self.service.batch_observers.append(hook)

    def around(self, wrap: Callable[[Respond], Respond]) -> None:
        self.wraps.append(wrap)

    # Wiring

    def compose(self, *more: Plugin) -> None:
        """Put the core and the features that are switched on together, and those that are not installed.

        Raises ValueError when they do not fit.
        """
        for endpoint in ENDPOINTS:
            self.endpoint(endpoint)
        self.endpoint(Endpoint("batch", "/batch", {"POST": post_batch}))
        self.endpoint(Endpoint("user-data", "/__user_data__/{principal:tail}", {"DELETE": delete_user_data}))
        for kind in (BUCKET, COLLECTION, GROUP, RECORD):
            self.kind(kind, Rules())
        for name in ("storage", "permission", "cache"):
            self.heartbeat(name, self._storage_answers)
        if self.settings.protocol.schema_validation:
            self.capability(
                "schema",
                "Validates collection records with JSON schemas.",
                f"{self.settings.project.docs}concepts/schemas/",
            )
        replicas = self.service.store.replicas
        if replicas is not None:
            self.background(replicas.watch)
            self.heartbeat("replicas", replicas.answers)
        self.background(lambda: reclaim(self.service.store, self._reclaimed))
        if self.settings.server.access_log:
            self.observe(log_access, batched=True)
        for name in self.settings.features:
            feature(name)().setup(self, self.settings.sections.get(name))
        for plugin in more:
            plugin.setup(self, self.settings.sections.get(plugin.name))
        self.service.access.check(KINDS)
        basicauth = any(policy.use == "basicauth" for policy in self.settings.policies)
        if basicauth and not self.settings.protocol.userid_secret:
            log.warning("userid_secret is not set: basicauth ids and page tokens can be made up")
        policies = [(*self._policy_factory(policy.use), policy) for policy in self.settings.policies]
        made = [(turn, make(policy, self.settings)) for make, turn, policy in policies]
        self.service.challenges = tuple(policy.challenge for _, policy in made)
        self.service.policies = tuple(
            reduce(lambda policy, wrap: wrap(policy), self._policy_wraps, policy)
            for _, policy in sorted(made, key=lambda pair: pair[0])
        )

    def _policy_factory(self, use: str) -> tuple[PolicyFactory, int]:
        if use not in self._policies:
            known = ", ".join(sorted(self._policies)) or "none"
            raise ValueError(f"policies: no feature that is switched on brings {use!r} (known: {known})")
        return self._policies[use]

    async def _storage_answers(self) -> bool:
        await self.service.store.engine.ping()
        return True

    async def start(self) -> None:
        self.service.ready.open()
        await self.service.store.open()
        self.jobs.start()

    async def stop(self) -> None:
        await self.jobs.stop()
        self.service.ready.tell()
        await self.service.store.close()

    async def respond(self, request: Request) -> Answer:
        """The answer to a request, whatever happens; observers are told of it."""
        began = time.perf_counter()
        context = Context(self.service, request)
        try:
            if self._ends is not None and self._ends < datetime.now(UTC):
                raise ProtocolError(410, SERVICE_DEPRECATED, GONE)
            if "authorization" in request.headers:
                await context.identify()
            for gate in self.service.gates:
                await gate(context, request)
            answer = await dispatch(context, request)
        except Exception as error:
            answer = self._failed(request, error)
        if self.service.observers:
            tell(self.service.observers, request, answer, context.user, time.perf_counter() - began)
        return answer

    def _failed(self, request: Request, error: Exception) -> Answer:
        """The answer to a request that came to no other."""
        match error:
            case ProtocolError():
                return error_answer(error)
            case Unavailable() | Conflict():
                log.error("storage unavailable", error=str(error), method=request.method, path=request.path)
                retry = ("Retry-After", str(self.settings.http.retry_after_seconds))
                return error_answer(ProtocolError(503, BACKEND, OVERLOADED, headers=(retry,)))
        log.error("unexpected error", exc_info=error, method=request.method, path=request.path)
        return error_answer(ProtocolError(500, UNDEFINED, BROKEN, info=self.settings.project.error_info_link))

    def sees_every_request(self) -> bool:
        """Whether somebody looks at each request, or answers are not the same from one to the next. Otherwise
        those that are ready may be sent at the edge.
        """
        http, server = self.settings.http, self.settings.server
        observed = len(self.service.observers) > len(self._ready_observers)
        watched = self.service.gates or self.wraps or observed or server.request_ids
        return bool(watched or self.settings.end_of_service.date or http.backoff_percentage is not None)

    async def _count_ready(self) -> None:
        self.service.ready.tell()


class Application:
    """The application, as RSGI servers (Granian) and as ASGI servers call it."""

    def __init__(self, composition: Composition) -> None:
        self.composition = composition
        settings = composition.settings
        most = settings.limits
        limits = Limits(most.body_bytes, most.url_bytes, most.header_bytes, most.body_seconds)
        base = Base(settings.http.public_scheme, settings.http.public_host)
        respond: Respond = composition.respond
        for wrap in composition.wraps:
            respond = wrap(respond)
        if settings.server.request_ids or settings.server.access_log:
            respond = identified(respond)
        service = composition.service
        ready = None if composition.sees_every_request() else service.ready
        parts = (respond, service.wire, limits, base, service.router.streams)
        self._asgi = asgi.Adapter(*parts, ready=ready)
        self.__rsgi__ = rsgi.Adapter(*parts, ready=ready)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by an RSGI server before the first request."""
        loop.run_until_complete(self.composition.start())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by an RSGI server after the last request."""
        loop.run_until_complete(self.composition.stop())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._asgi(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.composition.start()
                except Unavailable as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.composition.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def create_app(settings: Settings, *more: Plugin) -> Application:
    """The application for a configuration, with features `more` that are not installed.

    Raises ValueError when its parts do not fit together.
    """
    composition = Composition(settings)
    composition.compose(*more)
    return Application(composition)
