"""The results as a table for the terminal, as JSON, and as Markdown inside a document."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from bench.campaign import Results, Series
from bench.contenders import KINTO, Contender
from bench.floors import WORKER_RSS_BYTES, floor
from bench.stats import paired_ratios
from bench.workloads import WORKLOADS

FEW = 30
"""With fewer requests than this in all rounds a figure is a hint only."""


@dataclass(frozen=True)
class Row:
    """One workload on one server, ready to print."""

    workload: str
    title: str
    label: str
    server_cpu: float | None
    postgres_cpu: float | None
    per_second: float | None
    p50: float | None
    p99: float | None
    errors: int
    completed: int
    ratio: float | None
    """CPU of the base divided by ours, the median over rounds; None for the base itself."""
    ratio_range: tuple[float, float] | None
    ratio_with_postgres: float | None
    floor: float | None
    first_error: str | None

    @property
    def passed(self) -> bool | None:
        """Whether the floor holds; None where there is nothing to hold."""
        return None if self.floor is None or self.ratio is None else self.ratio >= self.floor


def rows(results: Results, contenders: Sequence[Contender]) -> list[Row]:
    """One row per workload and contender; the first contender is the base of the ratios."""
    titles = {workload.key: workload.title for workload in WORKLOADS}
    made = []
    for key, by_label in results.items():
        base = by_label[contenders[0].label]
        for contender in contenders:
            series = by_label[contender.label]
            against = None if series is base else base
            engine_floor = floor(contender.engine, key) if contenders[0].engine == KINTO else None
            made.append(_row(key, titles[key], contender.label, series, against, engine_floor))
    return made


def _row(key: str, title: str, label: str, series: Series, base: Series | None, wanted: float | None) -> Row:
    ratios = paired_ratios(base.values("server_cpu"), series.values("server_cpu")) if base else []
    both = paired_ratios(base.with_postgres(), series.with_postgres()) if base else []
    errors = [sample.first_error for sample in series.samples if sample.first_error]
    return Row(
        workload=key,
        title=title,
        label=label,
        server_cpu=series.median("server_cpu"),
        postgres_cpu=series.median("postgres_cpu"),
        per_second=series.median("per_second"),
        p50=series.median("p50"),
        p99=series.median("p99"),
        errors=series.total("errors"),
        completed=series.total("completed"),
        ratio=median(ratios) if ratios else None,
        ratio_range=(min(ratios), max(ratios)) if ratios else None,
        ratio_with_postgres=median(both) if both else None,
        floor=wanted if base else None,
        first_error=errors[0] if errors else None,
    )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": model,
        "cores": os.cpu_count(),
        "load_average": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
        "granian": version("granian"),
    }


def memory_line(label: str, engine: str, size: int) -> str:
    """What a worker holds, and for ours whether that is little enough."""
    said = f"resident memory of a worker, {label}: {size / 2**20:.0f} MB"
    if engine == KINTO:
        return said
    verdict = "holds" if size <= WORKER_RSS_BYTES else "MISSED"
    return f"{said} (at most {WORKER_RSS_BYTES >> 20} MB: {verdict})"


def number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def cells(row: Row) -> list[str]:
    """The row as text, in the order of HEADINGS."""
    few = " (few)" if row.completed < FEW else ""
    verdict = {None: "", True: "holds", False: "MISSED"}[row.passed]
    spread = f"{row.ratio_range[0]:.1f} to {row.ratio_range[1]:.1f}" if row.ratio_range else ""
    return [
        row.workload,
        row.label,
        number(row.server_cpu) + few,
        number(row.postgres_cpu),
        number(row.per_second),
        number(row.p50, 2),
        number(row.p99, 2),
        number(row.errors),
        number(row.ratio, 1),
        spread,
        number(row.ratio_with_postgres, 1),
        number(row.floor),
        verdict,
    ]


HEADINGS = (
    "",
    "server",
    "CPU µs",
    "PG CPU µs",
    "req/s",
    "p50 ms",
    "p99 ms",
    "errors",
    "ratio",
    "spread",
    "with PG",
    "floor",
    "",
)


def terminal_table(made: Sequence[Row], title: str) -> Table:
    """The table for the terminal."""
    table = Table(title=title)
    for position, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if position < 2 else "right", no_wrap=True)
    several = len({row.label for row in made}) > 1
    for row, following in zip_longest(made, made[1:]):
        last = several and following is not None and following.workload != row.workload
        style = {None: "", True: "green", False: "bold red"}[row.passed]
        table.add_row(*cells(row), style=style, end_section=last)
    return table


def markdown_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A GitHub table; columns after the second are aligned right."""
    marks = ["---" if position < 2 else "---:" for position in range(len(headings))]
    return "\n".join("| " + " | ".join(cell) + " |" for cell in (headings, marks, *lines))


def run_markdown(made: Sequence[Row], facts: dict[str, Any]) -> str:
    """The section of the document: the facts, the table, the workloads' names."""
    names = {row.workload: row.title for row in made}
    return "\n\n".join(
        [
            facts_line(facts),
            markdown_table(HEADINGS, [cells(row) for row in made]),
            "\n".join(f"- **{key}**: {title}" for key, title in names.items()),
        ]
    )


def facts_line(facts: dict[str, Any]) -> str:
    return (
        f"`{facts['command']}`, {facts['date']}, {facts['cores']} cores of {facts['cpu']} "
        f"(load average {facts['load_average'][0]} when it began), Python {facts['python']}, "
        f"Granian {facts['granian']}."
    )


class MissingMarkerError(Exception):
    """The document has no place for the section."""


def replace_section(path: Path, name: str, text: str) -> None:
    """Put *text* between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->``. Raises MissingMarkerError."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    document = path.read_text(encoding="utf-8")
    head, found_begin, rest = document.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found_begin or not found_end:
        raise MissingMarkerError(f"{path} has no {begin} … {end}")
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def to_json(made: Sequence[Row], results: Results, facts: dict[str, Any], **more: Any) -> str:
    """Everything, samples included."""
    samples = {
        key: {label: [asdict(sample) for sample in series.samples] for label, series in by_label.items()}
        for key, by_label in results.items()
    }
    table = [{**asdict(row), "passed": row.passed} for row in made]
    return json.dumps({"facts": facts, **more, "table": table, "samples": samples}, indent=1)
