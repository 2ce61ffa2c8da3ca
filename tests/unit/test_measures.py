"""What is counted: the numbers, the files that workers share, and what remains of workers that die."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from kintoun.measures import MOST_LABELS, OTHER, Measures
from kintoun.measures.shared import read_others


def numbers(measures: Measures) -> dict[tuple[str, ...], list[float]]:
    """Every series by the name of its measure and its labels."""
    found = asyncio.run(measures.collect())
    return {
        (measure.name, *each.labels): [float(number) for number in each.numbers]
        for measure, series in found
        for each in series
    }


def made() -> Measures:
    measures = Measures()
    measures.counter("seen_total", "Seen.", ("what",))
    measures.gauge("open", "Open.")
    measures.gauge("size", "Size.", combine="own")
    measures.histogram("took", "Took.", bounds=(0.1, 1.0))
    return measures


def count(directory: Path, times: int, die: bool) -> None:
    """A worker: counts, and ends; at once and without a word if it shall die."""
    measures = made()
    measures.counter("seen_total", "Seen.", ("what",)).add(1, "before it was shared")
    measures.share(directory)
    for _ in range(times):
        measures.counter("seen_total", "Seen.", ("what",)).add(1, "it")
    measures.gauge("open", "Open.").set(5)
    measures.histogram("took", "Took.", bounds=(0.1, 1.0)).observe(0.5)
    if die:
        os.kill(os.getpid(), signal.SIGKILL)


def run(directory: Path, times: int, die: bool = False) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=count, args=(directory, times, die))
    worker.start()
    worker.join(60)
    assert worker.exitcode == (-signal.SIGKILL if die else 0)


def test_each_kind_counts_in_its_way() -> None:
    measures = made()
    histogram = measures.histogram("took", "Took.", bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    measures.summary("bytes", "Bytes.").observe(7)
    measures.summary("bytes", "Bytes.").observe(5)
    measures.counter("seen_total", "Seen.", ("what",)).add(2.5, "a")
    measures.gauge("open", "Open.").set(3)
    measures.gauge("open", "Open.").set(1)
    assert numbers(measures) == {
        ("seen_total", "a"): [2.5],
        ("open",): [1.0],
        ("size",): [0.0],
        ("took",): [2.0, 1.0, 1.0, 7.65],
        ("bytes",): [2.0, 12.0],
    }


def test_a_name_stands_for_one_measure() -> None:
    measures = made()
    with pytest.raises(ValueError, match="open is a gauge already"):
        measures.counter("open", "Open.")


def test_there_is_a_bound_to_the_labels_of_a_measure() -> None:
    measures = made()
    counter = measures.counter("seen_total", "Seen.", ("what",))
    for number in range(MOST_LABELS + 50):
        counter.add(1, str(number))
    found = numbers(measures)
    assert found["seen_total", OTHER] == [50.0]
    assert len([key for key in found if key[0] == "seen_total"]) == MOST_LABELS + 1


def test_workers_that_ended_are_counted_once_and_their_gauges_are_not(tmp_path: Path) -> None:
    own = made()
    own.share(tmp_path)
    own.gauge("open", "Open.").set(2)
    run(tmp_path, 3, die=True)
    run(tmp_path, 4)
    run(tmp_path, 5, die=True)
    found = numbers(own)
    assert found["seen_total", "it"] == [12.0]
    assert found["seen_total", "before it was shared"] == [3.0]
    assert found["took",] == [0.0, 3.0, 0.0, 1.5]
    assert found["open",] == [2.0]
    assert len(list(tmp_path.glob("*.keys"))) == 2, "a worker goes on where the one before it ended"


def test_gauges_of_living_workers_are_added_or_one_is_shown(tmp_path: Path) -> None:
    workers = [made() for _ in range(3)]
    for worker in workers:
        worker.share(tmp_path)
        worker.gauge("open", "Open.").set(2)
        worker.gauge("size", "Size.").set(10)
    workers[0].gauge("size", "Size.").set(11)
    found = numbers(workers[0])
    assert [worker.worker for worker in workers] == [0, 1, 2]
    assert (found["open",], found["size",]) == ([6.0], [11.0])


def test_a_line_that_was_not_finished_is_taken_back(tmp_path: Path) -> None:
    run(tmp_path, 3, die=True)
    with (tmp_path / "0.keys").open("ab") as keys:
        keys.write(b'["counter", "seen_to')
    other = made()
    with (tmp_path / "9.keys").open("wb") as keys:
        keys.write(b'["counter"')
    other.share(tmp_path)
    assert other.worker == 0
    other.counter("seen_total", "Seen.", ("what",)).add(1, "it")
    assert numbers(other)["seen_total", "it"] == [4.0]
    third = made()
    third.share(tmp_path)
    assert numbers(third)["seen_total", "it"] == [4.0]


def test_series_of_another_configuration_are_left_alone(tmp_path: Path) -> None:
    run(tmp_path, 3)
    other = Measures()
    other.histogram("took", "Took.", bounds=(0.1, 2.0))
    other.share(tmp_path / ".." / tmp_path.name)
    other.gauge("seen_total", "No longer a counter.")
    assert numbers(other) == {("took",): [0.0, 0.0, 0.0, 0.0], ("seen_total",): [0.0]}
    second = Measures()
    second.share(tmp_path)
    assert second._file is not None
    assert {entry.name for entry, _ in read_others(second._file)} >= {"took"}
