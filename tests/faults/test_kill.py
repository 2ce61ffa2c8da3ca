"""kill -9 under load, of the server, its workers and its database: nothing is lost, nothing half done.

``KINTOUN_FAULT_ROUNDS`` says how often (default 2, in the campaign 100).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time

import psutil
import pytest

from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.sync.clients import HOME, Load, Run
from tests.sync.wire import Connection, Reply
from tests.sync.world import ENGINES, failing, judge, kill_and_restart, serving

ROUNDS = int(os.environ.get("KINTOUN_FAULT_ROUNDS", "2"))
CAMPAIGN_ROUNDS = int(os.environ.get("KINTOUN_FAULT_ROUNDS", "100"))
LOAD = Load(writers=4, racers=1, batchers=3, pollers=1, paging_pollers=1, pagers=1, readers=1, pause=0.003)
DICE = random.SystemRandom()
RECOVERY_SECONDS = 60.0


async def kill_server_under_load(server: Server, rounds: int) -> None:
    run = Run(server.url, LOAD, seed=DICE.randrange(10**6))

    async def kill_often() -> None:
        for _ in range(rounds):
            await asyncio.sleep(DICE.uniform(0.1, 0.8))
            await kill_and_restart(server, run.history)
        await asyncio.sleep(0.3)

    await run.go(kill_often)
    judge(run, server)


async def kill_workers_under_load(server: Server, rounds: int) -> None:
    run = Run(server.url, LOAD, seed=DICE.randrange(10**6))

    async def kill_often() -> None:
        for _ in range(rounds):
            await asyncio.sleep(DICE.uniform(0.2, 0.8))
            async with failing(run.history, "kill -9 of a worker"):
                before = workers(server)
                DICE.choice(before).kill()
                await replaced(server, before)
        await asyncio.sleep(0.3)

    await run.go(kill_often)
    judge(run, server)


def workers(server: Server) -> list[psutil.Process]:
    """The processes that serve: the children of the first that are not Python's own helpers."""
    alive = []
    for child in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "resource_tracker" not in " ".join(child.cmdline()):
                alive.append(child)
    return alive


async def replaced(server: Server, before: list[psutil.Process]) -> None:
    """The parent notices and starts another, without being told."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while len(workers(server)) < len(before) or workers(server) == before:
        assert time.monotonic() < deadline, "the worker was not replaced"
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)


async def kill_database_under_load(server: Server, postgres: Postgres, rounds: int) -> None:
    run = Run(server.url, LOAD, seed=DICE.randrange(10**6))

    async def kill_often() -> None:
        for _ in range(rounds):
            await asyncio.sleep(DICE.uniform(0.2, 0.8))
            async with failing(run.history, "kill -9 of the database"):
                await asyncio.to_thread(postgres.kill9)
                await answers_unavailable(server)
                await asyncio.to_thread(postgres.restart)
                await recovers(server)
        await asyncio.sleep(0.3)

    pid = server.pid
    await run.go(kill_often)
    assert server.pid == pid
    judge(run, server)


async def answers_unavailable(server: Server) -> None:
    """Without its database the server says so, and when to come back."""
    assert (await ask(server, "GET", "/__heartbeat__")).status == 503
    for method, path, sent in (("GET", HOME, None), ("PUT", f"{HOME}/r1", {"data": {}})):
        reply = await ask(server, method, path, sent)
        assert reply.status == 503, f"{method} {path}: {reply}"
        assert int(reply.headers["retry-after"]) > 0, f"{method} {path}: {reply.headers}"


async def recovers(server: Server) -> None:
    """By itself, soon after the database is back."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while (reply := await ask(server, "GET", "/__heartbeat__")).status != 200:
        assert time.monotonic() < deadline, f"still {reply.status} after {RECOVERY_SECONDS} s"
        await asyncio.sleep(0.05)


async def ask(server: Server, method: str, path: str, sent: object = None) -> Reply:
    connection = Connection(server.url, "alice")
    try:
        return await connection.request(method, path, sent=sent)
    finally:
        await connection.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_server_is_killed(engine: str, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=2) as server:
        await kill_server_under_load(server, ROUNDS)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_worker_is_killed(engine: str, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=2) as server:
        await kill_workers_under_load(server, 1)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_worker_is_frozen(engine: str, postgres: Postgres) -> None:
    """It may stop with a lock in its hand: the others wait for it, and no request fails."""
    with serving(engine, postgres, workers=2) as server:
        run = Run(server.url, LOAD, seed=DICE.randrange(10**6))

        async def freeze_and_thaw() -> None:
            await asyncio.sleep(DICE.uniform(0.3, 0.6))
            frozen = DICE.choice(workers(server))
            frozen.suspend()
            await asyncio.sleep(1)
            frozen.resume()
            await asyncio.sleep(0.3)

        await run.go(freeze_and_thaw)
        judge(run, server)


async def test_the_database_is_killed(mortal_postgres: Postgres) -> None:
    with serving("postgresql", mortal_postgres, workers=2) as server:
        await kill_database_under_load(server, mortal_postgres, ROUNDS)


async def test_workers_are_killed_as_soon_as_they_serve(postgres: Postgres) -> None:
    """Again and again: the server is not to take them for some that cannot start, and give up."""
    with serving("sqlite", postgres, workers=2) as server:
        for _ in range(4):
            before = workers(server)
            before[0].kill()
            await replaced(server, before)
            assert (await ask(server, "GET", "/__heartbeat__")).status == 200


@pytest.mark.campaign
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
async def test_the_server_is_killed_many_times(engine: str, workers: int, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=workers) as server:
        await kill_server_under_load(server, CAMPAIGN_ROUNDS)


@pytest.mark.campaign
@pytest.mark.parametrize("engine", ENGINES)
async def test_workers_are_killed_many_times(engine: str, postgres: Postgres) -> None:
    with serving(engine, postgres, workers=3) as server:
        await kill_workers_under_load(server, CAMPAIGN_ROUNDS)


@pytest.mark.campaign
@pytest.mark.parametrize("workers", [1, 3])
async def test_the_database_is_killed_many_times(workers: int, mortal_postgres: Postgres) -> None:
    with serving("postgresql", mortal_postgres, workers=workers) as server:
        await kill_database_under_load(server, mortal_postgres, CAMPAIGN_ROUNDS)
