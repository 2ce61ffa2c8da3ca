"""Streamed answers under RSGI: sent as they come, no faster than their client takes them."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from granian._granian import RSGIProtocolClosed as ProtocolClosed

from kintoun.http.answers import Pushing, Streamed
from kintoun.http.connections import Connections, State

log = structlog.get_logger()

LOOK_BYTES = 64 * 1024
"""How much is sent before it is looked at whether the client takes it: about what may wait in memory."""

MULTIPLEXED_BYTES = 1024 * 1024
"""How much is sent in an endless answer over HTTP/2, where it cannot be told which of its streams is read."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.25


class Stalled(Exception):
    """A client does not read what it asked for."""


class Outlet:
    """Sends one client what it asked for, no faster than it takes it."""

    __slots__ = (
        "_connections", "_endless", "_ends", "_most", "_multiplexed", "_patience", "_transport", "_unseen",
    )  # fmt: skip

    def __init__(self, connections: Connections, scope: Any, transport: Any, answer: Streamed) -> None:
        self._connections = connections
        self._ends = scope.server, scope.client
        self._multiplexed = scope.http_version == "2"
        self._transport = transport
        self._endless = answer.endless
        self._patience = answer.patience
        self._most = MULTIPLEXED_BYTES if self._multiplexed else LOOK_BYTES
        self._unseen = 0

    def push(self, data: bytes) -> bool:
        """Send bytes without waiting: see `http.answers.Pushing`."""
        unseen = self._unseen + len(data)
        if unseen >= self._most:
            return False
        self._unseen = unseen
        # The transport has taken them when it returns. Of a client that has gone we are told otherwise.
        self._transport.send_bytes(data)
        return True

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait until more may be sent. Raises Stalled."""
        await self._transport.send_bytes(data)
        self._unseen += len(data)
        if self._unseen < self._most:
            return
        if not self._multiplexed:
            await self._room()
            self._unseen = 0
        elif self._endless:
            raise Stalled

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        pause, left = SHORTEST_PAUSE, -1
        deadline = 0.0
        while (state := self._look()) is not None and not state.writable:
            if left < 0 or (state.unacknowledged != left and not self._endless):
                left, deadline = state.unacknowledged, loop.time() + self._patience
            elif loop.time() > deadline:
                raise Stalled
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _look(self) -> State | None:
        return self._connections.look(*self._ends)

    def cut(self) -> None:
        """End the connection, with all that waits for it."""
        state = None if self._multiplexed else self._look()
        if state is not None:
            self._connections.cut(state)


class _Leave:
    """Breaks off what one task sends: once, whoever wants it to."""

    __slots__ = ("left", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.left = False

    def __call__(self, _: object = None) -> None:
        if not self.left:
            self.left = True
            self.task.cancel()


class Streams:
    """Sends streamed answers, and breaks off those that never end when the worker does."""

    def __init__(self) -> None:
        self._connections = Connections()
        self._endless: set[_Leave] = set()
        self._ended = False
        self.stalled = 0
        """How many clients were cut off because they did not read."""

    def end(self) -> None:
        """Break off the answers that never end, present and future."""
        self._ended = True
        for leave in self._endless:
            leave()

    async def send(self, scope: Any, protocol: Any, answer: Streamed, headers: list[tuple[str, str]]) -> None:
        """Send an answer until it ends, its client goes, or the worker ends."""
        task = asyncio.current_task()
        assert task is not None, "requests are served in tasks"
        leave = _Leave(task)
        gone = outlet = None
        try:
            if answer.endless:
                self._endless.add(leave)
                if scope.http_version != "2" and not self._ended:
                    headers.append(("Connection", "close"))
            transport = protocol.response_stream(answer.status, headers)
            outlet = Outlet(self._connections, scope, transport, answer)
            gone = protocol.client_disconnect()
            gone.add_done_callback(leave)
            if not (answer.endless and self._ended):
                await self._pass_on(answer, outlet)
        except asyncio.CancelledError:
            if not leave.left or task.uncancel():
                raise  # somebody else wants it to end
        except Stalled:
            self.stalled += 1
            if outlet is not None:
                outlet.cut()
        except ProtocolClosed:
            pass
        except Exception:
            log.exception("a streamed answer broke off")
            if outlet is not None:
                outlet.cut()  # what ends as if it were complete must be
        finally:
            self._endless.discard(leave)
            if gone is not None:
                gone.remove_done_callback(leave)
                gone.cancel()
            await answer.stream.aclose()

    async def _pass_on(self, answer: Streamed, outlet: Outlet) -> None:
        pushing = answer.stream if isinstance(answer.stream, Pushing) else None
        try:
            if pushing is not None:
                pushing.push = outlet.push
            async for part in answer.stream:
                await outlet.send(part)
        finally:
            if pushing is not None:
                pushing.push = None  # the answer is complete when nobody holds its transport any more
