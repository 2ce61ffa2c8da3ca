"""What `GET /permissions` costs: who owns everything, who has a few grants, and nobody in particular."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import httpx

from bench import bulk, dataset, seed
from bench.contenders import KINTO, Arena
from bench.processes import ProcessTree
from bench.workloads import expect_status
from tests.support.servers import Server

COLLECTIONS = 100
FEW = 5
FRIEND = "friend"
"""The account that may read a few records."""

SETTINGS = {"kinto.experimental_permissions_endpoint": "true"}

OWNER = (dataset.USER, dataset.PASSWORD)
CALLERS: dict[str, tuple[str, str] | None] = {
    "owner": OWNER,
    "a few": (FRIEND, dataset.PASSWORD),
    "anonymous": None,
}
QUERIES = {
    "all of it": "",
    "a page of 100": "?_limit=100",
    "a page of 100, sorted by id": "?_limit=100&_sort=id",
    "without records": "?exclude_resource_name=record,group",
    "one id": "?id=c7",
    "writable": "?contains_permissions=write&_limit=100",
}
KINTO_QUERIES = ("all of it", "a page of 100", "without records", "one id")


@dataclass(frozen=True)
class Timing:
    """One question by one caller: medians in seconds; `unchanged` is the latency of its 304."""

    engine: str
    objects: int
    caller: str
    query: str
    entries: int
    latency: float
    cpu: float
    unchanged: float | None


def world(arena: Arena, engine: str, objects: int) -> tuple[Server, str | None]:
    """A server with a bucket of 100 collections, in which *objects* records are the owner's own."""
    server, database = arena.start(engine, f"permissions {engine}", SETTINGS)
    seed.make_tree(server.url)
    friend = {"data": {"password": dataset.PASSWORD}}
    expect_status(httpx.put(f"{server.url}/accounts/{FRIEND}", json=friend, timeout=60), 201)
    bucket = f"/buckets/{dataset.BUCKET}"
    with httpx.Client(base_url=server.url, auth=OWNER, timeout=300) as client:
        for number in range(COLLECTIONS):
            name = f"c{number}"
            expect_status(client.put(f"{bucket}/collections/{name}"), 201)
            records = objects // COLLECTIONS
            if engine == KINTO:
                assert database is not None
                seed.load_kinto_by_sql(database, name, records)
            else:
                bulk.fill(storage_url(server, database), name, records)
        for number in range(FEW):
            path = f"{bucket}/collections/c{number}/records/{dataset.record_id(number)}"
            expect_status(client.patch(path, json={"permissions": {"read": [f"account:{FRIEND}"]}}), 200)
    return server, database


def storage_url(server: Server, database: str | None) -> str:
    return database or f"sqlite:{server.directory / 'data' / 'kintoun.sqlite'}"


def measure(
    arena: Arena, engine: str, objects: int, calls: int, progress: Callable[[str], None]
) -> list[Timing]:
    """Every question by every caller, *calls* times each."""
    progress(f"loading {objects:,} records into {engine}")
    server, database = world(arena, engine, objects)
    trees = [ProcessTree(server.pid)] + ([arena.postgres_tree] if database is not None else [])
    timings = []
    for caller, auth in CALLERS.items():
        with httpx.Client(base_url=server.url, auth=auth, timeout=900) as client:
            for query in QUERIES if engine != KINTO else KINTO_QUERIES:
                progress(f"{engine}: {caller}, {query}")
                timings.append(_timing(client, trees, engine, objects, caller, query, calls))
    return timings


def _timing(
    client: httpx.Client,
    trees: list[ProcessTree],
    engine: str,
    objects: int,
    caller: str,
    query: str,
    calls: int,
) -> Timing:
    path = f"/permissions{QUERIES[query]}"
    latencies, costs, unchanged = [], [], []
    for _ in range(calls):
        _touch(client)
        before = sum(tree.cpu_seconds() for tree in trees)
        begin = time.perf_counter()
        answer = client.get(path)
        latencies.append(time.perf_counter() - begin)
        costs.append(sum(tree.cpu_seconds() for tree in trees) - before)
        expect_status(answer, 200)
        if engine != KINTO:
            begin = time.perf_counter()
            expect_status(client.get(path, headers={"If-None-Match": answer.headers["ETag"]}), 304)
            unchanged.append(time.perf_counter() - begin)
    entries = len(answer.json()["data"])
    again = median(unchanged) if unchanged else None
    return Timing(engine, objects, caller, query, entries, median(latencies), median(costs), again)


def _touch(client: httpx.Client) -> None:
    """Change a record, so that nothing which was kept from before can answer."""
    record = f"buckets/{dataset.BUCKET}/collections/c0/records/{dataset.record_id(0)}"
    url = f"{client.base_url}{record}"
    expect_status(httpx.patch(url, json={"data": {"touched": time.time()}}, auth=OWNER, timeout=60), 200)


HEADINGS = ("server", "records", "caller", "question", "entries", "latency ms", "CPU ms", "304 ms")


def lines(timings: list[Timing]) -> list[list[str]]:
    """Timings as text, in the order of HEADINGS."""
    return [
        [
            timing.engine,
            f"{timing.objects:,}",
            timing.caller,
            timing.query,
            f"{timing.entries:,}",
            f"{timing.latency * 1e3:,.1f}",
            f"{timing.cpu * 1e3:,.1f}",
            "" if timing.unchanged is None else f"{timing.unchanged * 1e3:,.1f}",
        ]
        for timing in timings
    ]
