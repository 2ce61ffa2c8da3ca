"""What is counted: requests, the storage, the caches, the process."""

from __future__ import annotations

import asyncio
import collections
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.measures import Cell, Counter, Measures
from kintoun.resources.service import Service
from kintoun.storage import Call
from kintoun.storage.rows import Unavailable

log = structlog.get_logger()

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

DATABASE_SECONDS = 30.0
"""How old what is told of the database as a whole can be."""

LOOK_SECONDS = 5.0
"""How long asking the database for it may take; then it is left out."""

_CLOCKS = (
    "SELECT (SELECT count(*) FROM unlinked), count(*), coalesce(sum(live), 0), coalesce(sum(dead), 0),"
    " coalesce(sum(bytes), 0) FROM clock WHERE list IS NOT NULL"
)
_LEASES = "SELECT name FROM lease"


class Requests:
    """Counts answers: an observer of requests. It is called for each one, so it spares calls."""

    def __init__(self, measures: Measures, bounds: Sequence[float]) -> None:
        self._measures = measures
        self._served = measures.counter(
            "request_summary_total", "Requests answered.", ("method", "endpoint", "status")
        )
        self._durations = measures.histogram(
            "request_duration_seconds", "How long requests took.", ("method", "endpoint"), bounds
        )
        self._sizes = measures.summary(
            "request_size", "Bytes of the bodies of answers.", ("method", "endpoint")
        )
        self._batched = measures.counter(
            "batch_items_total", "Requests of batches answered.", ("method", "endpoint", "status")
        )
        self._users = measures.counter(
            "authentication_total", "Requests whose user was recognised, by the policy that did.", ("type",)
        )
        self._bounds = self._durations.bounds
        self._last = len(self._bounds) + 1
        self._known: dict[tuple[str, Endpoint | None, int], tuple[Cell, Cell, Cell]] = {}
        self._policies: dict[str, Cell] = {}

    def observe(self, request: Request, answer: Answer, user: str | None, seconds: float) -> None:
        """Count one answer."""
        if request.in_batch:
            self._batched.add(1, _method(request.method), _endpoint(request, answer), str(answer.status))
            return
        try:
            served, duration, size = self._known[request.method, request.endpoint, answer.status]
        except KeyError:
            served, duration, size = self._cells(request, answer)
        numbers = self._measures.numbers
        numbers[served.at] += 1
        at = duration.at
        numbers[at + bisect_left(self._bounds, seconds)] += 1
        numbers[at + self._last] += seconds
        at = size.at
        numbers[at] += 1
        numbers[at + 1] += len(answer.body)
        if user is not None:
            policy = user[: user.find(":")]
            try:
                cell = self._policies[policy]
            except KeyError:
                cell = self._policies[policy] = self._users.of(policy)
            numbers[cell.at] += 1

    def observe_ready(self, request: Request, answer: Answer, seconds: Sequence[float]) -> None:
        """Count an answer that was sent many times."""
        served, duration, size = self._cells(request, answer)
        times = len(seconds)
        served.add(times)
        numbers = self._measures.numbers
        numbers[size.at] += times
        numbers[size.at + 1] += times * len(answer.body)
        for n, many in collections.Counter(bisect_left(self._bounds, each) for each in seconds).items():
            numbers[duration.at + n] += many
        numbers[duration.at + self._last] += sum(seconds)

    def _cells(self, request: Request, answer: Answer) -> tuple[Cell, Cell, Cell]:
        method, name = _method(request.method), _endpoint(request, answer)
        cells = (
            self._served.of(method, name, str(answer.status)),
            self._durations.of(method, name),
            self._sizes.of(method, name),
        )
        if request.method in METHODS:
            self._known[request.method, request.endpoint, answer.status] = cells
        return cells


def _endpoint(request: Request, answer: Answer) -> str:
    if request.endpoint is not None:
        return request.endpoint.name
    return "unknown" if answer.status == 404 else "unnamed"


def _method(method: str) -> str:
    return method.lower() if method in METHODS else "other"


