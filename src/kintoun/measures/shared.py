"""Numbers in files that the workers of a server share: one file for each worker, which nobody else writes.

A worker takes the first file that nobody holds. So a worker that replaces one which died, however it died,
goes on counting where that one ended: nothing is lost, nothing is counted twice, and there are never more
files than there were workers at once. Beside the numbers stands a file of keys, one line for each series in
the order of their places.
"""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

if sys.platform != "win32":
    import fcntl

RUN_DIRECTORY = "KINTOUN_RUN_DIRECTORY"
"""The variable that names the directory which the processes of one server share."""

MOST_WORKERS = 1024


class Entry(NamedTuple):
    """What a row of numbers counts; `bounds` are those of a histogram."""

    kind: str
    name: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers there are: see `Series`."""
        return {"counter": 1, "gauge": 1, "summary": 2, "histogram": len(self.bounds) + 2}[self.kind]


class SharedFile:
    """The numbers of this process, in the first file of a directory that nobody holds."""

    def __init__(self, directory: Path, slots: int) -> None:
        self.directory = directory
        self.number, self._keys = _take(directory)
        self._places: dict[Entry, int] = {}
        self._next = 0
        with _numbers_file(directory, self.number).open("a+b") as file:
            file.truncate(slots * 8)
            self.numbers: memoryview[float] = memoryview(mmap.mmap(file.fileno(), slots * 8)).cast("d")
        for entry in _entries(self._whole_lines()):
            at = self._assign(entry)
            if entry.kind == "gauge":
                self.numbers[at] = 0.0  # of the moment, and of the worker that is gone

    def place(self, entry: Entry) -> int:
        """Where the numbers of a series stand."""
        at = self._places.get(entry)
        if at is None:
            assert self._next + entry.width <= len(self.numbers), "measures have few labels"
            line = json.dumps(entry, ensure_ascii=True) + "\n"
            self._keys.write(line.encode())
            self._keys.flush()
            at = self._assign(entry)
        return at

    def _assign(self, entry: Entry) -> int:
        at = self._places[entry] = self._next
        self._next += entry.width
        return at

    def _whole_lines(self) -> bytes:
        """What the worker before wrote; a line that it could not finish is taken back."""
        self._keys.seek(0)
        content: bytes = self._keys.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._keys.truncate(len(whole))
        self._keys.seek(len(whole))
        return whole


def read_others(own: SharedFile) -> Iterator[tuple[Entry, Sequence[float]]]:
    """The series of the other workers; of those that are gone all but the gauges."""
    for path in sorted(own.directory.glob("*.keys")):
        number = int(path.stem)
        if number == own.number:
            continue
        with suppress(OSError), path.open("rb") as keys:
            alive = _held(keys)
            content = keys.read()
            entries = list(_entries(content[: content.rfind(b"\n") + 1]))
            with _numbers_file(own.directory, number).open("rb") as file:
                numbers = memoryview(file.read(8 * sum(entry.width for entry in entries))).cast("d")
            at = 0
            for entry in entries:
                if alive or entry.kind != "gauge":
                    yield entry, numbers[at : at + entry.width]
                at += entry.width


def _entries(lines: bytes) -> Iterator[Entry]:
    for line in lines.splitlines():
        kind, name, labels, bounds = json.loads(line)
        yield Entry(kind, name, tuple(labels), tuple(bounds))


def _numbers_file(directory: Path, number: int) -> Path:
    return directory / f"{number}.numbers"


def _take(directory: Path) -> tuple[int, IO[Any]]:
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(MOST_WORKERS):
        keys = (directory / f"{number}.keys").open("a+b")
        if sys.platform == "win32":
            return number, keys
        try:
            fcntl.flock(keys, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            keys.close()
        else:
            return number, keys
    raise OSError(f"all files in {directory} are held")


def _held(keys: IO[bytes]) -> bool:
    """Whether the worker that writes this file is alive."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(keys, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(keys, fcntl.LOCK_UN)
    return False
