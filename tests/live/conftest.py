"""Fixtures of the tests of what is live."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from kintoun.features.live.settings import LiveSettings
from tests.live.lists import C
from tests.support.fixtures import cheap_hashes, databases, engine
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

__all__ = ["cheap_hashes", "databases", "engine"]


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases, cheap_hashes: None) -> AsyncIterator[App]:
    """An application with a collection that everybody may read."""
    settings = settings_for(
        databases.url(engine),
        features=[*FEATURES, "live", "history"],
        sections={
            "live": LiveSettings(heartbeat_seconds=1, buffer_bytes=4096, streams_per_user=3, own_objects=5)
        },
    )
    async with opened(settings) as made:
        await made.bait()
        await made.ok("PUT /buckets/b", {"permissions": {"read": ["system.Everyone"]}})
        await made.ok(f"PUT {C}")
        yield made
