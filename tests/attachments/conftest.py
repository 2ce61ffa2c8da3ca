"""Applications that keep files, on either engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.attachments.world import Attachers, attaching
from tests.support.fixtures import cheap_hashes, databases, engine  # noqa: F401 - fixtures
from tests.support.inprocess import Databases


@pytest_asyncio.fixture
async def files(
    engine: str,  # noqa: F811 - the fixtures
    databases: Databases,  # noqa: F811
    tmp_path: Path,
) -> AsyncIterator[Attachers]:
    """With the settings that are the default."""
    async with attaching(engine, databases, tmp_path / "files") as made:
        yield made
