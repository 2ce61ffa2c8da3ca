"""Our server, broken on purpose: on PostgreSQL it takes a write's timestamp before it holds the list's clock.

This is the fault that a store must not have: writers that overlap commit in another order than that of their
timestamps, so whoever polls meanwhile skips the late one for good. The checker is shown to find it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from kintoun.model.paths import ListPath
from kintoun.storage import postgresql
from kintoun.storage.rows import Clock

_lock = postgresql.PostgreSQLTransaction.lock


async def _read_and_dawdle(
    self: postgresql.PostgreSQLTransaction, paths: Sequence[str], buckets: Sequence[str]
) -> list[Clock]:
    clocks = await _lock(self, paths, buckets)
    await asyncio.sleep(random.uniform(0, 0.01))
    return clocks


def _no_lane(self: postgresql.PostgreSQL, lists: Sequence[ListPath]) -> None:
    return None


# At import, not under the guard: worker processes import this module again.
postgresql._LOCK = postgresql._LOCK.removesuffix(" FOR UPDATE")
postgresql._LOCK_BUCKETS = postgresql._LOCK_BUCKETS.removesuffix(" FOR UPDATE")
postgresql.PostgreSQLTransaction.lock = _read_and_dawdle  # type: ignore[method-assign]
postgresql.PostgreSQL.lane = _no_lane  # type: ignore[method-assign]

if __name__ == "__main__":
    from kintoun.cli import main

    main()
