"""What the server counts, for whoever wants to look: counters, gauges and histograms.

Anything may count at any time, whether or not a feature shows the counts. A count is one addition to a number
in memory. `Measures.share` puts that memory into files which the workers of a server share, so that each of
them can tell what all have counted, those that have died included: see `shared`.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from kintoun.measures.shared import Entry, SharedFile, read_others

SLOTS = 1_048_576
"""Numbers that a process can keep; pages of them that were never touched take no memory."""

MOST_LABELS = 2000
"""Sets of labels that one measure can have. What comes later is counted together, under `other`."""

OTHER = "other"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for durations, where nothing else is said."""

Labels = tuple[str, ...]
Kind = Literal["counter", "gauge", "histogram", "summary"]
Combine = Literal["sum", "own"]
M = TypeVar("M", bound="Measure")


class Cell:
    """Where one number, or a row of them, stands. `at` changes once when the memory comes to be shared."""

    __slots__ = ("_measures", "at")

    def __init__(self, measures: Measures, at: int) -> None:
        self._measures = measures
        self.at = at

    def add(self, amount: float = 1) -> None:
        self._measures.numbers[self.at] += amount

    def set(self, value: float) -> None:
        self._measures.numbers[self.at] = value


class Series(NamedTuple):
    """One set of labels and its numbers: one for a counter or a gauge; for a summary how many there were and
    their sum; for a histogram how many came into each of its ranges, and their sum."""

    labels: Labels
    numbers: list[float]


class Measure:
    """A counter, a gauge, a histogram or a summary, with its series by their labels."""

    def __init__(
        self,
        measures: Measures,
        kind: Kind,
        name: str,
        description: str,
        label_names: Labels,
        bounds: tuple[float, ...] = (),
    ) -> None:
        self.kind = kind
        self.name = name
        self.description = description
        self.label_names = label_names
        self.bounds = bounds
        self.cells: dict[Labels, Cell] = {}
        self._measures = measures

    def of(self, *labels: str) -> Cell:
        """The place of these labels' numbers; the values stand in the order of `label_names`."""
        cell = self.cells.get(labels)
        if cell is None:
            assert len(labels) == len(self.label_names), f"{self.name} has the labels {self.label_names}"
            if len(self.cells) >= MOST_LABELS:
                labels = tuple(OTHER for _ in labels)
                if labels in self.cells:
                    return self.cells[labels]
            cell = self.cells[labels] = Cell(self._measures, self._measures.place(self.entry(labels)))
        return cell

    def entry(self, labels: Labels) -> Entry:
        """How the files of numbers name a series."""
        return Entry(self.kind, self.name, labels, self.bounds)


class Counter(Measure):
    """A number that only grows."""

    def add(self, amount: float = 1, *labels: str) -> None:
        self.of(*labels).add(amount)


class Gauge(Measure):
    """A number of the moment. `combine` tells what becomes of those of several workers: they are added, or
    only the own one is shown, where each worker looks at the same thing."""

    combine: Combine = "sum"

    def set(self, value: float, *labels: str) -> None:
        self.of(*labels).set(value)


class Summary(Measure):
    """How many values there were, and their sum."""

    def observe(self, value: float, *labels: str) -> None:
        numbers, at = self._measures.numbers, self.of(*labels).at
        numbers[at] += 1
        numbers[at + 1] += value


class Histogram(Measure):
    """How many values there were up to each of some bounds, and their sum."""

    def observe(self, value: float, *labels: str) -> None:
        self.observe_in(self.of(*labels), value)

    def observe_in(self, cell: Cell, value: float) -> None:
        """Count a value in a cell that is known."""
        numbers, at, bounds = self._measures.numbers, cell.at, self.bounds
        numbers[at + bisect_left(bounds, value)] += 1
        numbers[at + len(bounds) + 1] += value


