"""Workloads W1 to W9: what is sent, and what one right answer looks like."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench import dataset

BATCH = 25
DIFF = 10
SPREAD = 2000
"""How many different requests a workload over many records cycles through."""
FILTER_LIMIT = 20
COUNT_ABOVE = 100
"""``min_count`` is chosen so that this many records match."""


class WrongAnswerError(Exception):
    """A server answered something else than what is to be measured."""


@dataclass(frozen=True)
class World:
    """What a workload must know about a seeded server."""

    url: str
    """Base URL with the version, ``http://127.0.0.1:8888/v1``."""
    records: int
    """How many records the read collection holds."""
    etag: str = ""
    """ETag of the read collection, with its quotes."""
    before_diff: str = ""
    """ETag of the read collection before its last DIFF records were changed."""
    write: str = dataset.WRITE
    """The collection whose records are replaced."""

    def records_path(self, collection: str) -> str:
        return f"{urlsplit(self.url).path}/buckets/{dataset.BUCKET}/collections/{collection}/records"


@dataclass(frozen=True)
class Request:
    """One HTTP request; *path* is the whole target."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None

    def encode(self, host: str) -> str:
        """The message as HTTP/1.1 wants it."""
        content = "" if self.body is None else json.dumps(self.body, separators=(",", ":"))
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if content:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return "\r\n".join([*lines, "", content])

    def send(self, url: str) -> httpx.Response:
        """Send it alone, to look at the answer."""
        root = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        return httpx.request(
            self.method, root + self.path, headers=dict(self.headers), json=self.body, timeout=60
        )


Check = Callable[[World, httpx.Response], None]


@dataclass(frozen=True)
class Workload:
    """A kind of request, its check, and how many connections send it."""

    key: str
    title: str
    requests: Callable[[World], Sequence[Request]]
    check: Check
    status: int = 200
    """Of a right answer."""
    connections: int = 16
    creates: int = 0
    """How many records one request adds to the CREATE collection."""


def authorization() -> tuple[str, str]:
    token = base64.b64encode(f"{dataset.USER}:{dataset.PASSWORD}".encode()).decode()
    return ("Authorization", f"Basic {token}")


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise WrongAnswerError(f"{what}: {found!r} where {wanted!r} was expected")


def expect_status(response: httpx.Response, wanted: int) -> None:
    if response.status_code != wanted:
        raise WrongAnswerError(f"status {response.status_code}, not {wanted}: {response.text[:300]}")


def _spread(records: int) -> list[int]:
    step = max(1, records // SPREAD)
    return list(range(0, records, step))[:SPREAD]


def _reads(target: str, *headers: tuple[str, str]) -> Callable[[World], Sequence[Request]]:
    """One GET of the read collection, always the same."""
    return lambda world: [Request("GET", world.records_path(dataset.READ) + target, headers)]


def _get_records(*headers: tuple[str, str]) -> Callable[[World], Sequence[Request]]:
    def build(world: World) -> Sequence[Request]:
        base = world.records_path(dataset.READ)
        return [
            Request("GET", f"{base}/{dataset.record_id(index)}", headers) for index in _spread(world.records)
        ]

    return build


def _check_record(_world: World, response: httpx.Response) -> None:
    expect_status(response, 200)
    data = response.json()["data"]
    for name, value in dataset.record(0).items():
        if name != "title":  # it tells the revision, and in one collection W7 replaces what W1 reads
            _expect(f"field {name}", data.get(name), value)
    _expect("id", data["id"], dataset.record_id(0))


def _check_list(count: int, more: bool) -> Check:
    def check(_world: World, response: httpx.Response) -> None:
        expect_status(response, 200)
        data = response.json()["data"]
        _expect("number of records", len(data), count)
        _expect("fields of a record", set(data[0]), {*dataset.record(0), "id", "last_modified"})
        _expect("Next-Page", "Next-Page" in response.headers, more)

    return check


def _poll(*headers: tuple[str, str]) -> Callable[[World], Sequence[Request]]:
    def build(world: World) -> Sequence[Request]:
        condition = ("If-None-Match", world.etag)
        return [Request("GET", world.records_path(dataset.READ), (condition, *headers))]

    return build


def _check_not_modified(_world: World, response: httpx.Response) -> None:
    expect_status(response, 304)
    _expect("length of the body", len(response.content), 0)


def _diff(world: World) -> Sequence[Request]:
    since = world.before_diff.replace('"', "%22")
    return [Request("GET", f"{world.records_path(dataset.READ)}?_since={since}")]


def _check_filter(total: Callable[[World], int]) -> Check:
    listed = _check_list(FILTER_LIMIT, more=True)

    def check(world: World, response: httpx.Response) -> None:
        listed(world, response)
        _expect("matching records", _total(str(response.request.url)), total(world))

    return check


def _total(url: str) -> int:
    return int(httpx.head(url, timeout=60).headers["Total-Objects"])


def _min_count(world: World) -> Sequence[Request]:
    above = world.records - COUNT_ABOVE
    return [
        Request("GET", f"{world.records_path(dataset.READ)}?min_count={above}&_limit={FILTER_LIMIT}"),
    ]


def _puts(world: World) -> Sequence[Request]:
    base = world.records_path(world.write)
    return [
        Request(
            "PUT",
            f"{base}/{dataset.record_id(index)}",
            (authorization(),),
            {"data": dataset.record(index, revision=2)},
        )
        for index in _spread(world.records)
    ]


def _check_put(_world: World, response: httpx.Response) -> None:
    expect_status(response, 200)  # 201 would say that the record had not been there
    _expect("title", response.json()["data"]["title"], dataset.record(0, revision=2)["title"])


def _batches(world: World) -> Sequence[Request]:
    path = world.records_path(dataset.CREATE).removeprefix(urlsplit(world.url).path)
    return [
        Request(
            "POST",
            f"{urlsplit(world.url).path}/batch",
            (authorization(),),
            {
                "defaults": {"method": "POST", "path": path},
                "requests": [{"body": {"data": dataset.record(start + n)}} for n in range(BATCH)],
            },
        )
        for start in range(0, 20 * BATCH, BATCH)
    ]


def _check_batch(_world: World, response: httpx.Response) -> None:
    expect_status(response, 200)
    answers = response.json()["responses"]
    _expect("statuses in the batch", [answer["status"] for answer in answers], [201] * BATCH)
    _expect("ids in the batch", len({answer["body"]["data"]["id"] for answer in answers}), BATCH)


def _count(world: World) -> Sequence[Request]:
    return [Request("HEAD", world.records_path(dataset.READ))]


def _check_count(world: World, response: httpx.Response) -> None:
    expect_status(response, 200)
    _expect("Total-Objects", response.headers.get("Total-Objects"), str(world.records))


WORKLOADS: tuple[Workload, ...] = (
    Workload("W1", "one record, anonymous", _get_records(), _check_record),
    Workload("W1a", "one record, account", _get_records(authorization()), _check_record),
    Workload("W2", "list, `_limit=100`", _reads("?_limit=100"), _check_list(100, more=True)),
    Workload("W3", "list of 1,000", _reads("?_limit=1000"), _check_list(1000, more=True)),
    Workload("W4", "poll answered 304, anonymous", _poll(), _check_not_modified, status=304),
    Workload("W4a", "poll answered 304, account", _poll(authorization()), _check_not_modified, status=304),
    Workload("W5", "diff of 10, `_since`", _diff, _check_list(DIFF, more=False)),
    Workload(
        "W6a",
        "filter `category=x`, limit 20",
        _reads(f"?category=category-07&_limit={FILTER_LIMIT}"),
        _check_filter(lambda world: world.records // dataset.CATEGORIES),
    ),
    Workload("W6b", "filter `min_count=n`, limit 20", _min_count, _check_filter(lambda _: COUNT_ABOVE)),
    Workload("W7", "PUT one record, account", _puts, _check_put),
    Workload("W8", f"batch of {BATCH} creates", _batches, _check_batch, connections=2, creates=BATCH),
    Workload("W9", "HEAD of a list, total count", _count, _check_count),
)


def select(keys: Sequence[str]) -> list[Workload]:
    """The workloads named by *keys* (``W1`` is ``W1a`` too), all for none. Raises KeyError on a stranger."""
    if not keys:
        return list(WORKLOADS)
    for key in keys:
        if not any(workload.key in (key, key + "a", key + "b") for workload in WORKLOADS):
            raise KeyError(key)
    return [w for w in WORKLOADS if w.key in keys or w.key.rstrip("ab") in keys]
