"""The guarantee itself: many clients against real servers, which are killed and started again meanwhile.

A run takes ``KINTOUN_SYNC_SECONDS`` (default 3); the campaign has longer ones with other loads and seeds.
"""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.support.postgres import Postgres
from tests.sync.checker import check
from tests.sync.clients import Load, Run
from tests.sync.world import ENGINES, judge, kill_and_restart, serving

SECONDS = float(os.environ.get("KINTOUN_SYNC_SECONDS", "3"))
CAMPAIGN_SECONDS = float(os.environ.get("KINTOUN_SYNC_SECONDS", "120"))

LOADS = {
    "mixed": Load(),
    "one record": Load(records=1, writers=6, racers=2, pause=0),
    "many writers": Load(writers=12, racers=0, sweepers=0, pollers=4, pause=0.001),
    "many batches": Load(writers=1, batchers=6, racers=1, records=12),
    "wide": Load(records=2000, writers=6, pause=0.001),
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_change_is_missed(engine: str, workers: int, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=workers) as server:
        run = Run(server.url, seed=workers)

        async def restart_in_the_middle() -> None:
            await asyncio.sleep(SECONDS / 2)
            await kill_and_restart(server, run.history)
            await asyncio.sleep(SECONDS / 2)

        await run.go(restart_in_the_middle)
        judge(run, server)


@pytest.mark.campaign
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_change_is_missed_in_a_long_run(
    engine: str, workers: int, load: str, postgres: Postgres
) -> None:
    with serving(engine, postgres, workers=workers) as server:
        seed = random.SystemRandom().randrange(10**6)
        run = Run(server.url, LOADS[load], seed=seed)

        async def restart_now_and_then() -> None:
            for _ in range(4):
                await asyncio.sleep(CAMPAIGN_SECONDS / 5)
                await kill_and_restart(server, run.history)
            await asyncio.sleep(CAMPAIGN_SECONDS / 5)

        await run.go(restart_now_and_then)
        judge(run, server)


async def test_the_checker_finds_a_timestamp_taken_before_the_lock(postgres: Postgres) -> None:
    with serving("postgresql", postgres, module="tests.sync.broken_server") as server:
        run = Run(server.url, Load(racers=0, batchers=0, sweepers=0, pollers=4))
        await run.go(lambda: run.operations(800))
    found = {violation.clause for violation in check(run.history)}
    assert "S1" in found
