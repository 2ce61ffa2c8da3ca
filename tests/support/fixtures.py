"""Fixtures that several directories of tests share; a conftest imports those it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator

import argon2
import pytest
import pytest_asyncio

from kintoun.features.accounts import passwords
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


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords as weakly as can be, where what is tested is not how strong hashes are."""
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_argon2", weak)


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    """An application with every feature on, on an empty database that has nothing but the bait in it."""
    async with opened(settings_for(databases.url(engine))) as made:
        await made.bait()
        made.forget()
        yield made
