"""The checker is itself tested: every clause is shown to hold on a good history and to fail on a bad one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sync import scenes_reads, scenes_writes
from tests.sync.checker import check, explain
from tests.sync.history import History
from tests.sync.script import BAD, GOOD, LIST, Script

SCENES = (scenes_reads, scenes_writes)
"""Their import fills `GOOD` and `BAD`."""


@pytest.mark.parametrize("status", [400, 401, 404, 409, 412, 500, 503, None])
def test_a_plain_write_that_is_refused(status: int | None) -> None:
    script = Script()
    script.request("PUT", f"{LIST}/a", status, {}, sent={"data": {}})
    assert clauses(script) == {"X1"}


def clauses(script: Script) -> set[str]:
    return {violation.clause for violation in check(script.history)}


@pytest.mark.parametrize("scene", GOOD, ids=lambda scene: scene.__name__)
def test_a_good_history_is_accepted(scene: Callable[[Script], object]) -> None:
    script = Script()
    scene(script)
    violations = check(script.history)
    assert not violations, explain(script.history, violations)


@pytest.mark.parametrize(("clause", "scene"), BAD, ids=lambda value: getattr(value, "__name__", value))
def test_a_bad_history_is_refused(clause: str, scene: Callable[[Script], object]) -> None:
    script = Script()
    scene(script)
    violations = check(script.history)
    assert clause in {violation.clause for violation in violations}, explain(script.history, violations)
    assert all(str(violation) for violation in violations)


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    script = Script()
    scenes_writes.an_acknowledged_write_is_gone(script)
    script.history.save(tmp_path / "history.ndjson")
    assert check(History.load(tmp_path / "history.ndjson")) == check(script.history)


def test_a_hundred_thousand_events_are_checked_in_seconds() -> None:
    script = Script()
    held = 0
    for ts in range(1, 40_001):
        script.put(f"r{ts}", ts)
        script.get(f"r{ts}", ts)
        if ts % 4 == 0:
            script.since(held, ts, *range(held + 1, ts + 1))
            held = ts
    assert len(script.history.operations) == 90_000
    begin = time.process_time()
    assert not check(script.history)
    assert time.process_time() - begin < 20
