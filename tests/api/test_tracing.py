"""Traces that are sent by OTLP, taken by an HTTP server that decodes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from kintoun.features.tracing import TracingSettings
from tests.support.inprocess import App, Databases, opened, settings_for
from tests.support.processes import SECONDS, Serving
from tests.support.receivers import Receiver, receiver

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def settings(url: str, collector: Receiver, **changes: Any) -> Any:
    section = TracingSettings(
        endpoint=f"http://127.0.0.1:{collector.port}/v1/traces",
        headers={"x-key": "of the collector"},
        **changes,
    )
    made = settings_for(url)
    return replace(made, features=[*made.features, "tracing"], sections={"tracing": section})


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases, collector: Receiver) -> AsyncIterator[App]:
    async with opened(settings(databases.url(engine), collector)) as made:
        yield made


async def traced(app: App, *requests: tuple[str, dict[str, str]]) -> list[int]:
    """Make requests while traces are made, and wait until they have been sent; returns the statuses."""
    jobs = app.application.composition.jobs
    jobs.start()
    await asyncio.sleep(0)  # lets them begin
    try:
        return [(await app.call(request, headers=headers)).status_code for request, headers in requests]
    finally:
        await jobs.stop()


def spans(collector: Receiver) -> list[Any]:
    found = []
    for each in collector.received:
        assert each.path == "/v1/traces"
        assert each.headers["x-key"] == "of the collector"
        message = ExportTraceServiceRequest.FromString(each.body)
        for resource in message.resource_spans:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            assert names["service.name"] == "kintoun"
            for scope in resource.scope_spans:
                found.extend(scope.spans)
    return found


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


async def test_a_request_is_a_span_below_the_clients_and_above_the_storages(
    app: App, collector: Receiver
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    path = "/buckets/secret-bucket?q=secret-query"
    assert await traced(app, (f"PUT {path}", headers), (f"GET {path}", {})) == [201, 200]
    found = spans(collector)
    (put,) = [span for span in found if span.name == "PUT /buckets/{id}"]
    assert (put.trace_id.hex(), put.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(put) | {"http.response.body.size": 0} == {
        "http.request.method": "PUT",
        "http.response.status_code": 201,
        "http.response.body.size": 0,
        "http.route": "/v1/buckets/{id}",
        "url.scheme": "http",
    }
    (write,) = [span for span in found if span.name == "storage write"]
    assert write.parent_span_id == put.span_id
    assert put.start_time_unix_nano <= write.start_time_unix_nano <= write.end_time_unix_nano
    assert write.end_time_unix_nano <= put.end_time_unix_nano
    (get,) = [span for span in found if span.name == "GET /buckets/{id}"]
    assert get.trace_id != put.trace_id
    assert not get.parent_span_id
    reads = [span for span in found if span.name == "storage read"]
    assert {read.parent_span_id for read in reads} == {put.span_id, get.span_id}
    assert b"secret" not in b"".join(each.body for each in collector.received)


async def test_what_the_client_did_not_sample_and_what_is_malformed(app: App, collector: Receiver) -> None:
    headers = [{"traceparent": f"00-{TRACE}-{PARENT}-00"}, {"traceparent": "00-nothing-of-the-kind"}]
    assert await traced(app, ("GET /", headers[0]), ("GET /nowhere", headers[1]), ("FOO /", {})) == [
        200,
        404,
        405,
    ]
    found = {span.name: span for span in spans(collector) if not span.name.startswith("storage")}
    assert set(found) == {"GET", "_OTHER /"}
    assert not found["GET"].parent_span_id


async def test_a_share_of_the_traces_that_begin_here(databases: Databases, collector: Receiver) -> None:
    async with opened(settings(databases.url("sqlite"), collector, ratio=0.0)) as app:
        sampled = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert await traced(app, ("GET /", {}), ("GET /buckets", sampled)) == [200, 200]
    assert {span.trace_id.hex() for span in spans(collector)} == {TRACE}


async def test_it_waits_for_nobody(databases: Databases) -> None:
    """A collector that is not there costs requests nothing, and the end of a worker no more than its time."""
    with receiver() as gone:
        made = settings(databases.url("sqlite"), gone, timeout_seconds=0.2)
    async with opened(made) as app:
        assert await traced(app, ("GET /", {})) == [200]


def test_a_worker_sends_what_it_has_before_it_ends(tmp_path, collector: Receiver) -> None:
    (tmp_path / "kintoun.toml").write_text(
        f'features = ["tracing"]\n[tracing]\nendpoint = "http://127.0.0.1:{collector.port}/v1/traces"\n'
        'headers = {x-key = "of the collector"}\ninterval_seconds = 60\n'
    )
    server = Serving(tmp_path, "--data", "d")
    try:
        server.ready()
        assert httpx.get(f"{server.url}/buckets", timeout=SECONDS).status_code == 401
        assert server.stop() == 0
    finally:
        server.kill()
    assert "GET /buckets" in {span.name for span in spans(collector)}
