"""The server does what its OpenAPI document says, whatever is sent.

Schemathesis makes requests of the document, good ones and bad ones; for every answer it is checked that the
document knows its status, type, headers and body. There is never a 5xx.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.profile import examples
from tests.fuzz.served import ALICE, Served, served
from tests.support.inprocess import Databases

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KNOWN = {
    "bucket_id": ("b", "missing"),
    "collection_id": ("c", "missing"),
    "id": ("b", "c", "g", "r0", "r1", "r2", "r4", "new", "zoe"),
}
"""Ids that lead to something, which random ones never do."""

SHORT, LONG = examples(short=1, long=300)
STEPS_SHORT, STEPS_LONG = examples(short=4, long=300)


@pytest.fixture(scope="module")
def server(databases: Databases) -> Any:
    with served(databases.url("sqlite", "fuzz")) as made:
        yield made


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def each_server(request: pytest.FixtureRequest, databases: Databases) -> Any:
    with served(databases.url(request.param, "long")) as made:
        yield made


def document(server: Served) -> Any:
    """The document as Schemathesis reads it."""
    content = json.loads(server.send("GET", b"/v1/__api__").content)
    project = ProjectConfig(
        generation=GenerationConfig(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    )
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    schema = schemathesis.openapi.from_dict(content, config=config)
    schema.location = "http://server.example/v1/__api__"
    return schema


def send(server: Served, case: Any) -> Any:
    """The answer to a generated request, as Schemathesis looks at answers."""
    arguments = case.as_transport_kwargs(base_url="http://server.example/v1")
    arguments.pop("stream", None)
    session = requests.Session()
    session.headers.clear()
    names = ("method", "url", "params", "headers", "data", "json", "files", "cookies")
    prepared = requests.Request(**{name: arguments[name] for name in names if name in arguments}).prepare()
    headers = [(name, _text(value)) for name, value in prepared.headers.items()]
    if not any(name.lower() == "authorization" for name, _ in headers):
        headers.append(ALICE)
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
    response = server.send(prepared.method or "GET", prepared.path_url.encode(), headers, body)
    response.elapsed = timedelta()
    return schemathesis.Response.from_any(response)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def stateful(server: Served, most: int) -> None:
    """Follow the links of the document: what was created is read, replaced, patched and deleted."""

    class Workflow(document(server).as_state_machine()):  # type: ignore[misc]
        def call(self, case: Any, **_: Any) -> Any:
            return send(server, case)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    run_state_machine_as_test(
        Workflow,
        settings=settings(
            max_examples=most,
            stateful_step_count=8,
            deadline=None,
            database=None,
            derandomize=most <= STEPS_SHORT,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def meet(case: Any, data: st.DataObject) -> None:
    """Lead most requests to something that is there."""
    for name, ids in KNOWN.items():
        if name in case.path_parameters and data.draw(st.integers(0, 3)):
            case.path_parameters[name] = data.draw(st.sampled_from(ids))


def _property(server: Served, most: int) -> None:
    schema = document(server)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 40
    blameless = []
    for operation in operations:
        if operation.label.startswith("POST /__flush__"):
            continue  # it would take the world away from the others; the endpoint has tests of its own
        server.world()  # the operation before may have deleted it
        _run(server, operation, GenerationMode.POSITIVE, most)
        try:
            _run(server, operation, GenerationMode.NEGATIVE, most)
        except Unsatisfiable:
            blameless.append(operation.label)  # nothing that can be sent there is wrong
    assert len(blameless) < len(operations) / 2, blameless


def _run(server: Served, operation: Any, mode: GenerationMode, most: int) -> None:
    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=most <= SHORT,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def conforms(case: Any, data: st.DataObject) -> None:
        if case.path_parameters:
            meet(case, data)
        case.validate_response(send(server, case), checks=CHECKS)

    conforms()


def test_answers_are_those_of_the_document(server: Served) -> None:
    _property(server, SHORT)


@pytest.mark.fuzz
def test_answers_are_those_of_the_document_for_long(each_server: Served) -> None:
    _property(each_server, LONG)


def test_links_lead_from_an_object_to_all_that_can_be_done_with_it(server: Served) -> None:
    stateful(server, STEPS_SHORT)


@pytest.mark.fuzz
def test_links_lead_from_an_object_to_all_that_can_be_done_with_it_for_long(each_server: Served) -> None:
    stateful(each_server, STEPS_LONG)
