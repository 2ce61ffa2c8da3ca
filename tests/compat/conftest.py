"""The servers of the comparison, once per session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.fleet import Fleet
from tests.compat.running import Stage
from tests.support.postgres import Postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("compat", "comparison with the real Kinto")
    group.addoption("--compat-steps", type=int, default=None, help="random steps per sequence")
    group.addoption("--compat-seed", type=int, default=None, help="first seed of the random sequences")
    group.addoption("--compat-sequences", type=int, default=None, help="how many random sequences")


@pytest.fixture(scope="session")
def stage(postgres: Postgres) -> Iterator[Stage]:
    fleet = Fleet(postgres)
    yield Stage(fleet)
    fleet.close()
