"""How a worker ends without breaking off a conversation.

HTTP has no way to take back an open connection: a client may send its next request in the very moment in
which the server closes. So a worker that shall end first says `Connection: close` with every answer, and ends
when its clients have gone, or have been silent for a while.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from kintoun.http.rsgi import Adapter
from kintoun.serving.rundir import say_ready

TAKEN_OVER = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""Asks a worker to end because another one serves in its place."""

STOPPING = getattr(signal, "SIGUSR2", signal.SIGTERM)
"""Asks a worker to end because the server stops."""

IDLE_AT_STOP_SECONDS, IDLE_AT_RELOAD_SECONDS = 1.0, 3.0
"""How long no request must have come before the connections that are still open count as idle."""

LOOK_SECONDS = 0.02

_QUEUE_LENGTH = struct.Struct("24xI")
"""Where `TCP_INFO` of a listening socket has the number of connections that wait to be accepted."""


class Application(Protocol):
    """What a worker serves."""

    __rsgi__: Adapter

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None: ...

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None: ...


class Worker:
    """The application of a worker process, as RSGI servers call it."""

    def __init__(self, application: Application, port: int, stop_seconds: float) -> None:
        self.application = application
        self.__rsgi__ = application.__rsgi__
        self._port = port
        self._patience = stop_seconds / 2
        self._ending: asyncio.Task[None] | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the RSGI server before the first request."""
        self.application.__rsgi_init__(loop)
        if sys.platform != "win32":
            loop.add_signal_handler(TAKEN_OVER, self._end, loop, True)
            loop.add_signal_handler(STOPPING, self._end, loop, False)
        say_ready()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the RSGI server after the last request."""
        self.application.__rsgi_del__(loop)

    def _end(self, loop: asyncio.AbstractEventLoop, taken_over: bool) -> None:
        if self._ending is None:
            self._ending = loop.create_task(self._drain(taken_over))

    async def _drain(self, taken_over: bool) -> None:
        adapter = self.__rsgi__
        adapter.close()
        if taken_over:
            _leave_listeners(self._port)
        idle = IDLE_AT_RELOAD_SECONDS if taken_over else IDLE_AT_STOP_SECONDS
        deadline = time.monotonic() + self._patience
        silent_since, answers = time.monotonic(), adapter.last_answers
        while _busy(self._port) and (now := time.monotonic()) < deadline:
            if adapter.last_answers != answers:
                silent_since, answers = now, adapter.last_answers
            elif now - silent_since > idle:
                break
            await asyncio.sleep(LOOK_SECONDS)
        # The server now finishes what is under way, and closes what is idle.
        os.kill(os.getpid(), signal.SIGTERM)


def _busy(port: int) -> bool:
    """Whether clients are connected, or wait to be."""
    for connection in _sockets(port):
        if not _listens(connection):
            return True
        if _QUEUE_LENGTH.unpack_from(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28))[0]:
            return True
    return False


def _leave_listeners(port: int) -> None:
    """Accept no more connections, and leave those that wait to the other workers.

    The queue is shared, so it must not be closed: its descriptor is made to stand for a queue into which
    nobody ever comes.
    """
    for listener in _sockets(port):
        if _listens(listener):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as nobody:
                nobody.setblocking(False)
                nobody.bind("")
                nobody.listen(1)
                for number in _numbers(listener):
                    os.dup2(nobody.fileno(), number, inheritable=False)


def _listens(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _descriptors() -> Iterator[int]:
    """This process's sockets. Where there is no /proc there are none to see."""
    directory = Path("/proc/self/fd")
    for entry in list(directory.iterdir()) if directory.is_dir() else ():
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                yield int(entry.name)


def _sockets(port: int) -> Iterator[socket.socket]:
    """Copies of this process's sockets that are bound to a TCP port."""
    for number in _descriptors():
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
            if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getsockname()[1] == port:
                yield copy


def _numbers(listener: socket.socket) -> list[int]:
    """The descriptors, but for the copy itself, that stand for the same socket."""
    inode = os.fstat(listener.fileno()).st_ino
    return [
        number
        for number in _descriptors()
        if number != listener.fileno() and os.fstat(number).st_ino == inode
    ]
