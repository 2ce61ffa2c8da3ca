"""A bucket is filled to its limit by many writers, to several workers, and never beyond."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import start_kintoun

LIMIT, WRITERS, WRITES = 50, 6, 15
SETTINGS = {
    "multiauth.policies": "basicauth",
    "kinto.userid_hmac_secret": "of the tests",
    "kinto.includes": "kinto.plugins.quotas",
    "kinto.quotas.bucket_max_items": str(LIMIT),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_workers_share_the_room(engine: str, postgres: Postgres) -> None:
    settings = dict(SETTINGS)
    if engine == "postgresql":
        settings["kinto.storage_backend"] = "kinto.core.storage.postgresql"
        settings["kinto.storage_url"] = postgres.create_database()
    with start_kintoun(settings, workers=2) as server, ThreadPoolExecutor(WRITERS) as threads:
        bucket = f"{server.url}/buckets/b"

        def write(number: int) -> list[int]:
            # A connection for each: the kernel spreads them over the workers.
            with httpx.Client(auth=("alice", "pw"), timeout=60) as client:
                records = f"{bucket}/collections/c{number % 3}/records"
                return [client.put(f"{records}/w{number}-{n}").status_code for n in range(WRITES)]

        with httpx.Client(auth=("alice", "pw"), timeout=60) as client:
            for path in ("", *(f"/collections/c{n}" for n in range(3))):
                assert client.put(f"{bucket}{path}").status_code == 201
            statuses = [status for one in threads.map(write, range(WRITERS)) for status in one]
            assert set(statuses) == {201, 507}, server.log()[-2000:]
            assert statuses.count(201) == LIMIT
            counts = [
                client.head(f"{bucket}/collections/c{n}/records").headers["Total-Objects"] for n in range(3)
            ]
            assert sum(map(int, counts)) == LIMIT
            gone = client.get(f"{bucket}/collections/c0/records").json()["data"][:2]
            for record in gone:
                client.delete(f"{bucket}/collections/c0/records/{record['id']}")
            more = [client.post(f"{bucket}/collections/c1/records", json={}).status_code for _ in range(3)]
            assert more == [201, 201, 507]
        assert "Traceback" not in server.log()
