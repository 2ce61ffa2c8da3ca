"""The interleaved run: A B C, A B C, … for every workload and round, so the machine's mood hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench import seed
from bench.contenders import Contender, vacuum
from bench.load import LoadResult, Plan, run_load
from bench.processes import ProcessTree
from bench.stats import median_or_none
from bench.workloads import Workload

WARM_SECONDS = 0.2


@dataclass(frozen=True)
class Sample:
    """One workload on one server in one round. CPU in microseconds per request, latencies in milliseconds."""

    server_cpu: float | None
    postgres_cpu: float | None
    per_second: float
    p50: float | None
    p99: float | None
    completed: int
    errors: int
    first_error: str | None


@dataclass
class Series:
    """The samples of one workload on one server."""

    samples: list[Sample] = field(default_factory=list)

    def values(self, name: str) -> list[float | None]:
        return [getattr(sample, name) for sample in self.samples]

    def median(self, name: str) -> float | None:
        return median_or_none(self.values(name))

    def total(self, name: str) -> int:
        return sum(getattr(sample, name) for sample in self.samples)

    def with_postgres(self) -> list[float | None]:
        """Server and PostgreSQL together, round by round."""
        return [
            None if sample.server_cpu is None else sample.server_cpu + (sample.postgres_cpu or 0.0)
            for sample in self.samples
        ]


Results = dict[str, dict[str, Series]]
"""By workload key, then by contender label."""


def make_plan(workload: Workload, contender: Contender, seconds: float, shuffle_seed: int) -> Plan:
    parts = urlsplit(contender.world.url)
    assert parts.hostname is not None
    assert parts.port is not None
    requests = [request.encode(parts.netloc) for request in workload.requests(contender.world)]
    return Plan(
        parts.hostname, parts.port, workload.connections, seconds, requests, workload.status, shuffle_seed
    )


def measure(
    workload: Workload, contender: Contender, postgres: ProcessTree | None, seconds: float, round_no: int
) -> Sample:
    """One sample. A lone request goes first, so that sixteen do not hash a password at once in the window."""
    first = workload.requests(contender.world)[0]
    first.send(contender.world.url)
    run_load(make_plan(workload, contender, min(WARM_SECONDS, seconds), round_no))
    created = seed.count_created(contender.world.url) if workload.creates else 0
    apart = postgres if contender.database is not None else None
    before = contender.tree.cpu_seconds(), apart.cpu_seconds() if apart else 0.0
    load = run_load(make_plan(workload, contender, seconds, round_no))
    server = contender.tree.cpu_seconds() - before[0]
    database = apart.cpu_seconds() - before[1] if apart else None
    if workload.creates:
        _check_created(workload, contender, load, created)
    return to_sample(load, server, database)


def _check_created(workload: Workload, contender: Contender, load: LoadResult, before: int) -> None:
    """Every batch answered 200 must have created its records: inner statuses are not looked at under load."""
    created = seed.count_created(contender.world.url) - before
    promised = (load.completed - load.errors + load.lost) * workload.creates
    if created != promised:
        load.lost += max(1, abs(promised - created) // workload.creates)
        load.first_error = f"{created} records were created where the answers promise {promised}"


def to_sample(load: LoadResult, server_cpu: float, postgres_cpu: float | None) -> Sample:
    """Divide the CPU seconds of a window by the requests answered in it."""

    def each(seconds: float | None) -> float | None:
        return None if seconds is None or not load.completed else seconds * 1e6 / load.completed

    def milliseconds(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * 1e3

    return Sample(
        server_cpu=each(server_cpu),
        postgres_cpu=each(postgres_cpu),
        per_second=load.per_second,
        p50=milliseconds(load.p50),
        p99=milliseconds(load.p99),
        completed=load.completed,
        errors=load.errors,
        first_error=load.first_error,
    )


def interleave(
    contenders: Sequence[Contender],
    workloads: Sequence[Workload],
    postgres: ProcessTree,
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> Results:
    """Check one answer of each workload on each server, then measure. Raises WrongAnswerError."""
    results: Results = {w.key: {c.label: Series() for c in contenders} for w in workloads}
    for round_no in range(rounds):
        vacuum(contenders)
        for contender in contenders:
            contender.world = seed.touch_last(contender.world)
            seed.check_answers(contender.world, workloads)
            contender.world = seed.touch_last(contender.world)  # looking at the answer of a PUT wrote
        for workload in workloads:
            for turn in range(len(contenders)):
                contender = contenders[(turn + round_no) % len(contenders)]
                progress(f"round {round_no + 1}/{rounds}  {workload.key}  {contender.label}")
                sample = measure(workload, contender, postgres, seconds, round_no)
                results[workload.key][contender.label].samples.append(sample)
                time.sleep(0.05)  # let the server close what the generator left
    return results
