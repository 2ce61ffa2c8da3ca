"""The benchmark's tables and the section they replace in a document."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import report
from bench.campaign import Sample, Series
from bench.curve import Deletion, deletion_lines
from bench.profile import hottest, shares

FACTS: dict[str, Any] = {**report.machine(), "command": "python -m bench run"}


def sample(cpu: float, postgres: float | None = None) -> Sample:
    return Sample(cpu, postgres, 100.0, 1.0, 2.0, completed=1000, errors=0, first_error=None)


@pytest.fixture
def made() -> list[report.Row]:
    contenders: Any = [
        SimpleNamespace(label="Kinto", engine="kinto"),
        SimpleNamespace(label="ours sqlite", engine="sqlite"),
    ]
    results = {
        "W1": {
            "Kinto": Series([sample(4000, 2000), sample(6000, 2000), sample(5000, 2000)]),
            "ours sqlite": Series([sample(100), sample(50), sample(125)]),
        },
        "W3": {"Kinto": Series([sample(30_000, 6000)]), "ours sqlite": Series([sample(4000)])},
    }
    return report.rows(results, contenders)


def test_ratios_are_medians_over_rounds_and_meet_their_floors(made: list[report.Row]) -> None:
    kinto, ours = made[:2]
    assert (kinto.ratio, kinto.floor, kinto.passed) == (None, None, None)
    assert (ours.ratio, ours.ratio_range, ours.ratio_with_postgres) == (40, (40, 120), 60)
    assert (ours.floor, ours.passed) == (35, True)
    assert (made[3].ratio, made[3].floor, made[3].passed) == (7.5, 10, False)


def test_the_markdown_table_is_rectangular(made: list[report.Row]) -> None:
    text = report.run_markdown(made, FACTS)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(made)
    assert len({line.count("|") for line in lines}) == 1
    assert "MISSED" in lines[-1]
    assert "`python -m bench run`" in text


def test_a_section_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# Top\n<!-- bench:run -->\nold\n<!-- /bench:run -->\nbelow\n")
    report.replace_section(document, "run", "new")
    report.replace_section(document, "run", "newer")
    assert document.read_text() == "# Top\n<!-- bench:run -->\n\nnewer\n\n<!-- /bench:run -->\nbelow\n"
    with pytest.raises(report.MissingMarkerError):
        report.replace_section(document, "noise", "text")
    assert "newer" in document.read_text()


def test_json_holds_table_and_samples(made: list[report.Row]) -> None:
    text = report.to_json(
        made, {"W1": {"Kinto": Series([sample(1, 2)])}}, FACTS, worker_rss_bytes={"Kinto": 3}
    )
    parsed = json.loads(text)
    assert parsed["samples"]["W1"]["Kinto"][0]["postgres_cpu"] == 2
    assert [row["passed"] for row in parsed["table"]] == [None, True, None, False]
    assert parsed["worker_rss_bytes"] == {"Kinto": 3}


def test_hottest_functions_of_folded_stacks() -> None:
    top, anywhere = hottest(
        "main;serve;encode 3\nmain;serve 1\nmain;serve;encode;encode 2\n 7\n"
        "main;_worker (concurrent/futures/thread.py:69) 9"
    )
    assert top == {"encode": 5, "serve": 1}
    assert anywhere == {"main": 6, "serve": 6, "encode": 5}
    assert shares(top, 1, 6) == [("83.3%", "encode")]


def test_deletions_are_summed_up_by_size() -> None:
    made = [
        Deletion(0, 0.001, 0.002, 0.0),
        Deletion(100_000, 0.002, 0.004, 1.5),
        Deletion(0, 0.003, 0.002, 0.0),
    ]
    assert deletion_lines(made) == [
        ["0", "2", "2.0", "2.0", "0.0"],
        ["100,000", "1", "2.0", "4.0", "1,500.0"],
    ]


def test_memory_is_held_against_its_limit_for_ours_only() -> None:
    assert report.memory_line("ours", "sqlite", 81 << 20).endswith("MISSED)")
    assert report.memory_line("ours", "sqlite", 79 << 20).endswith("holds)")
    assert report.memory_line("Kinto", "kinto", 200 << 20).endswith("200 MB")
