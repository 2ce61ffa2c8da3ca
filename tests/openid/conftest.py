from collections.abc import AsyncIterator

import pytest_asyncio

from tests.openid.fake import FakeProvider, fake_provider
from tests.support.fixtures import databases, engine

__all__ = ["databases", "engine"]


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with fake_provider() as made:
        yield made
