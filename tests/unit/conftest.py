"""A PostgreSQL server for the unit tests that compare the engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server that the tests share; each makes databases of its own in it."""
    with Postgres.start(tmp_path_factory.mktemp("postgres")) as server:
        yield server
