"""Traces by OpenTelemetry: a span for each request, and below it one for each time that the storage is asked.

A request's span stands below the one that its `traceparent` names. They are sent by OTLP over HTTP.

Spans have the method, the URL pattern and the status, and no path, query string, header or user.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, field

import kintoun
from kintoun.http.answers import Answer
from kintoun.http.asgi import Respond
from kintoun.http.requests import Request
from kintoun.plugin import Plugin, Registry
from kintoun.settings import Section
from kintoun.storage import Call

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Tracer, TracerProvider


METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class TracingSettings(Section, frozen=True):
    """Where traces are sent, and how many."""

    endpoint: Annotated[
        str, Meta(pattern=r"^https?://\S+$", description="URL that takes traces by OTLP over HTTP.")
    ] = "http://localhost:4318/v1/traces"
    headers: Annotated[
        dict[str, str], Meta(description="Headers to send along, such as a collector's key.")
    ] = field(default_factory=dict)
    service: Annotated[
        str | None, Meta(description="Name of the service in traces; default: the name of the project.")
    ] = None
    ratio: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of the traces that begin here; which others, their clients choose.",
        ),
    ] = 1.0
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long the receiver may take for one lot of spans.")
    ] = 10.0
    interval_seconds: Annotated[float, Meta(gt=0, le=60, description="How often spans are sent.")] = 5.0


class Tracing(Plugin):
    """Sends traces."""

    name = "tracing"
    settings = TracingSettings

    def setup(self, registry: Registry, settings: TracingSettings) -> None:
        traces = Traces(settings, settings.service or registry.settings.project.name)
        registry.around(traces.of_requests)
        registry.service.store.watch(traces.of_storage)
        registry.background(traces.send)


class Traces:
    """The spans of one worker. Until `send` runs there are none."""

    def __init__(self, settings: TracingSettings, service: str) -> None:
        self._settings = settings
        self._service = service
        self._tracer: Tracer | None = None

    async def send(self) -> None:
        """Make spans and send them until the worker stops; then send the last ones."""
        provider = self._provider()
        self._tracer = provider.get_tracer("kintoun", kintoun.__version__)  # type: ignore[assignment]
        try:
            await asyncio.Event().wait()
        finally:
            self._tracer = None
            await asyncio.to_thread(provider.shutdown)

    def _provider(self) -> TracerProvider:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

        settings = self._settings
        about = {"service.name": self._service, "service.version": kintoun.__version__}
        provider = TracerProvider(
            resource=Resource(about), sampler=ParentBasedTraceIdRatio(settings.ratio), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(
            endpoint=settings.endpoint, headers=settings.headers, timeout=settings.timeout_seconds
        )
        provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=settings.interval_seconds * 1000)
        )
        return provider

    def of_requests(self, respond: Respond) -> Respond:
        """As `respond`, within a span."""
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        begun_elsewhere = TraceContextTextMapPropagator().extract

        async def traced(request: Request) -> Answer:
            tracer = self._tracer
            if tracer is None:
                return await respond(request)
            with tracer.start_as_current_span(
                "request", context=begun_elsewhere(request.headers), kind=SpanKind.SERVER
            ) as span:
                answer = await respond(request)
                if span.is_recording():
                    span.update_name(_name(request))
                    span.set_attributes(_attributes(request, answer))
                    if answer.status >= 500:
                        span.set_status(StatusCode.ERROR)
                return answer

        return traced

    def of_storage(self, name: str, call: Call) -> Call:
        """As `call`, within a span, when there is one above it."""
        from opentelemetry.trace import SpanKind, get_current_span

        label = f"storage {name}"

        async def traced(*args: Any) -> Any:
            tracer = self._tracer
            if tracer is None or not get_current_span().is_recording():
                return await call(*args)
            with tracer.start_as_current_span(label, kind=SpanKind.CLIENT):
                return await call(*args)

        return traced


def _name(request: Request) -> str:
    method = _method(request)
    return f"{method} {request.endpoint.pattern}" if request.endpoint is not None else method


def _method(request: Request) -> str:
    return request.method if request.method in METHODS else "_OTHER"


def _attributes(request: Request, answer: Answer) -> dict[str, str | int]:
    """By OpenTelemetry's conventions for HTTP."""
    attributes: dict[str, str | int] = {
        "http.request.method": _method(request),
        "http.response.status_code": answer.status,
        "http.response.body.size": len(answer.body),
        "url.scheme": request.base.partition(":")[0],
    }
    if request.endpoint is not None:
        attributes["http.route"] = f"/v1{request.endpoint.pattern}"
    if request.id is not None:
        attributes["kintoun.request_id"] = request.id
    return attributes
