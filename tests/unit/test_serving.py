"""The processes: starting, what is said, stopping, and what becomes of a worker that dies."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ports import accepts
from tests.support.processes import KINTOUN, SECONDS, Serving


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Serving]]:
    servers: list[Serving] = []
    yield servers
    for server in servers:
        server.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_once_that_it_is_ready_and_stops_when_asked(
    tmp_path: Path, started: list[Serving], number: int
) -> None:
    server = Serving(tmp_path, "--data", "d", "--workers", "2")
    started.append(server)
    server.ready()
    assert httpx.get(f"{server.url}/").json()["project_name"] == "kintoun"
    assert len(server.workers()) == 2
    assert server.stop(number) == 0
    assert not accepts(server.port)
    (line,) = server.log.read_text().splitlines()
    assert line.startswith("Kintoun ")
    assert line.endswith(f"is ready: {server.url}/")


def test_requests_under_way_are_answered_before_it_stops(tmp_path: Path, started: list[Serving]) -> None:
    (tmp_path / "kintoun.toml").write_text(
        'features = ["basicauth"]\n[[policies]]\nname = "basicauth"\nuse = "basicauth"\n'
    )
    server = Serving(tmp_path, "--data", "d")
    started.append(server)
    server.ready()
    statuses: list[int] = []
    stopping = threading.Event()

    def write() -> None:
        with httpx.Client(auth=("a", "b")) as client:
            for number in range(2000):
                try:
                    statuses.append(client.put(f"{server.url}/buckets/b{number}").status_code)
                except httpx.TransportError:
                    assert stopping.is_set(), "a connection broke before the server was asked to stop"
                    return

    writer = threading.Thread(target=write)
    writer.start()
    server.wait_for(lambda: len(statuses) > 20)
    stopping.set()
    assert server.stop() == 0
    writer.join(SECONDS)
    assert set(statuses) == {201}
    again = Serving(tmp_path, "--data", "d")
    started.append(again)
    again.ready()
    kept = httpx.get(f"{again.url}/buckets", auth=("a", "b")).json()["data"]
    assert len(kept) in (len(statuses), len(statuses) + 1)
    assert again.stop() == 0


def test_a_second_server_on_the_same_address_is_refused(tmp_path: Path, started: list[Serving]) -> None:
    server = Serving(tmp_path, "--data", "d")
    started.append(server)
    server.ready()
    command = [KINTOUN, "serve", "--port", str(server.port), "--data", "other"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 5
    assert "Address already in use" in done.stderr
    assert server.stop() == 0


def test_a_worker_that_dies_is_replaced(tmp_path: Path, started: list[Serving]) -> None:
    server = Serving(tmp_path, "--data", "d")
    started.append(server)
    server.ready()
    (worker,) = server.workers()
    worker.kill()

    def replaced() -> bool:
        present = server.workers()
        return bool(present) and present[0].pid != worker.pid and accepts(server.port)

    server.wait_for(replaced)
    assert httpx.get(f"{server.url}/__heartbeat__", timeout=SECONDS).status_code == 200
    assert server.stop() == 0


def test_an_ini_without_data_leaves_nothing_behind(tmp_path: Path, started: list[Serving]) -> None:
    (tmp_path / "kinto.ini").write_text("[app:main]\nuse = egg:kinto\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    server = Serving(
        tmp_path, "--kinto-ini", "kinto.ini", TMPDIR=str(temporary), KINTO_BATCH_MAX_REQUESTS="7"
    )
    started.append(server)
    server.ready()
    assert len(list(temporary.glob("*/kintoun.sqlite"))) == 1
    root = httpx.get(f"{server.url}/").json()
    assert (root["project_name"], root["settings"]["batch_max_requests"]) == ("kinto", 7)
    assert server.stop() == 0
    assert list(temporary.iterdir()) == []


def test_the_first_account_may_log_in(tmp_path: Path, started: list[Serving]) -> None:
    subprocess.run([KINTOUN, "init", "--quiet"], cwd=tmp_path, check=True, timeout=SECONDS)
    server = Serving(tmp_path, "--admin", "root", KINTOUN_ADMIN_PASSWORD="pw")
    started.append(server)
    server.ready()
    me = httpx.get(f"{server.url}/", auth=("root", "pw")).json()["user"]
    assert me["id"] == "account:root"
    assert "pw" not in server.log.read_text().split()
    assert server.stop() == 0
