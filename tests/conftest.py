"""What all tests share: one PostgreSQL server, in which each makes databases of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from tests.support.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the whole run. Its directory is not one of pytest's, which only their owner may enter."""
    with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as server:
        yield server
