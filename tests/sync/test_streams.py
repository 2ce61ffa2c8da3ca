"""The guarantee through streams: the same checker, whatever is cut, killed or restarted meanwhile."""

from __future__ import annotations

import asyncio
import os
import tempfile

import pytest

from tests.support.postgres import Postgres
from tests.sync import listening  # noqa: F401 - brings the clients that listen
from tests.sync.checker import check
from tests.sync.clients import Load, Run
from tests.sync.world import ENGINES, failing, judge, kill_and_restart, serving

SECONDS = float(os.environ.get("KINTOUN_SYNC_SECONDS", "3"))
CAMPAIGN_SECONDS = float(os.environ.get("KINTOUN_SYNC_SECONDS", "120"))

LISTENED = Load(listeners=6, pollers=1, paging_pollers=0, pagers=0, readers=0)
INCLUDES = "kinto.plugins.live"
KILL_SESSIONS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@pytest.mark.parametrize("engine", ENGINES)
async def test_streams_miss_nothing(engine: str, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=3, includes=INCLUDES) as server:
        run = Run(server.url, LISTENED)

        async def restart_in_the_middle() -> None:
            await asyncio.sleep(SECONDS / 2)
            await kill_and_restart(server, run.history)
            await asyncio.sleep(SECONDS / 2)

        await run.go(restart_in_the_middle)
        judge(run, server)
        streamed = [operation for operation in run.history.operations if operation.labels.get("stream")]
        assert len(streamed) > LISTENED.listeners


async def test_streams_outlive_postgresql() -> None:
    """Its sessions are killed, that of the listener among them, and then the whole server."""
    with (
        Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as postgres,
        serving("postgresql", postgres, workers=2, includes=INCLUDES) as server,
    ):
        run = Run(server.url, LISTENED)

        async def harm() -> None:
            await asyncio.sleep(SECONDS / 3)
            async with failing(run.history, "sessions killed"):
                await asyncio.to_thread(postgres.psql, KILL_SESSIONS)
            await asyncio.sleep(SECONDS / 3)
            async with failing(run.history, "PostgreSQL restarted"):
                await asyncio.to_thread(postgres.kill9)
                await asyncio.to_thread(postgres.restart)
                await asyncio.sleep(1)
            await asyncio.sleep(SECONDS / 3)

        await run.go(harm)
        judge(run, server)


@pytest.mark.parametrize(
    "fault", ["no second look", "as told", pytest.param("ahead", marks=pytest.mark.campaign)]
)
async def test_the_checker_finds_broken_streams(fault: str, postgres: Postgres) -> None:
    env = {"KINTOUN_BROKEN_STREAMS": fault}
    with serving(
        "postgresql", postgres, module="tests.sync.broken_streams", env=env, includes=INCLUDES
    ) as server:
        run = Run(server.url, LISTENED)
        await run.go(lambda: run.operations(800))
    assert {violation.clause for violation in check(run.history)} >= {"S1"}


@pytest.mark.campaign
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
async def test_streams_miss_nothing_in_a_long_run(engine: str, workers: int, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=workers, includes=INCLUDES) as server:
        run = Run(server.url, Load(listeners=20))

        async def restart_now_and_then() -> None:
            for _ in range(4):
                await asyncio.sleep(CAMPAIGN_SECONDS / 5)
                await kill_and_restart(server, run.history)
            await asyncio.sleep(CAMPAIGN_SECONDS / 5)

        await run.go(restart_now_and_then)
        judge(run, server)
