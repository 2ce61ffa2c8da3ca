"""What all tests share: one PostgreSQL server, in which each makes databases of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.postgres import Postgres

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("kintoun", deadline=None)
settings.load_profile("kintoun")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the whole run. Its directory is not one of pytest's, which only their owner may enter."""
    with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as server:
        yield server