class Measures:
    """All that one process counts."""

    def __init__(self) -> None:
        self.numbers: memoryview[float] = memoryview(mmap.mmap(-1, SLOTS * 8)).cast("d")
        self.worker = 0
        """The number of this process among the workers that share their counts."""
        self.before_collect: list[Callable[[], Awaitable[None]]] = []
        """Called before the measures are shown, to set gauges of what is only then looked at."""
        self._measures: dict[str, Measure] = {}
        self._next = 0
        self._file: SharedFile | None = None

    def counter(self, name: str, description: str, labels: Labels = ()) -> Counter:
        """A counter; its name ends in `_total`. Asked for twice, a measure is the same."""
        return self._add(Counter(self, "counter", name, description, labels), Counter)

    def gauge(self, name: str, description: str, labels: Labels = (), combine: Combine = "sum") -> Gauge:
        """A gauge. Of a worker that ended nothing remains."""
        gauge = Gauge(self, "gauge", name, description, labels)
        gauge.combine = combine
        return self._add(gauge, Gauge)

    def summary(self, name: str, description: str, labels: Labels = ()) -> Summary:
        """A summary without quantiles."""
        return self._add(Summary(self, "summary", name, description, labels), Summary)

    def histogram(
        self, name: str, description: str, labels: Labels = (), bounds: Sequence[float] = SECONDS
    ) -> Histogram:
        """A histogram with these upper bounds, and one range above them."""
        ordered = tuple(sorted(set(bounds)))
        return self._add(Histogram(self, "histogram", name, description, labels, ordered), Histogram)

    def _add(self, measure: M, kind: type[M]) -> M:
        known = self._measures.setdefault(measure.name, measure)
        if not isinstance(known, kind):
            raise ValueError(f"{measure.name} is a {known.kind} already")
        if not known.label_names:
            known.of()
        return known

    def place(self, entry: Entry) -> int:
        """Where the numbers of a new series stand."""
        if self._file is not None:
            return self._file.place(entry)
        at = self._next
        self._next += entry.width
        assert self._next <= SLOTS, "measures have few labels"
        return at

    def share(self, directory: Path) -> None:
        """Count in a file of this directory from now on; what was counted until now goes along."""
        before = self.numbers
        self._file = file = SharedFile(directory, SLOTS)
        self.worker = file.number
        for measure in self._measures.values():
            for labels, cell in measure.cells.items():
                entry = measure.entry(labels)
                at = file.place(entry)
                for n in range(entry.width):
                    file.numbers[at + n] += before[cell.at + n]
                cell.at = at
        self.numbers = file.numbers

    async def collect(self) -> list[tuple[Measure, list[Series]]]:
        """Every measure with its series, those of the other workers counted in."""
        for look in self.before_collect:
            await look()
        return list(self._collected())

    def _collected(self) -> Iterator[tuple[Measure, list[Series]]]:
        merged: dict[str, dict[Labels, list[float]]] = {}
        for measure in self._measures.values():
            merged[measure.name] = {
                labels: list(self.numbers[cell.at : cell.at + measure.entry(labels).width])
                for labels, cell in measure.cells.items()
            }
        if self._file is not None:
            for entry, numbers in read_others(self._file):
                self._merge(merged, entry, numbers)
        for name, measure in self._measures.items():
            yield measure, [Series(labels, numbers) for labels, numbers in sorted(merged[name].items())]

    def _merge(
        self, merged: dict[str, dict[Labels, list[float]]], entry: Entry, numbers: Sequence[float]
    ) -> None:
        measure = self._measures.get(entry.name)
        if measure is None or measure.entry(entry.labels) != entry:
            return  # a worker before had another configuration
        if len(entry.labels) != len(measure.label_names):
            return
        if isinstance(measure, Gauge) and measure.combine == "own":
            return
        own = merged[entry.name].setdefault(entry.labels, [0.0] * entry.width)
        merged[entry.name][entry.labels] = [a + b for a, b in zip(own, numbers, strict=True)]
