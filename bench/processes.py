"""CPU time and memory of a process tree, read from ``/proc``."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessStat:
    """The columns of ``/proc/PID/stat`` that are used here; times in clock ticks."""

    pid: int
    parent: int
    own_ticks: int
    reaped_ticks: int


def parse_stat(text: str) -> ProcessStat:
    """Read one ``stat`` line. A command name may hold spaces and parentheses: fields follow the last one."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return ProcessStat(
        pid=int(head.split(" ", 1)[0]),
        parent=int(fields[1]),
        own_ticks=int(fields[11]) + int(fields[12]),
        reaped_ticks=int(fields[13]) + int(fields[14]),
    )


def read_all(proc: Path = PROC) -> dict[int, ProcessStat]:
    """Every process that can be read now, by pid."""
    found: dict[int, ProcessStat] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = parse_stat((entry / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
        found[stat.pid] = stat
    return found


@dataclass(frozen=True)
class ProcessTree:
    """A process and everything it started."""

    root: int
    proc: Path = PROC

    def members(self) -> list[ProcessStat]:
        """The living processes of the tree, root first. Raises ProcessLookupError when the root is gone."""
        everyone = read_all(self.proc)
        if self.root not in everyone:
            raise ProcessLookupError(f"process {self.root} is gone")
        children: dict[int, list[int]] = {}
        for stat in everyone.values():
            children.setdefault(stat.parent, []).append(stat.pid)
        tree, queue = [], [self.root]
        while queue:
            pid = queue.pop(0)
            tree.append(everyone[pid])
            queue.extend(sorted(children.get(pid, [])))
        return tree

    def cpu_seconds(self) -> float:
        """User and system time so far, ended children included (their parent inherits their time)."""
        tick = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for stat in self.members():
            total += stat.reaped_ticks / tick
            total += _precise_seconds(stat.pid) if self.proc is PROC else stat.own_ticks / tick
        return total

    def worker_rss_bytes(self) -> int:
        """Resident memory of the largest process that has no children, that is, of a worker."""
        members = self.members()
        parents = {stat.parent for stat in members}
        leaves = [stat.pid for stat in members if stat.pid not in parents]
        return max(rss_bytes(pid, self.proc) for pid in leaves)


def _precise_seconds(pid: int) -> float:
    """What utime + stime say in steps of ten milliseconds, to the nanosecond."""
    clock = (~pid << 3) | 2  # what clock_getcpuclockid(3) makes of a process id
    try:
        return time.clock_gettime(clock)
    except OSError:  # it ended while we looked
        return 0.0


def rss_bytes(pid: int, proc: Path = PROC) -> int:
    """Resident set size of one process, 0 when it has ended."""
    try:
        for line in (proc / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0
