"""kill -9 under load, with history: there is no change without an entry, and no entry without its change."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kintoun
from tests.sync.world import ENGINES, settings

KILLS = 2
WRITERS = 4
BUCKET = "/buckets/b"
RECORDS = f"{BUCKET}/collections/c/records"
AUTH = "Basic " + base64.b64encode(b"alice:secret").decode()


def client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Authorization": AUTH}, timeout=30)


def write_until(server: Server, done: threading.Event, seed: int) -> None:
    """Write at random; requests fail while the server is down."""
    dice = random.Random(seed)
    while not done.is_set():
        with suppress(httpx.HTTPError), client(server) as http:
            while not done.is_set():
                path = f"{RECORDS}/r{dice.randrange(12)}"
                what = dice.randrange(4)
                if what == 0:
                    http.delete(path)
                elif what == 1:
                    items = [
                        {"path": f"{RECORDS}/r{dice.randrange(12)}", "body": {"data": {"n": n}}}
                        for n in range(5)
                    ]
                    http.post("/batch", json={"defaults": {"method": "PUT"}, "requests": items})
                else:
                    http.put(path, json={"data": {"n": dice.randrange(100)}})
        time.sleep(0.02)


def check(server: Server) -> None:
    """Every record is as its newest entry tells, and no change of the list lacks its entry."""
    with client(server) as http:
        records = {item["id"]: item for item in http.get(f"{RECORDS}?_since=0").json()["data"]}
        newest: dict[str, Any] = {}
        url: str | None = f"{BUCKET}/history?resource_name=record&_limit=5000"
        while url is not None:
            response = http.get(url)
            assert response.status_code == 200, response.text
            for entry in response.json()["data"]:
                newest.setdefault(entry["record_id"], entry["target"]["data"])
            url = response.headers.get("Next-Page")
        assert newest, "nothing was written"
        assert {name: newest.get(name) for name in records} == records
        assert newest.keys() == records.keys()
        # The list can be read as it was at its beginning only when the changes since are there without a gap.
        past = http.get(f"{RECORDS}?_at=1")
        assert past.status_code == 200, past.text
        assert past.json() == {"data": []}


@pytest.mark.parametrize("engine", ENGINES)
def test_history_and_objects_survive_together(engine: str, postgres: Postgres) -> None:
    uri = postgres.create_database() if engine == "postgresql" else None
    server = start_kintoun({**settings(uri), "kinto.includes": "kinto.plugins.history"})
    done = threading.Event()
    writers = [
        threading.Thread(target=write_until, args=(server, done, seed), daemon=True)
        for seed in range(WRITERS)
    ]
    try:
        with client(server) as http:
            http.put(BUCKET).raise_for_status()
            http.put(f"{BUCKET}/collections/c").raise_for_status()
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            written_by(server)
            server.kill9()
            server.start()
            check_while_writing(server)
        written_by(server)
        done.set()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
        check(server)
    finally:
        done.set()
        server.close()


def written_by(server: Server) -> None:
    """Wait until there is more to lose."""
    deadline = time.monotonic() + 60
    with client(server) as http:
        before = total(http)
        while total(http) < before + 30:
            assert time.monotonic() < deadline, "the writers do not write"
            time.sleep(0.01)


def total(http: httpx.Client) -> int:
    return int(http.head(f"{BUCKET}/history").headers["Total-Objects"])


def check_while_writing(server: Server) -> None:
    """The list is known since its beginning, whatever is being written."""
    with client(server) as http:
        past = http.get(f"{RECORDS}?_at=1")
    assert past.status_code == 200, json.dumps(past.json())
