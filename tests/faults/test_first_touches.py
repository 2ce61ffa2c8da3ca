"""First touches of a personal bucket that come at once to several workers make one of everything."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import start_kintoun

SETTINGS = {
    "multiauth.policies": "basicauth",
    "kinto.userid_hmac_secret": "of the tests",
    "kinto.default_bucket_hmac_secret": "of the tests",
    "kinto.includes": "kinto.plugins.default_bucket",
}
CALLERS = 12
ROUNDS = 5


@pytest.mark.parametrize("engine", ENGINES)
def test_first_touches_in_several_workers(engine: str, postgres: Postgres) -> None:
    settings = dict(SETTINGS)
    if engine == "postgresql":
        for part in ("storage", "permission", "cache"):
            settings[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
        settings["kinto.storage_url"] = postgres.create_database()
    with start_kintoun(settings, workers=2) as server, ThreadPoolExecutor(CALLERS) as threads:
        start = threading.Barrier(CALLERS)

        def touch(number: int, who: int) -> tuple[int, object]:
            tasks = f"{server.url}/buckets/default/collections/tasks"
            batch = {"requests": [{"method": "PUT", "path": "/buckets/default/collections/tasks/records/b"}]}
            # A connection of its own for each, so that the kernel spreads them over the workers.
            with httpx.Client(auth=(f"user{who}", "pw"), timeout=60) as client:
                client.get(f"{server.url}/")
                start.wait(60)
                if number % 3 == 0:
                    answer = client.get(f"{tasks}/records")
                elif number % 3 == 1:
                    answer = client.put(f"{tasks}/records/r{number}", json={"data": {}})
                else:
                    answer = client.post(f"{server.url}/batch", json=batch)
                return answer.status_code, client.get(tasks).json()["data"]["last_modified"]

        for who in range(ROUNDS):
            outcomes = list(threads.map(touch, range(CALLERS), [who] * CALLERS))
            assert {status for status, _ in outcomes} <= {200, 201}, server.log()[-2000:]
            assert len({timestamp for _, timestamp in outcomes}) == 1, (
                "the collection was made more than once"
            )
        assert "Traceback" not in server.log()
