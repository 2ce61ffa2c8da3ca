"""The wall clock jumps an hour back, and forth again: timestamps go on growing and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.postgres import Postgres
from tests.sync.clients import Client, Load, Run
from tests.sync.world import judge, kill_and_restart, serving

HOUR = 3600
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
CASES = [
    ("inside", "sqlite"),
    ("inside", "postgresql"),
    *(pytest.param("libfaketime", "sqlite", marks=pytest.mark.campaign) for _ in LIBRARIES[:1]),
]
"""Where the clock is falsified, and the engine: in the server's own module, or (slowly, and where Debian's
library is) for the whole process."""


class FalseClock:
    """A server's wall clock, to be set while it runs."""

    def __init__(self, kind: str, file: Path) -> None:
        self._file = file
        self.module = "tests.faults.skewed_server" if kind == "inside" else None
        self.env = {"KINTOUN_TEST_SKEW": str(file)}
        if kind == "libfaketime":
            self.env = {
                "LD_PRELOAD": str(LIBRARIES[0]),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let the clock differ from the true one."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)


@pytest.mark.parametrize(("kind", "engine"), CASES)
async def test_the_clock_is_set_back_an_hour(
    kind: str, engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    clock = FalseClock(kind, tmp_path / "clock")
    with serving(engine, postgres, workers=2, module=clock.module, env=clock.env) as server:
        run = Run(server.url, Load(pause=0.006))

        async def turn_the_hands() -> None:
            await asyncio.sleep(0.3)
            clock.set(-HOUR)
            await asyncio.sleep(0.4)
            assert abs(await new_list(run, "back") - (time.time() - HOUR)) < 60
            await kill_and_restart(server, run.history)
            await asyncio.sleep(0.3)
            clock.set(HOUR)
            await asyncio.sleep(0.4)
            assert abs(await new_list(run, "forth") - (time.time() + HOUR)) < 60
            clock.set(0)
            await asyncio.sleep(0.3)

        await run.go(turn_the_hands)
        judge(run, server)


async def new_list(run: Run, name: str) -> float:
    """The timestamp of a list that is looked at for the first time: the server's idea of now, in seconds."""
    client = Client(run, f"clock-{name}", home=f"/buckets/sync/collections/{name}/records")
    await client.call("PUT", f"/buckets/sync/collections/{name}", {"data": {}})
    reply = await client.call("GET", client.home)
    await client.close()
    assert reply is not None
    assert reply.etag is not None
    return reply.etag / 1000
