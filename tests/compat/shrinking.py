"""Makes a failing random sequence short enough to read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tests.compat.scenario import Scenario, Step, references


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], seconds: float) -> Scenario:
    """Drop steps as long as the rest still fails, for at most `seconds`."""
    deadline = time.monotonic() + seconds
    size = max(1, len(scenario.steps) // 2)
    while size >= 1:
        start = 0
        while start < len(scenario.steps):
            if time.monotonic() > deadline:
                return scenario
            rest = scenario.steps[:start] + scenario.steps[start + size :]
            candidate = replace(scenario, name=f"{scenario.name} shrunk", steps=_closed(rest))
            if candidate.steps and fails(candidate):
                scenario = candidate
            else:
                start += size
        size //= 2
    return scenario


def _closed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Without the steps that refer to one which is gone."""
    kept: list[Step] = []
    names: set[str] = set()
    for step in steps:
        if references(step) <= names:
            kept.append(step)
            names.add(step.name or "")
    return tuple(kept)
