"""What publishing costs: many new records at once, and one change among many, reviewed and not."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench import dataset
from bench.bulk import fill
from bench.contenders import Arena
from bench.workloads import expect_status
from tests.support.servers import Server

OWNER = (dataset.USER, dataset.PASSWORD)
SOURCE = f"/buckets/{dataset.BUCKET}/collections"
NEW = 2000
"""Records of the publication of new ones."""


@dataclass(frozen=True)
class Timing:
    """One kind of publication on an engine: seconds from the PATCH to its answer, the median of several."""

    engine: str
    what: str
    records: int
    seconds: float
    slowest: float


HEADINGS = ("engine", "what", "records", "seconds", "slowest")


@contextmanager
def world(arena: Arena, engine: str) -> Iterator[tuple[Server, str]]:
    """A server that signs with a key of its own, publishing one bucket without a preview to another."""
    with tempfile.TemporaryDirectory(prefix="kintoun-bench-") as directory:
        key = Path(directory) / "key.pem"
        form = serialization.PrivateFormat.PKCS8
        private = ec.generate_private_key(ec.SECP384R1())
        key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        includes = "kinto.plugins.accounts kinto.plugins.history kinto_remote_settings.signer"
        server, database = arena.start(
            engine,
            f"publishing {engine}",
            {
                "kinto.includes": includes,
                "kinto.signer.resources": f"/buckets/{dataset.BUCKET} -> /buckets/preview -> /buckets/main",
                "kinto.signer.ecdsa.private_key": str(key),
                "kinto.signer.signer_backend": "kinto_remote_settings.signer.backends.local_ecdsa",
            },
        )
        yield server, database or f"sqlite:{server.directory / 'data' / 'kintoun.sqlite'}"


def measure(arena: Arena, engine: str, among: int, rounds: int) -> list[Timing]:
    """Publish new records, then single changes among *among*."""
    with world(arena, engine) as (server, storage):
        account = {"data": {"password": dataset.PASSWORD}}
        expect_status(httpx.put(f"{server.url}/accounts/{dataset.USER}", json=account, timeout=60), 201)
        with httpx.Client(base_url=server.url, auth=OWNER, timeout=600) as client:
            expect_status(client.put(f"/buckets/{dataset.BUCKET}"), 201)
            new = [_new_records(client, storage, f"new{n}") for n in range(rounds)]
            expect_status(client.put(f"{SOURCE}/many"), 201)
            fill(storage, "many", among, record=signable)
            first = _published(client, "many", "filled")
            single = [_published(client, "many", f"n{n}") for n in range(rounds + 1)]
            review = [_requested(client, "many", f"m{n}") for n in range(rounds)]
    return [
        _timing(engine, f"to-sign, {NEW} new records", NEW, new),
        _timing(engine, f"to-sign, all of {among} new", among, [first]),
        _timing(engine, "to-sign, one change, not read before", among, single[:1]),
        _timing(engine, "to-sign, one change, preview and destination", among, single[1:]),
        _timing(engine, "to-review, one change", among, review),
    ]


def signable(index: int) -> dict[str, Any]:
    """A record of the data set without its floats, which nobody signs."""
    return {name: value for name, value in dataset.record(index).items() if not isinstance(value, float)}


def _new_records(client: httpx.Client, storage: str, collection: str) -> float:
    expect_status(client.put(f"{SOURCE}/{collection}"), 201)
    fill(storage, collection, NEW, record=signable)
    return _published(client, collection, "touched")


def _touch(client: httpx.Client, collection: str, value: str) -> None:
    path = f"{SOURCE}/{collection}/records/touched"
    client.put(path, json={"data": {"v": value}}).raise_for_status()


def _patch(client: httpx.Client, collection: str, status: str) -> float:
    began = time.perf_counter()
    answer = client.patch(f"{SOURCE}/{collection}", json={"data": {"status": status}})
    seconds = time.perf_counter() - began
    expect_status(answer, 200)
    return seconds


def _published(client: httpx.Client, collection: str, value: str) -> float:
    _touch(client, collection, value)
    return _patch(client, collection, "to-sign")


def _requested(client: httpx.Client, collection: str, value: str) -> float:
    _touch(client, collection, value)
    return _patch(client, collection, "to-review")


def _timing(engine: str, what: str, records: int, seconds: list[float]) -> Timing:
    return Timing(engine, what, records, median(seconds), max(seconds))


def lines(timings: list[Timing]) -> list[tuple[str, ...]]:
    """The rows of the table."""
    return [
        (each.engine, each.what, f"{each.records:,}", f"{each.seconds:.3f}", f"{each.slowest:.3f}")
        for each in timings
    ]
