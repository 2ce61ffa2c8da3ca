"""What is logged: one JSON object for each line, with the id of its request, and never a credential."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from msgspec.structs import replace

from kintoun.model.changes import Change
from kintoun.plugin import Plugin
from kintoun.resources.access_log import redacted
from kintoun.resources.context import Work
from kintoun.serving import configure_log
from kintoun.settings import Server
from tests.support.inprocess import App, Databases, opened, settings_for
from tests.support.processes import SECONDS, Serving

BAITS = ("pa55-of-alice", "t0ken-of-alice", "b0dy-of-alice", "c00kie-of-alice", "c0de-of-alice")
SERVER = Server(log_format="json", access_log=True)


class Talkative(Plugin):
    """Logs in the transaction of each write, and fails for a bucket called `broken`."""

    name = "talkative"

    def setup(self, registry: Any, settings: Any) -> None:
        async def hook(work: Work, change: Change) -> None:
            await asyncio.sleep(0)
            structlog.get_logger().info("written", path=str(change.path))
            if change.path.id == "broken":
                raise RuntimeError("broken on purpose")

        registry.before_commit(hook)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The lines of the log since it was asked last, each of them decoded."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    before = structlog.get_config()
    configure_log(SERVER)

    def taken() -> list[dict[str, Any]]:
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        assert not [bait for bait in BAITS if bait in text]
        return [json.loads(line) for line in text.splitlines()]

    yield taken
    structlog.configure(**before)


async def application(engine: str, databases: Databases, **changes: Any) -> Any:
    return opened(replace(settings_for(databases.url(engine)), **{"server": SERVER, **changes}), Talkative())


def credentials(app: App) -> dict[str, str]:
    name = b64encode(b"alice:pa55-of-alice").decode()
    return {
        "Authorization": f"Basic {name}",
        "Cookie": "session=c00kie-of-alice",
        "X-Token": "t0ken-of-alice",
    }


async def test_each_request_is_a_line_with_the_fields_that_people_expect(
    engine: str, databases: Databases, lines
) -> None:
    async with await application(engine, databases) as app:
        lines()
        headers = {**credentials(app), "User-Agent": "tests/1", "X-Request-Id": "of-the-proxy:1"}
        query = "?_limit=3&access_token=t0ken-of-alice&code=c0de-of-alice&state=t0ken-of-alice"
        answer = await app.call(f"GET /buckets{query}", headers=headers)
        assert answer.headers["x-request-id"] == "of-the-proxy:1"
        (line,) = lines()
        assert line.pop("timestamp").endswith("Z")
        assert line.pop("t") > 0
        assert line.pop("uid").startswith("basicauth:")
        assert line == {
            "event": "request.summary",
            "level": "info",
            "method": "GET",
            "path": "/v1/buckets",
            "querystring": "_limit=3&access_token=…&code=…&state=…",
            "code": 200,
            "errno": 0,
            "agent": "tests/1",
            "rid": "of-the-proxy:1",
        }
        await app.call("GET /buckets/nowhere", user=None)
        (line,) = lines()
        assert (line["code"], line["errno"], "uid" in line) == (401, 104, False)
        await app.call("PUT /accounts/alice", {"data": {"password": "pa55-of-alice"}}, user=None)
        assert [line["event"] for line in lines()] == ["written", "request.summary"]


async def test_the_requests_of_a_batch_have_lines_of_their_own(
    engine: str, databases: Databases, lines
) -> None:
    async with await application(engine, databases) as app:
        lines()
        requests = [{"method": "PUT", "path": "/buckets/a", "body": {"data": {"x": "b0dy-of-alice"}}}]
        requests.append({"method": "GET", "path": "/buckets/none?token=t0ken-of-alice"})
        answer = await app.call("POST /batch", {"requests": requests}, headers=credentials(app))
        found = [line for line in lines() if line["event"] == "request.summary"]
        assert [(line["method"], line["path"], line["code"], line.get("batch", False)) for line in found] == [
            ("PUT", "/v1/buckets/a", 201, True),
            ("GET", "/v1/buckets/none", 403, True),
            ("POST", "/v1/batch", 200, False),
        ]
        assert {line["rid"] for line in found} == {answer.headers["x-request-id"]}
        assert "x-request-id" not in answer.text.lower()


async def test_lines_of_requests_that_share_a_commit_have_their_own_ids(
    engine: str, databases: Databases, lines
) -> None:
    async with await application(engine, databases) as app:
        await app.ok("PUT /buckets/warm")
        lines()

        async def put(number: int) -> None:
            answer = await app.call(f"PUT /buckets/b{number}", headers={"X-Request-Id": f"id-{number}"})
            assert answer.status_code == 201

        await asyncio.gather(*(put(number) for number in range(12)))
        written = [line for line in lines() if line["event"] == "written"]
        assert {line["path"]: line["rid"] for line in written} == {
            f"/buckets/b{number}": f"id-{number}" for number in range(12)
        }


async def test_an_unexpected_error_can_be_found_by_the_id_of_its_answer(
    engine: str, databases: Databases, lines
) -> None:
    async with await application(engine, databases) as app:
        lines()
        answer = await app.call(
            "PUT /buckets/broken", {"data": {"x": "b0dy-of-alice"}}, headers=credentials(app)
        )
        assert answer.status_code == 500
        found = {line["event"]: line for line in lines()}
        assert {line["rid"] for line in found.values()} == {answer.headers["x-request-id"]}
        assert "broken on purpose" in found["unexpected error"]["exception"]
        assert found["request.summary"]["errno"] == 999


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "a\tb", 'a"b', "é"])
async def test_an_id_that_is_none_is_not_taken(given: str, databases: Databases, lines) -> None:
    async with await application("sqlite", databases) as app:
        answer = await app.call("GET /", headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"] != given
        assert len(answer.headers["x-request-id"]) == 32


async def test_without_it_nothing_is_named(databases: Databases, lines) -> None:
    async with await application("sqlite", databases, server=Server(log_format="json")) as app:
        lines()
        answer = await app.call("GET /", headers={"X-Request-Id": "given"})
        assert "x-request-id" not in answer.headers
        assert lines() == []
    async with await application("sqlite", databases, server=Server(request_ids=True)) as app:
        lines()
        answer = await app.call("GET /", headers={"X-Request-Id": "given"})
        assert answer.headers["x-request-id"] == "given"
        assert lines() == []


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"a=1&b=2", "a=1&b=2"),
        (b"token=x", "token=…"),
        (b"a=1;PASSWORD=x;b=2", "a=1;PASSWORD=…;b=2"),
        (b"id_token_hint=x&_sort=-n", "id_token_hint=…&_sort=-n"),
        (b"password", "password"),
        (b"n=%0A" + b"y" * 2000, "n=%0A" + "y" * 995),
    ],
)
def test_what_may_be_a_credential_is_left_out_of_query_strings(query: bytes, left: str) -> None:
    assert redacted(query) == left


def test_every_line_of_a_server_is_an_object(tmp_path) -> None:
    (tmp_path / "kintoun.toml").write_text('[server]\nlog_format = "json"\naccess_log = true\n')
    server = Serving(tmp_path, "--data", "d")
    try:
        server.ready()
        answer = httpx.get(f"{server.url}/?token=t0ken-of-alice", timeout=SECONDS)
        (worker,) = server.workers()
        worker.kill()
        server.wait_for(lambda: "Unexpected exit" in server.log.read_text())
        text = server.log.read_text()
        assert "t0ken" not in text
        found = [json.loads(line) for line in text.splitlines() if not line.startswith("Kintoun ")]
        assert answer.headers["x-request-id"] in {line.get("rid") for line in found}
        assert {"request.summary", "Unexpected exit from worker-1"} <= {line["event"] for line in found}
        assert all(line["level"] and line["timestamp"].endswith("Z") for line in found)
    finally:
        server.kill()
