"""Waiting for the bodies of requests, within the time that they have."""

from __future__ import annotations

import asyncio

import pytest

from kintoun.http.patience import Patience


async def value(after: asyncio.Event | None = None) -> int:
    if after is not None:
        await after.wait()
    return 7


async def test_what_arrives_in_time_is_returned() -> None:
    patience = Patience(30)
    came = asyncio.Event()
    waiting = asyncio.create_task(patience.wait(value(came)))
    await asyncio.sleep(0)
    came.set()
    assert await waiting == 7
    assert await patience.wait(value()) == 7


async def test_what_takes_too_long_ends_with_a_timeout_and_the_task_goes_on() -> None:
    patience = Patience(0.05)

    async def serve() -> int:
        with pytest.raises(TimeoutError):
            await patience.wait(value(asyncio.Event()))
        await asyncio.sleep(0)
        return await patience.wait(value())

    assert await asyncio.gather(*(serve() for _ in range(5))) == [7] * 5


async def test_one_that_is_late_takes_no_other_with_it() -> None:
    patience = Patience(0.2)
    late = asyncio.create_task(patience.wait(value(asyncio.Event())))
    await asyncio.sleep(0.15)
    came = asyncio.Event()
    early = asyncio.create_task(patience.wait(value(came)))
    with pytest.raises(TimeoutError):
        await late
    came.set()
    assert await early == 7


async def test_a_task_that_is_cancelled_while_it_waits_is_cancelled() -> None:
    patience = Patience(30)
    waiting = asyncio.create_task(patience.wait(value(asyncio.Event())))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await patience.wait(value()) == 7


async def test_what_fails_raises_its_own_error() -> None:
    async def fails() -> None:
        raise ValueError("no body")

    with pytest.raises(ValueError, match="no body"):
        await Patience(30).wait(fails())
