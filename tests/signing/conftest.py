from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.signing.desk import Desk, at_desk
from tests.support.fixtures import databases, engine
from tests.support.inprocess import Databases

__all__ = ["databases", "engine"]


@pytest_asyncio.fixture
async def desk(engine: str, databases: Databases, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk with a source, reviewed and with a preview; history is on."""
    async with at_desk(databases.url(engine), tmp_path, features=("history",)) as made:
        await made.open()
        yield made
