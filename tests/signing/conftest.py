from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.signing.desk import Desk, at_desk
from tests.signing.softhsm import Token
from tests.support.fixtures import databases, engine
from tests.support.inprocess import Databases

__all__ = ["databases", "engine"]


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tokens are: their module reads its configuration once for each process."""
    return tmp_path_factory.mktemp("softhsm")


@pytest.fixture(scope="session")
def token(hsm: Path) -> Token:
    return Token(hsm, "signing")


@pytest_asyncio.fixture
async def desk(engine: str, databases: Databases, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk with a source, reviewed and with a preview; history is on."""
    async with at_desk(databases.url(engine), tmp_path, features=("history",)) as made:
        await made.open()
        yield made
