"""A PostgreSQL to kill."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from tests.support.postgres import Postgres


@pytest.fixture
def mortal_postgres() -> Iterator[Postgres]:
    with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as server:
        yield server
