"""What stays the same as a collection grows: requests that should not notice, and the cost of deleting it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import httpx

from bench import bulk, dataset, seed
from bench.contenders import Arena, Contender
from bench.processes import ProcessTree
from bench.workloads import World, expect_status

SIZES = (10_000, 100_000, 1_000_000)
WORKLOADS = ("W1", "W4", "W5", "W7", "W9")
RECLAIM_SECONDS = 3.0
DELETED = 100_000


def contender(arena: Arena, engine: str, records: int, progress: Callable[[str], None]) -> Contender:
    """One of ours with *records* in the one collection that is read and written."""
    label = f"{records:,}"
    server, database = arena.start(engine, f"{engine} {records}")
    seed.make_tree(server.url)
    world = World(server.url, records, write=dataset.READ)
    made = Contender(label, engine, server, world, database)
    bulk.fill(
        made.storage_url,
        dataset.READ,
        records,
        lambda done: progress(f"loading {engine}: {done:,} of {label} records"),
    )
    return made


@dataclass(frozen=True)
class Deletion:
    """One DELETE: what its caller waits, what it costs until the answer and after it (seconds)."""

    records: int
    latency: float
    cpu: float
    cpu_afterwards: float


def delete_once(server: Contender, postgres: ProcessTree | None, records: int, name: str) -> Deletion:
    """Make a collection of *records*, let things settle, and delete it."""
    path = f"/buckets/{dataset.BUCKET}/collections/{name}"
    auth = (dataset.USER, dataset.PASSWORD)
    with httpx.Client(base_url=server.world.url, auth=auth, timeout=120) as client:
        expect_status(client.put(path), 201)
        if records:
            bulk.fill(server.storage_url, name, records)
        time.sleep(0.5)
        expect_status(client.put(f"/buckets/{dataset.BUCKET}", json={}), 200)  # pays for what loading left
        before = _cpu(server, postgres)
        begin = time.perf_counter()
        response = client.delete(path)
        latency = time.perf_counter() - begin
        answered = _cpu(server, postgres)
        expect_status(response, 200)
        expect_status(client.get(path), 404)
    time.sleep(RECLAIM_SECONDS)
    return Deletion(records, latency, answered - before, _cpu(server, postgres) - answered)


def _cpu(server: Contender, postgres: ProcessTree | None) -> float:
    apart = postgres.cpu_seconds() if postgres is not None and server.database else 0.0
    return server.tree.cpu_seconds() + apart


def deletions(
    server: Contender, postgres: ProcessTree, rounds: int, progress: Callable[[str], None]
) -> list[Deletion]:
    """Delete empty and full collections in turn."""
    made = []
    for round_no in range(rounds):
        for records in (0, DELETED):
            progress(f"deleting {records:,} records, {server.label}, round {round_no + 1}/{rounds}")
            made.append(delete_once(server, postgres, records, f"doomed-{round_no}-{records}"))
    return made


DELETION_HEADINGS = ("records", "deletions", "latency ms", "CPU ms", "CPU ms afterwards")


def deletion_lines(made: Sequence[Deletion]) -> list[list[str]]:
    """Medians by size, as text, in the order of DELETION_HEADINGS."""
    lines = []
    for records in sorted({deletion.records for deletion in made}):
        same = [deletion for deletion in made if deletion.records == records]
        figures = [
            median(deletion.latency for deletion in same),
            median(deletion.cpu for deletion in same),
            median(deletion.cpu_afterwards for deletion in same),
        ]
        lines.append([f"{records:,}", str(len(same)), *(f"{seconds * 1e3:,.1f}" for seconds in figures)])
    return lines
