"""The benchmark's figures: percentiles, ratios, CPU of a process tree, floors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.campaign import Series, to_sample
from bench.contenders import POSTGRESQL, SQLITE
from bench.floors import floor
from bench.load import LoadResult
from bench.processes import ProcessTree, parse_stat
from bench.stats import median_or_none, paired_ratios, percentile


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.5, 1), (1, 0.99, 1), (2, 0.5, 1), (3, 0.5, 2), (100, 0.99, 99), (101, 0.99, 100), (100, 1, 100)],
)
def test_percentile_is_the_nearest_rank(count: int, share: float, expected: int) -> None:
    assert percentile(range(1, count + 1), share) == expected


@pytest.mark.parametrize(("samples", "share"), [([], 0.5), ([1.0], 1.5), ([1.0], -0.1)])
def test_percentile_refuses_what_has_none(samples: list[float], share: float) -> None:
    with pytest.raises(ValueError, match=r"samples|share"):
        percentile(samples, share)


def test_median_ignores_missing_values() -> None:
    assert median_or_none([None, 3.0, 1.0]) == 2.0
    assert median_or_none([None]) is None


def test_ratios_pair_the_rounds() -> None:
    assert paired_ratios([100.0, None, 90.0, 50.0], [10.0, 5.0, 30.0, 0.0]) == [10.0, 3.0]


def test_stat_with_a_hostile_command_name() -> None:
    fields = "S 7 1 1 0 -1 4194304 100 0 0 0 31 11 5 2 20 0 1 0 74042"
    stat = parse_stat(f"42 (postgres: a) S 9 (b) {fields}")
    assert (stat.pid, stat.parent, stat.own_ticks, stat.reaped_ticks) == (42, 7, 42, 7)


def _fake_process(proc: Path, pid: int, parent: int, ticks: int, reaped: int, rss_kb: int) -> None:
    directory = proc / str(pid)
    directory.mkdir()
    (directory / "stat").write_text(f"{pid} (x) S {parent} 0 0 0 0 0 0 0 0 0 {ticks} 0 {reaped} 0 20 0")
    (directory / "status").write_text(f"Name:\tx\nVmRSS:\t  {rss_kb} kB\n")


def test_a_tree_holds_descendants_and_nobody_else(tmp_path: Path) -> None:
    _fake_process(tmp_path, 10, 1, ticks=100, reaped=50, rss_kb=900)
    _fake_process(tmp_path, 11, 10, ticks=10, reaped=0, rss_kb=20)
    _fake_process(tmp_path, 12, 11, ticks=1, reaped=0, rss_kb=30)
    _fake_process(tmp_path, 13, 1, ticks=7777, reaped=0, rss_kb=7777)
    (tmp_path / "uptime").write_text("not a process")
    tree = ProcessTree(10, tmp_path)
    assert [stat.pid for stat in tree.members()] == [10, 11, 12]
    assert tree.cpu_seconds() == pytest.approx(161 / os.sysconf("SC_CLK_TCK"))
    assert tree.worker_rss_bytes() == 30 * 1024  # 10 and 11 are parents, however large


def test_a_tree_without_its_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProcessLookupError):
        ProcessTree(10, tmp_path).cpu_seconds()


def test_a_real_tree_counts_a_child_that_has_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {burn!r}])\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        try:
            tree = ProcessTree(process.pid)
            deadline = time.monotonic() + 30
            while (len(tree.members()) > 1 or tree.cpu_seconds() < 0.2) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert tree.cpu_seconds() >= 0.2
            assert tree.worker_rss_bytes() > 1024 * 1024
        finally:
            process.kill()


def test_a_sample_divides_by_the_answers() -> None:
    load = LoadResult(seconds=2.0, completed=400, lost=1, wrong=5, p50=0.01)
    sample = to_sample(load, server_cpu=0.4, postgres_cpu=0.2)
    assert (sample.server_cpu, sample.postgres_cpu) == (pytest.approx(1000), pytest.approx(500))
    assert (sample.per_second, sample.p50, sample.p99, sample.errors) == (200, 10, None, 6)


def test_a_sample_without_answers_has_no_figures() -> None:
    sample = to_sample(LoadResult(seconds=1.0, lost=16), server_cpu=1.0, postgres_cpu=None)
    assert (sample.server_cpu, sample.postgres_cpu, sample.errors) == (None, None, 16)
    assert Series([sample]).median("server_cpu") is None


def test_floors_hold_for_the_variants_of_a_workload() -> None:
    assert floor(POSTGRESQL, "W1a") == 20
    assert floor(SQLITE, "W6b") == 10
    assert floor("kinto", "W1") is None
