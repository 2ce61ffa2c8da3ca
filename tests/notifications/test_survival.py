"""Messages survive the server that wrote them, and every worker that died delivering them."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from kintoun.cli import main
from tests.notifications.receivers import Receiver, Says
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.servers import Server

CONFIGURATION = """\
features = ["basicauth", "webhooks"]

[[policies]]
name = "basicauth"
use = "basicauth"

[storage]
url = "{url}"
lease_seconds = 2.0

[server]
workers = {workers}

[protocol]
userid_secret = "of the tests"

[webhooks]
first_retry_seconds = 0.2
longest_retry_seconds = 0.5
attempts = 100
timeout_seconds = 30.0

[[webhooks.hooks]]
name = "main"
url = "{hook}"
secrets = ["the secret of the tests"]
"""
AUTH = ("alice", "pw")
KINTOUN = Path(sys.executable).parent / "kintoun"


def serving(directory: Path, configuration: str) -> Server:
    (directory / "kintoun.toml").write_text(configuration)

    def command(port: int) -> list[str]:
        file = str(directory / "kintoun.toml")
        return [str(KINTOUN), "serve", "--config", file, "--host", "127.0.0.1", "--port", str(port)]

    return Server(command, directory, {})


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite:kintoun.sqlite"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create_database()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kintoun-outbox-") as made:
        yield Path(made)


def put(server: Server, place: str) -> None:
    httpx.put(f"{server.url}/buckets/{place}", auth=AUTH, timeout=60).raise_for_status()


def write(server: Server, *names: str) -> None:
    for place in ("b", "b/collections/c", *(f"b/collections/c/records/{name}" for name in names)):
        put(server, place)


def told(receiver: Receiver) -> list[str]:
    return [request.json["id"] for request in receiver.received]


def test_kill_9_between_the_commit_and_the_delivery(url: str, directory: Path) -> None:
    """The receiver is not there while the server lives; both come back. Each list is told of in its order."""
    port = free_port()
    hook = f"http://127.0.0.1:{port}/hook"
    places = [f"b/collections/{name}/records/{n}" for n in range(15) for name in ("c", "d")]
    with serving(directory, CONFIGURATION.format(url=url, workers=2, hook=hook)) as server:
        server.start()
        write(server)
        put(server, "b/collections/d")
        with ThreadPoolExecutor(6) as writers:
            list(writers.map(lambda place: put(server, place), places))
        server.kill9()
        with Receiver(port) as receiver:
            server.start()
            receiver.wait(lambda: len(receiver.received) >= len(places))
            bodies = [request.json for request in receiver.received]
    assert sorted(body["uri"] for body in bodies) == sorted(f"/buckets/{place}" for place in places)
    for collection in ("c", "d"):
        stamps = [body["timestamp"] for body in bodies if body["collection_id"] == collection]
        assert stamps == sorted(stamps)


def test_kill_9_while_the_receiver_has_a_message_but_said_nothing(url: str, directory: Path) -> None:
    """It gets the message again, and knows it by its id."""
    with Receiver() as receiver:
        receiver.says = Says(silent=True)
        with serving(directory, CONFIGURATION.format(url=url, workers=2, hook=receiver.url)) as server:
            server.start()
            write(server, "r1", "r2")
            receiver.wait(lambda: len(receiver.received) == 1)
            server.kill9()
            receiver.says = Says()
            server.start()
            receiver.wait(lambda: len(receiver.received) == 3)
            assert told(receiver) == ["r1", "r1", "r2"]
            first, again, other = (request.headers["webhook-id"] for request in receiver.received)
            assert first == again != other


def kintoun(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["outbox", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def test_an_operator_looks_at_dead_letters_and_has_them_delivered(
    url: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.delenv("KINTOUN_CONFIG", raising=False)
    with Receiver() as receiver:
        receiver.says = Says(410)
        with serving(directory, CONFIGURATION.format(url=url, workers=1, hook=receiver.url)) as server:
            server.start()
            assert kintoun("list") == "There are no dead letters.\n"
            write(server, "r1", "r2", "r3")
            receiver.wait(lambda: len(receiver.received) == 3)
            receiver.wait(lambda: kintoun("list").count("answered 410") == 3)
            assert kintoun("list", "--waiting") == "No message waits.\n"
            letters = [json.loads(line) for line in kintoun("list", "--json").splitlines()]
            assert [letter["target"] for letter in letters] == ["main"] * 3
            assert kintoun("list", "--channel", "slack") == "There are no dead letters.\n"
            receiver.says = Says(200)
            assert kintoun("drop", letters[0]["id"]) == "1 dropped.\n"
            kintoun("drop", letters[0]["id"], code=1)
            kintoun("retry", code=2)
            kintoun("retry", "some", "--all", code=2)
            assert kintoun("retry", "--all", "--channel", "webhooks") == ("2 to be delivered again.\n")
            receiver.wait(lambda: len(receiver.received) == 5)
            assert told(receiver) == ["r1", "r2", "r3", "r2", "r3"]
