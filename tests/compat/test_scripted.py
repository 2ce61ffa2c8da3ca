"""Ours answers every scripted scenario as Kinto does, on both engines, but for the named differences."""

from __future__ import annotations

import pytest

from tests.compat.cases import all_scenarios
from tests.compat.differences import DIFFERENCES
from tests.compat.running import Stage, report, unexplained
from tests.compat.scenario import Scenario

SCENARIOS = all_scenarios()
TRAPS = range(1, 66)
ENGINES = ("kintoun-sqlite", "kintoun-postgresql")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: f"{item.feature}: {item.name}")
def test_answers_agree(stage: Stage, scenario: Scenario, engine: str) -> None:
    exchanges = stage.exchanges(scenario, engine)
    left = unexplained(stage, exchanges)
    stage.scripted.add((scenario.feature, scenario.name, engine))
    assert not left, "\n" + report(exchanges, left)


def test_every_trap_is_shown() -> None:
    shown = {number for scenario in SCENARIOS for number in scenario.traps}
    assert shown == set(TRAPS), f"protocol section 16 lacks {sorted(set(TRAPS) - shown)}"


def test_scenarios_have_names_of_their_own() -> None:
    names = [(scenario.feature, scenario.name) for scenario in SCENARIOS]
    assert len(names) == len(set(names))


def test_every_difference_fires(stage: Stage) -> None:
    if len(stage.scripted) < len(SCENARIOS) * len(ENGINES):
        pytest.skip("says something only after every scenario has been played")
    silent = [entry.name for entry in DIFFERENCES if not stage.fired[entry.name]]
    assert not silent, f"differences that no scenario shows: {silent}"
