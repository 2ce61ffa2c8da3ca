"""Fixtures that several directories of tests share; a conftest imports those it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.inprocess import App, Databases, opened, settings_for
from tests.support.postgres import Postgres

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Databases:
    return Databases(tmp_path_factory.mktemp("databases"), postgres)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    """An application with every feature on, on an empty database that has nothing but the bait in it."""
    async with opened(settings_for(databases.url(engine))) as made:
        await made.bait()
        made.forget()
        yield made
