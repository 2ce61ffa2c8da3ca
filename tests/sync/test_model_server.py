"""Clients and checker together find each fault of a broken server, and nothing in a sound one."""

from __future__ import annotations

import asyncio

import pytest

from tests.sync.checker import check, explain
from tests.sync.clients import Load, Run
from tests.sync.history import History
from tests.sync.model_server import FAULTS, ModelServer

LOAD = Load(records=12, pause=0.001)
OPERATIONS = 250
"""Between the events of a run. Counted rather than timed, so that a busy machine tests no less."""


async def run(fault: str | None) -> History:
    async with ModelServer(fault, seed=1).running() as server:
        campaign = Run(server.url, LOAD, seed=1)

        async def restart_in_the_middle() -> None:
            await campaign.operations(OPERATIONS)
            server.save()
            await campaign.operations(OPERATIONS)
            down = campaign.history.begin_fault("restart")
            server.restart()
            await asyncio.sleep(0.1)
            campaign.history.end_fault(down)
            await campaign.operations(OPERATIONS)

        return await campaign.go(restart_in_the_middle)


async def test_nothing_is_found_in_a_sound_server() -> None:
    history = await run(None)
    violations = check(history)
    assert not violations, explain(history, violations)
    methods = {operation.method for operation in history.operations}
    assert methods == {"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"}
    assert {200, 201, 304, 403, 404, 412} <= {operation.status for operation in history.operations}


@pytest.mark.parametrize(("fault", "clause"), FAULTS.items())
async def test_a_fault_is_found(fault: str, clause: str) -> None:
    found = {violation.clause for violation in check(await run(fault))}
    assert clause in found
