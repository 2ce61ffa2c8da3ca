"""One PostgreSQL for the tests that leave it alone, and one to kill."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from tests.support.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as server:
        yield server


@pytest.fixture
def mortal_postgres() -> Iterator[Postgres]:
    with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as server:
        yield server