def watch_storage(service: Service, bounds: Sequence[float]) -> None:
    """Time what the storage is asked, and the groups of writes that it commits."""
    measures = service.measures
    durations = measures.histogram(
        "backend_storage_seconds", "How long the storage took.", ("method",), bounds
    )
    sizes = measures.histogram("commit_group_size", "How many writes shared a commit.", bounds=GROUP_SIZES)
    commits = measures.histogram(
        "commit_seconds", "How long a group of writes took, from the first lock to the disk.", bounds=bounds
    )
    failures = measures.counter("backend_storage_unavailable_total", "Times that the storage did not answer.")

    def wrap(name: str, call: Call) -> Call:
        cell, bounds, clock = durations.of(name), durations.bounds, time.perf_counter
        last = len(bounds) + 1

        async def timed(*args: Any) -> Any:
            began = clock()
            try:
                answer = await call(*args)
            except BaseException as error:
                durations.observe_in(cell, clock() - began)
                if isinstance(error, Unavailable):
                    failures.add()
                raise
            seconds = clock() - began
            # As `observe_in` does, without a call.
            numbers, at = measures.numbers, cell.at
            numbers[at + bisect_left(bounds, seconds)] += 1
            numbers[at + last] += seconds
            return answer

        return timed

    def committed(size: int, seconds: float) -> None:
        sizes.observe(size)
        commits.observe(seconds)

    service.store.watch(wrap)
    service.store.watch_groups(committed)


class Sampler:
    """Looks now and then at what counts itself."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.measures = measures = service.measures
        self._last: dict[Counter, float] = {}
        self._began = time.time()
        self._looked = -DATABASE_SECONDS
        self._hits = measures.counter("cache_hits_total", "Lists answered with a page that was kept.")
        self._misses = measures.counter("cache_misses_total", "Lists of which a page had to be made.")
        self._cpu = measures.counter("process_cpu_seconds_total", "CPU time of the workers.", ("worker",))
        self._rss = measures.gauge("process_resident_memory_bytes", "Memory of the workers.", ("worker",))
        self._start = measures.gauge("process_start_time_seconds", "When the workers started.", ("worker",))
        self._workers = measures.gauge("workers", "Workers that are alive.")
        self._connections = measures.gauge(
            "storage_pool_connections", "Connections to the database, by what they do.", ("state",)
        )
        self._lists = measures.gauge("lists", "Lists, as their clocks count them.", combine="own")
        self._objects = measures.gauge(
            "objects", "Objects in all lists, by whether they are live or deleted.", ("state",), "own"
        )
        self._bytes = measures.gauge("objects_bytes", "Bytes of JSON in all objects.", combine="own")
        self._backlog = measures.gauge(
            "reclaim_backlog_lists", "Lists of deleted parents that still take space.", combine="own"
        )
        self._leases = measures.gauge("leases", "Background work that some worker holds.", ("name",), "own")

    def sample(self) -> None:
        """Look at this process."""
        worker = str(self.measures.worker)
        pages = self._service.pages
        self._follow(self._hits, pages.hits)
        self._follow(self._misses, pages.misses)
        self._follow(self._cpu, time.process_time(), worker)
        self._rss.set(_resident(), worker)
        self._start.set(self._began, worker)
        self._workers.set(1)
        for state, count in self._service.store.connections().items():
            self._connections.set(count, state)

    def _follow(self, counter: Counter, value: float, *labels: str) -> None:
        counter.add(value - self._last.get(counter, 0.0), *labels)
        self._last[counter] = value

    async def look(self) -> None:
        """Look at this process, and at the database when that is some time ago."""
        self.sample()
        if time.monotonic() - self._looked < DATABASE_SECONDS:
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                ((backlog, lists, live, dead, size),) = await self._service.store.fetch(_CLOCKS)
                leases = await self._service.store.fetch(_LEASES)
        except (Unavailable, TimeoutError) as error:
            log.warning("the database was not counted", error=str(error))
            return
        self._looked = time.monotonic()
        self._backlog.set(backlog)
        self._lists.set(lists)
        self._objects.set(float(live), "live")
        self._objects.set(float(dead), "deleted")
        self._bytes.set(float(size))
        held = {row[0] for row in leases}
        for (name,) in [*self._leases.cells, *((name,) for name in held)]:
            self._leases.set(name in held, name)


def _resident() -> int:
    """Bytes of memory that this process takes."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
