"""Errors that are sent to Sentry, taken by an HTTP server that reads its envelopes."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import structlog
from msgspec.structs import replace

from kintoun.config import Tree, decode
from kintoun.features.sentry import SentrySettings
from kintoun.kinto_ini import translate
from kintoun.model.changes import Change
from kintoun.plugin import Plugin
from kintoun.resources.context import Work
from kintoun.serving import configure_log
from kintoun.settings import Server
from tests.support.inprocess import App, Databases, opened, settings_for
from tests.support.receivers import Receiver, receiver
from tests.support.servers import write_ini

BAITS = (
    "pa55-of-alice",
    "b0dy-of-alice",
    "bucket-of-alice",
    "qu3ry-of-alice",
    "agent-of-alice",
    "127.0.0.1:5",
)


class Broken(Plugin):
    """Fails in the transaction of every write."""

    name = "broken"

    def setup(self, registry: Any, settings: Any) -> None:
        async def hook(_work: Work, change: Change) -> None:
            held = (change.new, change.path)
            raise RuntimeError(f"broken on purpose, with {len(held)} variables")

        registry.before_commit(hook)


@pytest.fixture
def sentry() -> Iterator[Receiver]:
    before = structlog.get_config()
    configure_log(Server(log_format="json"))
    with receiver() as found:
        yield found
    structlog.configure(**before)


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases, sentry: Receiver) -> AsyncIterator[App]:
    section = SentrySettings(
        dsn=f"http://key@127.0.0.1:{sentry.port}/7", environment="tests", events_per_minute=3
    )
    settings = replace(
        settings_for(databases.url(engine)),
        server=Server(request_ids=True),
        features=["basicauth", "sentry"],
        policies=[policy for policy in settings_for("sqlite:x").policies if policy.use == "basicauth"],
        sections={"sentry": section},
    )
    async with opened(settings, Broken()) as made:
        yield made


async def listening(app: App) -> None:
    """Start what runs in the background of a worker, as a server does."""
    before = structlog.get_config()["processors"]
    app.application.composition.jobs.start()
    async with asyncio.timeout(30):
        while structlog.get_config()["processors"] == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def stop(app: App) -> None:
    await app.application.composition.jobs.stop()


def events(sentry: Receiver) -> list[dict[str, Any]]:
    """The events of all envelopes: JSON lines, of which every second one is the head of an item."""
    found = []
    for each in sentry.received:
        assert each.path == "/api/7/envelope/"
        assert "sentry_key=key" in each.headers["x-sentry-auth"]
        _, *items = each.body.splitlines()
        for head, item in zip(items[::2], items[1::2], strict=True):
            if json.loads(head)["type"] == "event":
                found.append(json.loads(item))
    return found


async def test_an_error_is_told_with_nothing_of_the_clients(app: App, sentry: Receiver) -> None:
    await listening(app)
    credentials = b64encode(b"alice:pa55-of-alice").decode()
    headers = {
        "Authorization": f"Basic {credentials}",
        "User-Agent": "agent-of-alice",
        "X-Request-Id": "id-1",
    }
    body = {"data": {"x": "b0dy-of-alice"}}
    path = "/buckets/bucket-of-alice?q=qu3ry-of-alice"
    answer = await app.call(f"PUT {path}", body, headers=headers)
    assert answer.status_code == 500
    await asyncio.to_thread(sentry.wait, 1)
    await stop(app)
    (event,) = events(sentry)
    raised = event["exception"]["values"][-1]
    assert (raised["type"], raised["value"]) == ("RuntimeError", "broken on purpose, with 2 variables")
    assert raised["stacktrace"]["frames"][-1]["function"] == "hook"
    assert event["logentry"]["message"] == "unexpected error"
    assert event["transaction"] == "PUT /buckets/{id}"
    assert event["tags"]["rid"] == "id-1"
    assert (event["environment"], event["level"]) == ("tests", "error")
    assert event["release"].startswith("kintoun@")
    sent = b"".join(each.body for each in sentry.received).decode()
    assert not [bait for bait in (*BAITS, credentials) if bait in sent]
    assert '"vars"' not in sent


async def test_no_more_is_sent_than_allowed_and_nothing_after_the_end(app: App, sentry: Receiver) -> None:
    await listening(app)
    for number in range(8):
        assert (await app.call(f"PUT /buckets/b{number}")).status_code == 500
    await stop(app)
    assert len(events(sentry)) == 3
    structlog.get_logger().error("after the end")
    assert len(events(sentry)) == 3


async def test_warnings_and_refusals_are_not_errors(app: App, sentry: Receiver) -> None:
    await listening(app)
    structlog.get_logger().warning("only a warning")
    assert (await app.call("GET /buckets/none", user=None)).status_code == 401
    await stop(app)
    assert events(sentry) == []


def test_a_dsn_in_an_ini_switches_it_on(tmp_path) -> None:
    ini = write_ini(
        tmp_path / "kinto.ini", {"kinto.sentry_dsn": "https://k@sentry.example/3", "kinto.sentry_env": "x"}
    )
    tree: Tree = translate(ini, {}, tmp_path).tree
    settings = decode(tree)
    assert "sentry" in settings.features
    assert settings.sections["sentry"] == SentrySettings(dsn="https://k@sentry.example/3", environment="x")
    ini = write_ini(tmp_path / "kinto.ini", {"kinto.sentry_dsn": ""})
    assert "sentry" not in decode(translate(ini, {}, tmp_path).tree).features
