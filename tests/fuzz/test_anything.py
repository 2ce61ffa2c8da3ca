"""Whatever arrives, the answer is one of the protocol: never a 5xx, never ill-formed, never the bait."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import strategies
from tests.fuzz.profile import examples
from tests.fuzz.served import ALICE, Served, served
from tests.support.inprocess import Databases

SHORT, LONG = examples(short=120, long=20_000)

ERRNOS = {
    400: {107}, 401: {104, 999}, 403: {121}, 404: {110, 111, 116}, 405: {115}, 406: {107}, 409: {122},
    412: {114},
    413: {113}, 414: {107}, 415: {107}, 429: {117},
}  # fmt: skip
LOCATIONS = {"body", "querystring", "header", "path"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, databases: Databases) -> Any:
    with served(databases.url(request.param, "anything")) as made:
        yield made


def form(most: int) -> settings:
    return settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=most <= SHORT,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def check(answer: httpx.Response, method: str) -> None:
    """That an answer is one of the protocol."""
    status = answer.status_code
    assert 200 <= status < 500, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "\n" not in repr(answer.headers.raw)
    if method == "HEAD" or status == 304:
        assert answer.content == b""
        return
    kind = answer.headers["content-type"]
    assert kind in ("application/json", "text/plain; charset=UTF-8", "text/html; charset=UTF-8")
    if kind != "application/json":
        assert status in (200, 307)
        return
    body = json.loads(answer.content)
    if status >= 400:
        check_error(status, body)


def check_error(status: int, body: Any) -> None:
    assert set(body) <= {"code", "errno", "error", "message", "details", "info"}
    assert body["code"] == status
    assert body["errno"] in ERRNOS[status]
    if body["error"] == "Invalid parameters":
        assert body["message"]
        assert body["details"]
        for detail in body["details"]:
            assert set(detail) == {"location", "name", "description"}
            assert detail["location"] in LOCATIONS


def any_request(server: Served, most: int) -> None:
    @form(most)
    @given(
        st.sampled_from(strategies.METHODS),
        strategies.paths,
        strategies.queries,
        strategies.headers,
        strategies.bodies,
    )
    def answers(method: str, path: str, query: bytes, headers: list[tuple[str, str]], body: bytes) -> None:
        target = path.encode("utf-8", "surrogatepass") + (b"?" + query if query else b"")
        check(server.send(method, target, (ALICE, *headers), body), method)

    answers()


def any_batch(server: Served, most: int) -> None:
    @form(most)
    @given(strategies.batches, strategies.headers)
    def answers(batch: dict[str, Any], headers: list[tuple[str, str]]) -> None:
        answer = server.send("POST", b"/v1/batch", (ALICE, *headers), strategies.written(batch))
        check(answer, "POST")
        if answer.status_code != 200:
            return
        for item in answer.json()["responses"]:
            assert set(item) == {"path", "status", "headers", "body"}
            assert 200 <= item["status"] < 500
            if item["status"] >= 400 and item["body"]:
                check_error(item["status"], item["body"])

    answers()


def any_token(server: Served, most: int) -> None:
    """Tokens that were cut, changed, or that belong to other lists and queries."""
    lists = (
        b"/v1/buckets/b/collections/c/records",
        b"/v1/buckets/b/collections/c/records?_sort=title,-n",
        b"/v1/buckets/b/collections/c/records?_since=0",
        b"/v1/buckets/b/collections/c/records?min_n=1",
        b"/v1/buckets",
        b"/v1/permissions",
        b"/v1/permissions?_sort=id",
    )
    tokens = []
    for target in lists:
        joint = b"&" if b"?" in target else b"?"
        answer = server.send("GET", target + joint + b"_limit=1")
        if "next-page" in answer.headers:
            tokens.append((target, answer.headers["next-page"].rpartition("_token=")[2].encode()))
    assert len(tokens) >= 4

    @form(most)
    @given(
        st.sampled_from(tokens),
        st.sampled_from(lists),
        st.integers(0, 200),
        st.binary(max_size=2),
        st.booleans(),
    )
    def answers(own: tuple[bytes, bytes], target: bytes, at: int, insert: bytes, change: bool) -> None:
        origin, token = own
        if change:
            place = at % len(token)
            token = token[:place] + insert.hex().encode() + token[place + 1 :]
        joint = b"&" if b"?" in target else b"?"
        answer = server.send("GET", target + joint + b"_limit=1&_token=" + token)
        check(answer, "GET")
        if target != origin and not change:
            assert answer.status_code == 400
            assert answer.json()["message"] == "querystring: _token has invalid content"

    answers()


PROPERTIES = [any_request, any_batch, any_token]


@pytest.mark.parametrize("property_", PROPERTIES)
def test_whatever_arrives_is_answered(server: Served, property_: Any) -> None:
    server.world()
    property_(server, SHORT)


@pytest.mark.fuzz
@pytest.mark.parametrize("property_", PROPERTIES)
def test_whatever_arrives_is_answered_for_long(server: Served, property_: Any) -> None:
    server.world()
    property_(server, LONG)
