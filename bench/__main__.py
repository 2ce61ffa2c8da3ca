"""The command line of the benchmark."""

from __future__ import annotations

import functools
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench import attachments as uploading
from bench import curve as growth
from bench import live as live_streams
from bench import logins, report
from bench import openid as bearers
from bench import permissions as listing
from bench import profile as profiler
from bench import publication as published
from bench import publishing as publications
from bench.campaign import Results, interleave
from bench.contenders import ENGINES, HISTORY, KINTO, OURS, Arena, Contender, arena
from bench.floors import WORKER_RSS_BYTES
from bench.workloads import WORKLOADS, Workload, select

QUICK_ROUNDS, QUICK_SECONDS = 2, 1.0
TABLE_WIDTH = 140


@dataclass(frozen=True)
class Job:
    """What every command is asked: which workloads, how often, how long, and where the results go."""

    workloads: list[Workload]
    rounds: int
    seconds: float
    records: int
    json_file: Path | None
    markdown: Path | None


def split(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def split_engines(context: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    named = split(context, parameter, value)
    if strangers := [engine for engine in named if engine not in OURS]:
        raise click.BadParameter(f"{', '.join(strangers)}: the engines are {', '.join(OURS)}")
    return [engine for engine in OURS if engine in named]


def takes_job(default_workloads: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a Job, and pass it as its first argument."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--only", default=default_workloads, callback=split, help="Workloads, e.g. W1,W7.")
        @click.option("--rounds", default=5, show_default=True, help="How often each workload is measured.")
        @click.option("--seconds", default=4.0, show_default=True, help="Length of one measurement.")
        @click.option("--quick", is_flag=True, help=f"{QUICK_ROUNDS} rounds of {QUICK_SECONDS:g} s.")
        @click.option("--records", default=8_000, show_default=True, help="Records per collection.")
        @click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write everything here.")
        @click.option("--markdown", type=click.Path(path_type=Path, exists=True), help="Document to update.")
        @functools.wraps(command)
        def wrapper(
            *,
            only: list[str],
            rounds: int,
            seconds: float,
            quick: bool,
            records: int,
            json_file: Path | None,
            markdown: Path | None,
            **more: Any,
        ) -> None:
            if quick:
                rounds, seconds = QUICK_ROUNDS, QUICK_SECONDS
            command(Job(_workloads(only), rounds, seconds, records, json_file, markdown), **more)

        return wrapper

    return decorate


engines_option = click.option(
    "--engines", default=",".join(OURS), callback=split_engines, help="Which of ours.", show_default=True
)


def _workloads(only: list[str]) -> list[Workload]:
    try:
        return select(only)
    except KeyError as unknown:
        known = ", ".join(workload.key for workload in WORKLOADS)
        raise click.BadParameter(f"{unknown}: the workloads are {known}") from None


class Desk:
    """Where the results go: terminal, JSON, document."""

    def __init__(self, job: Job) -> None:
        console = Console()
        self.console = console if console.is_terminal else Console(width=2 * TABLE_WIDTH)
        self.job = job
        given = [argument for argument in sys.argv[1:] if argument not in ("--json", str(job.json_file))]
        self.facts = {**report.machine(), "command": "python -m bench " + shlex.join(given)}

    @contextmanager
    def arena(self) -> Iterator[tuple[Arena, Callable[[str], None]]]:
        """A PostgreSQL to start servers beside, and a line that says what is being done."""
        with arena() as ground, self.console.status("starting") as status:
            yield ground, status.update

    def measure(self, ground: Arena, contenders: Sequence[Contender], say: Callable[[str], None]) -> Results:
        job = self.job
        tree = ground.postgres_tree
        return interleave(
            contenders, job.workloads, tree, rounds=job.rounds, seconds=job.seconds, progress=say
        )

    def show(self, made: Sequence[report.Row], title: str) -> None:
        self.console.print(report.terminal_table(made, title))
        for row in made:
            if row.first_error:
                said = f"{row.workload} {row.label}: first error: {row.first_error[:300]!r}"
                self.console.print(said, markup=False)

    def publish(self, section: str, text: str, as_json: str) -> None:
        if self.job.json_file:
            self.job.json_file.write_text(as_json, encoding="utf-8")
        if self.job.markdown:
            report.replace_section(self.job.markdown, section, text)


def _compare(
    job: Job,
    named: Sequence[tuple[str, str]],
    section: str,
    more: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Compare servers, given as engine and label; *more* are settings by label."""
    desk = Desk(job)
    with desk.arena() as (ground, say):
        contenders = []
        for engine, label in named:
            say(f"starting and seeding {label}")
            contenders.append(ground.contender(engine, label, job.records, (more or {}).get(label)))
        results = desk.measure(ground, contenders, say)
        memory = [(c.label, c.engine, c.tree.worker_rss_bytes()) for c in contenders]
    made = report.rows(results, contenders)
    desk.show(made, f"{job.rounds} rounds of {job.seconds:g} s")
    lines = [report.memory_line(label, engine, size) for label, engine, size in memory]
    desk.console.print("\n".join(lines))
    text = report.run_markdown(made, desk.facts) + "\n\n" + "\n".join(f"- {line}" for line in lines)
    sizes = {label: size for label, _, size in memory}
    desk.publish(section, text, report.to_json(made, results, desk.facts, worker_rss_bytes=sizes))


@click.group(help=__doc__)
def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with the benchmark


@main.command()
@engines_option
@takes_job()
def run(job: Job, engines: list[str]) -> None:
    """Kinto and ours, interleaved, on every workload."""
    _compare(job, [(KINTO, "Kinto"), *((engine, f"ours {engine}") for engine in engines)], "run")


@main.command()
@click.option("--engine", default=KINTO, type=click.Choice(ENGINES), show_default=True)
@takes_job()
def noise(job: Job, engine: str) -> None:
    """Two identical servers: how far from 1 a ratio is by chance on this machine."""
    _compare(job, [(engine, f"{engine} A"), (engine, f"{engine} B")], "noise")


@main.command()
@engines_option
@click.option("--streams", default="1000,10000", callback=split, help="How many streams.", show_default=True)
@click.option("--commits", default=20, show_default=True, help="Commits that are waited for.")
@click.option("--seconds", default=4.0, show_default=True, help="For how long writers write in turn.")
@click.option(
    "--rounds",
    default=8,
    type=click.IntRange(2),
    show_default=True,
    help="How often with streams and without.",
)
def live(engines: list[str], streams: list[str], commits: int, seconds: float, rounds: int) -> None:
    """Streams of changes on one worker: memory, how soon commits reach them, what writers notice."""
    console = Console(width=TABLE_WIDTH)
    console.print(f"load before: {live_streams.load()}")
    with console.status("starting") as status:
        reached, slowed = live_streams.run(
            engines, [int(number) for number in streams], commits, seconds, rounds, status.update
        )
    table = Table("engine", "streams", "worker MB", "median ms", "p99 ms", "worst ms", "missing", "µs of CPU")
    for each in reached:
        times = (f"{1000 * value:.0f}" for value in (each.median, each.p99, each.worst))
        memory = f"{each.rss_bytes / 1e6:.0f}"
        table.add_row(each.engine, f"{each.streams}", memory, *times, f"{each.missing}", f"{each.cpu_us:.1f}")
    console.print(table)
    table = Table(
        "engine",
        "writes to",
        "writers",
        "streams",
        "writes/s",
        "beside",
        "slower",
        "half between",
        "more CPU",
    )
    for one in slowed:
        low, middle, high = (100 * (1 - part) for part in one.rates())
        table.add_row(
            one.engine,
            one.what,
            f"{one.writers}",
            f"{one.streams}",
            f"{median(each.rate for each in one.alone):.0f}",
            f"{median(each.rate for each in one.beside):.0f}",
            f"{middle:.0f} %",
            f"{high:.0f} and {low:.0f} %",
            f"{100 * (one.cost() - 1):.0f} %",
        )
    console.print(table)
    console.print(f"load after: {live_streams.load()}")


@main.command()
def openid() -> None:
    """What it costs to recognise the bearer of an OpenID token, in this process."""
    table = Table("token", "µs of CPU", "µs")
    for cost in bearers.run():
        table.add_row(cost.what, f"{cost.cpu:.1f}", f"{cost.wall:.1f}")
    Console(width=TABLE_WIDTH).print(table)


@main.command()
@engines_option
@click.option("--records", default=2000, show_default=True, help="Records of the collection.")
@click.option("--rounds", default=5, show_default=True, help="How often each question is measured.")
@click.option("--seconds", default=2.0, show_default=True, help="For how long each time.")
@click.option("--markdown", type=click.Path(path_type=Path, exists=True), help="Document to update.")
def publication(engines: list[str], records: int, rounds: int, seconds: float, markdown: Path | None) -> None:
    """What a changeset costs, and the poll of monitor/changes, as they are sent from memory."""
    desk = Desk(Job([], rounds, seconds, records, None, markdown))
    rows = []
    with desk.arena() as (ground, say):
        for subject in published.measure(ground, engines, records, rounds, seconds, say):
            rows += published.lines(subject)
    table = Table(*published.HEADINGS, title=f"Published data, {records:,} records; medians")
    for line in rows:
        table.add_row(*line)
    desk.console.print(table)
    text = f"`{desk.facts['command']}`\n\n" + report.markdown_table(published.HEADINGS, rows)
    desk.publish("publication", text, "")


@main.command()
@click.option("--engine", default=OURS[-1], type=click.Choice(ENGINES), show_default=True)
@takes_job("W7,W8")
def history(job: Job, engine: str) -> None:
    """One server without history, one with it, interleaved: what entering every change costs."""
    label = f"{engine} with history"
    without = f"{engine} without history"
    _compare(job, [(engine, without), (engine, label)], f"history-{engine}", {label: HISTORY})


@main.command()
@engines_option
@takes_job()
def memory(job: Job, engines: list[str]) -> None:
    """Resident memory of a worker before and after all workloads have run on it."""
    desk = Desk(job)
    for engine in engines:
        with desk.arena() as (ground, say):
            contender = ground.contender(engine, engine, job.records)
            start = contender.tree.worker_rss_bytes()
            desk.measure(ground, [contender], say)
            end = contender.tree.worker_rss_bytes()
        desk.console.print(
            f"after seeding: {start / 2**20:.0f} MB; {report.memory_line(engine, engine, end)}"
        )
        if end > WORKER_RSS_BYTES:
            sys.exit(1)


@main.command()
@engines_option
@click.option("--sizes", default=",".join(map(str, growth.SIZES)), callback=split, show_default=True)
@click.option("--deletions", default=5, show_default=True, help="How often a full collection is deleted.")
@takes_job(",".join(growth.WORKLOADS))
def curve(job: Job, engines: list[str], sizes: list[str], deletions: int) -> None:
    """Ours as a collection grows (ratio: the smallest divided by this one), and what deleting it costs."""
    desk = Desk(job)
    for engine in engines:
        with desk.arena() as (ground, say):
            contenders = [growth.contender(ground, engine, int(size), say) for size in sizes]
            results = desk.measure(ground, contenders, say)
            gone = growth.deletions(contenders[0], ground.postgres_tree, deletions, say)
        made = report.rows(results, contenders)
        desk.show(made, f"{engine} by records in the collection, {job.rounds} rounds of {job.seconds:g} s")
        lines = growth.deletion_lines(gone)
        table = Table(*growth.DELETION_HEADINGS, title=f"DELETE of a collection, {engine}")
        for line in lines:
            table.add_row(*line)
        desk.console.print(table)
        text = report.run_markdown(made, desk.facts)
        text += "\n\nDeleting a collection:\n\n" + report.markdown_table(growth.DELETION_HEADINGS, lines)
        desk.publish(f"curve-{engine}", text, report.to_json(made, results, desk.facts, deletions=lines))


@main.command("logins")
@engines_option
@click.option("--users", default=25, show_default=True, help="How many accounts log in; fewer than 100.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Document whose section is replaced.")
def measure_logins(engines: list[str], users: int, markdown: Path | None) -> None:
    """Latency and CPU of a login, cold and warm, with wrong passwords and with tokens."""
    console = Console()
    lines: list[tuple[str, ...]] = []
    with arena() as ground, console.status("starting") as status:
        for engine in (KINTO, *engines):
            label = "Kinto" if engine == KINTO else f"ours {engine}"
            server, _ = ground.start(engine, f"logins {engine}")
            made = logins.measure(server, label, engine, users, status.update)
            lines += [measured.line() for measured in made]
    table = Table(*logins.HEADINGS, title="Logins")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    if markdown is not None:
        report.replace_section(markdown, "logins", report.markdown_table(logins.HEADINGS, lines))


@main.command("attachments")
@engines_option
@click.option("--small", default=100, show_default=True, help="How many files of 10 kB.")
@click.option("--large", default=20, show_default=True, help="The size of the one large file, in MiB.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Document whose section is replaced.")
def measure_attachments(engines: list[str], small: int, large: int, markdown: Path | None) -> None:
    """CPU and memory of uploads, small ones and a large one, beside kinto-attachment."""
    desk = Desk(Job([], 1, 0.0, 0, None, markdown))
    made = []
    with desk.arena() as (ground, say):
        for engine in (KINTO, *engines):
            server, _ = ground.start(engine, f"attachments {engine}", uploading.SETTINGS, waitress=True)
            label = uploading.label_of(engine)
            made.append(uploading.measure(server, ground.postgres_tree, label, small, large, say))
            server.stop()
    lines = uploading.lines(made)
    table = Table(*uploading.HEADINGS, title="Uploads")
    for line in lines:
        table.add_row(*line)
    desk.console.print(table)
    if markdown is not None:
        text = f"`{desk.facts['command']}`\n\n" + report.markdown_table(uploading.HEADINGS, lines)
        report.replace_section(markdown, "attachments", text)


@main.command()
@engines_option
@click.option("--objects", default=100_000, show_default=True, help="Records of the owner.")
@click.option("--kinto-objects", default=0, show_default=True, help="The same for Kinto; 0 leaves it out.")
@click.option("--calls", default=5, show_default=True, help="How often each question is asked.")
@click.option("--markdown", type=click.Path(path_type=Path, exists=True), help="Document to update.")
def permissions(
    engines: list[str], objects: int, kinto_objects: int, calls: int, markdown: Path | None
) -> None:
    """What GET /permissions costs, for who owns much, who may see little, and who is nobody."""
    desk = Desk(Job([], calls, 0.0, objects, None, markdown))
    named = [(engine, objects) for engine in engines] + ([(KINTO, kinto_objects)] if kinto_objects else [])
    lines = []
    with desk.arena() as (ground, say):
        for engine, size in named:
            lines += listing.lines(listing.measure(ground, engine, size, calls, say))
    table = Table(*listing.HEADINGS, title="GET /permissions, after another write; medians")
    for line in lines:
        table.add_row(*line)
    desk.console.print(table)
    text = f"`{desk.facts['command']}`\n\n" + report.markdown_table(listing.HEADINGS, lines)
    desk.publish("permissions", text, "")


@main.command()
@engines_option
@click.option("--among", default=100_000, show_default=True, help="Records beside the one that changes.")
@click.option("--rounds", default=5, show_default=True, help="How often each publication is made.")
@click.option("--markdown", type=click.Path(path_type=Path, exists=True), help="Document to update.")
def publishing(engines: list[str], among: int, rounds: int, markdown: Path | None) -> None:
    """How long publications take: many new records, and one change among many."""
    desk = Desk(Job([], rounds, 0.0, among, None, markdown))
    lines = []
    with desk.arena() as (ground, say):
        for engine in engines:
            say(f"publishing on {engine}")
            lines += publications.lines(publications.measure(ground, engine, among, rounds))
    table = Table(*publications.HEADINGS, title="From the PATCH to its answer; medians")
    for line in lines:
        table.add_row(*line)
    desk.console.print(table)
    text = f"`{desk.facts['command']}`\n\n" + report.markdown_table(publications.HEADINGS, lines)
    desk.publish("publishing", text, "")


@main.command()
@click.option("--engine", default=OURS[-1], type=click.Choice(ENGINES), show_default=True)
@click.option("--top", default=25, show_default=True, help="How many functions to name.")
@takes_job()
def profile(job: Job, engine: str, top: int) -> None:
    """Where a worker spends its time, per workload (with py-spy)."""
    desk = Desk(job)
    with desk.arena() as (ground, say):
        contender = ground.contender(engine, engine, job.records)
        for workload in job.workloads:
            say(f"profiling {workload.key}")
            folded, load = profiler.profile(contender, workload, job.seconds)
            on_top, anywhere = profiler.hottest(folded)
            total = max(1, on_top.total())
            table = Table(
                "self", "function", "with callees", "function",
                title=f"{workload.key} {engine}: {load.per_second:,.0f} req/s, {load.errors} errors",
                width=2 * TABLE_WIDTH if not desk.console.is_terminal else None,
            )  # fmt: skip
            for left, right in zip(
                profiler.shares(on_top, top, total), profiler.shares(anywhere, top, total), strict=False
            ):
                table.add_row(*left, *right)
            desk.console.print(table)


if __name__ == "__main__":
    main()
