"""Put the same data on every server, and learn what the workloads must know about it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import msgspec

from bench import dataset
from bench.workloads import BATCH, DIFF, Workload, World, expect_status

COLLECTIONS = (dataset.READ, dataset.WRITE, dataset.CREATE)


class _Answer(msgspec.Struct):
    status: int


class _Answers(msgspec.Struct):
    responses: list[_Answer]


def _client(url: str) -> httpx.Client:
    auth = (dataset.USER, dataset.PASSWORD)
    return httpx.Client(base_url=url, auth=auth, timeout=120)


def make_tree(url: str) -> None:
    """The account, the bucket that everybody may read, and its collections."""
    account = {"data": {"password": dataset.PASSWORD}}
    expect_status(httpx.put(f"{url}/accounts/{dataset.USER}", json=account, timeout=60), 201)
    with _client(url) as client:
        bucket = f"/buckets/{dataset.BUCKET}"
        expect_status(client.put(bucket, json={"permissions": {"read": ["system.Everyone"]}}), 201)
        for collection in COLLECTIONS:
            expect_status(client.put(f"{bucket}/collections/{collection}"), 201)


def load_over_http(url: str, collection: str, records: int) -> None:
    """Create records by batches, as a client would."""
    path = f"/buckets/{dataset.BUCKET}/collections/{collection}/records"
    with _client(url) as client:
        for start in range(0, records, BATCH):
            body = {
                "defaults": {"method": "PUT"},
                "requests": [
                    {"path": f"{path}/{dataset.record_id(index)}", "body": {"data": dataset.record(index)}}
                    for index in range(start, min(start + BATCH, records))
                ],
            }
            content = msgspec.json.encode(body)
            response = client.post("/batch", content=content, headers={"Content-Type": "application/json"})
            expect_status(response, 200)
            answers = msgspec.json.decode(response.content, type=_Answers).responses
            refused = [answer.status for answer in answers if answer.status != 201]
            if refused:
                raise RuntimeError(f"{len(refused)} of a batch refused, with {set(refused)}")


def load_kinto_by_sql(database: str, collection: str, records: int) -> None:
    """Put records into Kinto's own tables: over HTTP it takes some 90 a second."""
    parent = f"/buckets/{dataset.BUCKET}/collections/{collection}"
    stamps = dataset.timestamps(int(time.time() * 1000), records)
    rows = [
        (dataset.record_id(index), parent, stamps[index] / 1000, json.dumps(dataset.record(index)))
        for index in range(records)
    ]
    grants = [(f"{parent}/records/{row[0]}", f"account:{dataset.USER}") for row in rows]

    async def insert() -> None:
        connection = await asyncpg.connect(database)
        try:
            await connection.executemany(
                "INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)"
                " VALUES ($1, $2, 'record', to_timestamp($3) AT TIME ZONE 'UTC', $4, FALSE)",
                rows,
            )
            await connection.executemany(
                "INSERT INTO access_control_entries (object_id, permission, principal)"
                " VALUES ($1, 'write', $2)",
                grants,
            )
        finally:
            await connection.close()

    asyncio.run(insert())


def touch_last(world: World) -> World:
    """Change the last DIFF records of the read collection; returns the world with its new ETags."""
    path = f"/buckets/{dataset.BUCKET}/collections/{dataset.READ}/records"
    with _client(world.url) as client:
        before = client.head(path).headers["ETag"]
        for index in range(world.records - DIFF, world.records):
            body: dict[str, Any] = {"data": dataset.record(index, revision=1)}
            expect_status(client.put(f"{path}/{dataset.record_id(index)}", json=body), 200)
        etag = client.head(path).headers["ETag"]
    return replace(world, etag=etag, before_diff=before)


def count_created(url: str) -> int:
    """How many records the batches have created so far."""
    path = f"{url}/buckets/{dataset.BUCKET}/collections/{dataset.CREATE}/records"
    return int(httpx.head(path, timeout=60).headers["Total-Objects"])


def check_answers(world: World, workloads: Sequence[Workload]) -> None:
    """Send one request of each workload and look at its answer. Raises WrongAnswerError."""
    for workload in workloads:
        request = workload.requests(world)[0]
        workload.check(world, request.send(world.url))
