"""The command line of the benchmark."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import report
from bench.campaign import interleave
from bench.contenders import ENGINES, KINTO, Contender, arena
from bench.floors import WORKER_RSS_BYTES
from bench.workloads import WORKLOADS, Workload, select

QUICK_ROUNDS, QUICK_SECONDS = 2, 1.0
OURS = ",".join(ENGINES[1:])
TABLE_WIDTH = 140


def split(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def options(command: Any) -> Any:
    """What every measuring command takes."""
    for option in (
        click.option("--only", default="", callback=split, help="Workloads, e.g. W1,W7."),
        click.option("--rounds", default=5, show_default=True, help="How often each workload is measured."),
        click.option("--seconds", default=3.0, show_default=True, help="Length of one measurement."),
        click.option("--quick", is_flag=True, help=f"{QUICK_ROUNDS} rounds of {QUICK_SECONDS:g} s."),
        click.option("--records", default=10_000, show_default=True, help="Records per collection."),
        click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write everything here."),
        click.option("--markdown", type=click.Path(path_type=Path, exists=True), help="Document to update."),
    ):
        command = option(command)
    return command


def _workloads(only: list[str]) -> list[Workload]:
    try:
        return select(only)
    except KeyError as unknown:
        known = ", ".join(workload.key for workload in WORKLOADS)
        raise click.BadParameter(f"{unknown}: the workloads are {known}") from None


def wide_console() -> Console:
    """A console that does not squeeze the table when its output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)


def _facts() -> dict[str, Any]:
    return {**report.machine(), "command": "python -m bench " + shlex.join(sys.argv[1:])}


def _campaign(named: list[tuple[str, str]], section: str, **given: Any) -> None:
    """Start the servers, measure, and put the results everywhere they are wanted."""
    console = wide_console()
    workloads = _workloads(given["only"])
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if given["quick"] else (given["rounds"], given["seconds"])
    with arena() as ground, console.status("starting") as status:
        contenders: list[Contender] = []
        for engine, label in named:
            status.update(f"starting and seeding {label}")
            contenders.append(ground.contender(engine, label, given["records"]))
        results = interleave(
            contenders,
            workloads,
            ground.postgres_tree,
            rounds=rounds,
            seconds=seconds,
            progress=status.update,
        )
        memory = {contender.label: contender.tree.worker_rss_bytes() for contender in contenders}
    made, facts = report.rows(results, contenders), _facts()
    console.print(report.terminal_table(made, f"{rounds} rounds of {seconds:g} s"))
    for label, size in memory.items():
        console.print(f"resident memory of a worker, {label}: {size / 2**20:.0f} MB")
    for row in made:
        if row.first_error:
            console.print(f"{row.workload} {row.label}: first error: {row.first_error[:300]!r}", markup=False)
    if given["json_file"]:
        given["json_file"].write_text(report.to_json(made, results, facts, worker_rss_bytes=memory))
    if given["markdown"]:
        report.replace_section(given["markdown"], section, report.run_markdown(made, facts))


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.option("--engines", default=OURS, callback=split, help="Which of ours; empty: Kinto alone.")
@options
def run(engines: list[str], **given: Any) -> None:
    """Kinto and ours, interleaved, on every workload."""
    unknown = set(engines) - set(ENGINES)
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: the engines are {', '.join(ENGINES[1:])}")
    ours = [engine for engine in ENGINES[1:] if engine in engines]
    _campaign([(KINTO, "Kinto"), *((engine, f"ours {engine}") for engine in ours)], "run", **given)


@main.command()
@click.option("--engine", default=KINTO, type=click.Choice(ENGINES), show_default=True)
@options
def noise(engine: str, **given: Any) -> None:
    """Two identical servers: how far from 1 a ratio is by chance on this machine."""
    _campaign([(engine, f"{engine} A"), (engine, f"{engine} B")], "noise", **given)


@main.command()
@click.option("--engines", default=OURS, callback=split)
@options
def memory(engines: list[str], **given: Any) -> None:
    """Resident memory of a worker when all workloads have run on it."""
    console = wide_console()
    seconds = QUICK_SECONDS if given["quick"] else given["seconds"]
    with arena() as ground:
        for engine in engines:
            contender = ground.contender(engine, f"ours {engine}", given["records"])
            start = contender.tree.worker_rss_bytes()
            interleave(
                [contender],
                _workloads(given["only"]),
                ground.postgres_tree,
                rounds=1,
                seconds=seconds,
                progress=lambda _: None,
            )
            end = contender.tree.worker_rss_bytes()
            verdict = "holds" if end <= WORKER_RSS_BYTES else "MISSED"
            console.print(
                f"{engine}: {start / 2**20:.0f} MB after seeding, {end / 2**20:.0f} MB after the workloads "
                f"(at most {WORKER_RSS_BYTES >> 20} MB: {verdict})"
            )


if __name__ == "__main__":
    main()
