"""Ours answers seeded random sequences as the real Kinto does, on both engines."""

from __future__ import annotations

import pytest

from tests.compat.random_world import World
from tests.compat.running import Stage, report, unexplained
from tests.compat.scenario import Scenario
from tests.compat.shrinking import shrink

STEPS, SEQUENCES, SEED = 120, 3, 20_26
SHRINK_SECONDS = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    first = option("--compat-seed", None) or SEED
    sequences = option("--compat-sequences", None) or SEQUENCES
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(first, first + sequences))


@pytest.mark.parametrize("engine", ["kintoun-sqlite", "kintoun-postgresql"])
def test_random_sequences_agree(stage: Stage, pytestconfig: pytest.Config, seed: int, engine: str) -> None:
    steps = pytestconfig.getoption("--compat-steps", None) or STEPS
    scenario = World(seed).scenario(steps, f"seed {seed}")
    if not _strange(stage, scenario, engine):
        return
    shortest = shrink(scenario, lambda candidate: bool(_strange(stage, candidate, engine)), SHRINK_SECONDS)
    exchanges = stage.exchanges(shortest, engine)
    told = "\n".join(
        f"{index + 1}. {exchange.step.user}: {exchange.ours_request} -> {exchange.ours.status}"
        for index, exchange in enumerate(exchanges)
    )
    pytest.fail(f"seed {seed}, in short:\n{told}\n{report(exchanges, unexplained(stage, exchanges))}")


def _strange(stage: Stage, scenario: Scenario, engine: str) -> bool:
    return bool(unexplained(stage, stage.exchanges(scenario, engine)))
