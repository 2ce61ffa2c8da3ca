"""Applications with publication on, on an empty database of either engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from kintoun.features.publication.settings import PublicationSettings
from tests.support.fixtures import cheap_hashes, databases, engine
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

__all__ = ["cheap_hashes", "databases", "engine"]


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    """`main` is followed but for `main/hidden`, and `solo/c` alone of its bucket."""
    section = PublicationSettings(
        resources=["/buckets/main", "/buckets/main-preview", "/buckets/solo/collections/c"],
        excluded_collections=["/buckets/main/collections/hidden"],
    )
    settings = settings_for(
        databases.url(engine), features=[*FEATURES, "publication"], sections={"publication": section}
    )
    async with opened(settings) as made:
        await made.bait()
        made.forget()
        yield made
