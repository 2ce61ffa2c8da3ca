"""Streamed answers under RSGI: sent as they come, no faster than their client takes them."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from granian._granian import RSGIProtocolClosed as ProtocolClosed

from kintoun.http.answers import Streamed
from kintoun.http.connections import Connections, State

log = structlog.get_logger()

LOOK_BYTES = 64 * 1024
"""How much is sent before it is looked at whether the client takes it: about what may wait in memory."""

MULTIPLEXED_BYTES = 1024 * 1024
"""How much is sent in an endless answer over HTTP/2, where it cannot be told which of its streams is read."""

STALLED_SECONDS = 30.0
"""How long a client may take nothing of what waits for it. An endless answer has no longer to catch up."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.25


class Stalled(Exception):
    """A client does not read what it asked for."""


class Pace:
    """Holds back what one client is sent until it has taken what it was sent before."""

    def __init__(self, connections: Connections, scope: Any, endless: bool) -> None:
        self._connections = connections
        self._ends = scope.server, scope.client
        self._multiplexed = scope.http_version == "2"
        self._endless = endless
        self._unseen = 0

    async def sent(self, size: int) -> None:
        """Wait until more may be sent after `size` bytes. Raises Stalled."""
        self._unseen += size
        if self._multiplexed:
            if self._endless and self._unseen > MULTIPLEXED_BYTES:
                raise Stalled
        elif self._unseen >= LOOK_BYTES:
            await self._room()
            self._unseen = 0

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        pause, left = SHORTEST_PAUSE, -1
        deadline = 0.0
        while (state := self._look()) is not None and not state.writable:
            if left < 0 or (state.unacknowledged != left and not self._endless):
                left, deadline = state.unacknowledged, loop.time() + STALLED_SECONDS
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


class Streams:
    """Sends streamed answers, and breaks off those that never end when the worker does."""

    def __init__(self) -> None:
        self._connections = Connections()
        self._endless: set[asyncio.Task[Any]] = set()
        self._ended = False
        self.stalled = 0
        """How many clients were cut off because they did not read."""

    def end(self) -> None:
        """Break off the answers that never end, present and future."""
        self._ended = True
        for task in self._endless:
            task.cancel()

    async def send(self, scope: Any, protocol: Any, answer: Streamed, headers: list[tuple[str, str]]) -> None:
        """Send an answer until it ends, its client goes, or the worker ends."""
        task = asyncio.current_task()
        assert task is not None, "requests are served in tasks"
        pace = Pace(self._connections, scope, answer.endless)
        gone: Any = None

        def leave(_: object) -> None:
            task.cancel()

        try:
            if answer.endless:
                self._endless.add(task)
                if scope.http_version != "2" and not self._ended:
                    headers.append(("Connection", "close"))
            transport = protocol.response_stream(answer.status, headers)
            gone = protocol.client_disconnect()
            gone.add_done_callback(leave)
            if not (answer.endless and self._ended):
                await self._pass_on(answer, transport, pace)
        except asyncio.CancelledError:
            if gone is None or not (gone.done() or (self._ended and answer.endless)) or task.uncancel():
                raise  # somebody else wants it to end
        except Stalled:
            self.stalled += 1
            pace.cut()
        except ProtocolClosed:
            pass
        except Exception:
            log.exception("a streamed answer broke off")
            pace.cut()  # what ends as if it were complete must be
        finally:
            self._endless.discard(task)
            if gone is not None:
                gone.remove_done_callback(leave)
                gone.cancel()
            await answer.stream.aclose()

    async def _pass_on(self, answer: Streamed, transport: Any, pace: Pace) -> None:
        async for part in answer.stream:
            await transport.send_bytes(part)
            await pace.sent(len(part))
