"""Where a worker of ours spends its time under one workload, by sampling it from outside (py-spy)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import seed
from bench.campaign import make_plan
from bench.contenders import Contender
from bench.load import LoadResult, run_load
from bench.workloads import Workload

SAMPLES_PER_SECOND = 500
IDLE = ("_worker (concurrent/futures/thread.py", "_spawn_")
"""A stack that ends in one of these waits for work: in a pool, or in the event loop of the server."""


class ProfilerError(Exception):
    """The profiler is missing or refused to work."""


def hottest(folded: str) -> tuple[Counter[str], Counter[str]]:
    """Samples by function, on top and anywhere in the stack, from folded stacks (``a;b;c 12`` a line).

    Stacks without Python frames and those of idle threads are left out.
    """
    top: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if not frames[-1] or any(mark in frames[-1] for mark in IDLE):
            continue
        top[frames[-1]] += int(count)
        for frame in set(frames):
            anywhere[frame] += int(count)
    return top, anywhere


def profile(contender: Contender, workload: Workload, seconds: float) -> tuple[str, LoadResult]:
    """Folded stacks of the busiest worker while *workload* runs. Raises ProfilerError."""
    contender.world = seed.touch_last(contender.world)
    workload.requests(contender.world)[0].send(contender.world.url)
    plan = make_plan(workload, contender, seconds + 1.5, 0)  # the profiler needs a moment to attach
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(run_load, plan)
        folded = _record(_worker(contender), seconds)
        return folded, load.result()


def _worker(contender: Contender) -> int:
    return max(contender.tree.members(), key=lambda stat: stat.own_ticks).pid


def _record(pid: int, seconds: float) -> str:
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        raise ProfilerError("py-spy is not installed: pip install py-spy")
    command = [program, "record", "-p", str(pid), "-d", str(round(seconds)), "-r", str(SAMPLES_PER_SECOND)]
    done = subprocess.run(
        [*command, "-f", "raw", "-F", "-o", "/dev/stdout"],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    if done.returncode:
        raise ProfilerError(done.stderr.strip()[-500:])
    return "\n".join(line for line in done.stdout.splitlines() if line.rpartition(" ")[2].isdigit())


def shares(counter: Counter[str], limit: int, total: int) -> Sequence[tuple[str, str]]:
    """The *limit* most frequent functions with their share of all samples."""
    return [(f"{count / total:.1%}", name) for name, count in counter.most_common(limit)]
