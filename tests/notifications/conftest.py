from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notifications.receivers import Receiver
from tests.support.fixtures import databases, engine

__all__ = ["databases", "engine"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made
