"""The process that watches: Granian's manager, taught to replace workers without losing a connection.

The listening sockets are this process's own: one for each worker, among which the kernel shares out the
connections, and which a worker hands on to the one that replaces it. As Granian has it on Linux they end with
the worker, and connections that wait in their queues are reset.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from granian._granian import ListenerSpec
from granian.server.mp import MPServer, WorkerProcess

from kintoun.serving.draining import STOPPING, TAKEN_OVER
from kintoun.serving.rundir import is_ready

log = structlog.get_logger()

READY_SECONDS = 60.0
"""How long a worker may take to start before the one that it was to replace goes on."""

LOOK_SECONDS = 0.02

_SO_ATTACH_FILTER = 26


class Manager(MPServer):
    """Watches the workers of one server.

    `reread` reads the configuration again, for a reload. `spawned` is called when the first workers have been
    made: who starts a thread waits for it, since a worker must not be born while a thread holds a lock.
    """

    def __init__(
        self, directory: Path, reread: Callable[[], None], spawned: Callable[[], None], **options: Any
    ) -> None:
        super().__init__(**options)
        self._stop_seconds: int = options["workers_kill_timeout"]
        self._directory = directory
        self._reread = reread
        self._spawned = spawned

    def _init_shared_socket(self) -> None:
        spec = ListenerSpec(self.bind_addr, self.bind_port, self.backlog)
        shared = sys.platform != "linux"  # elsewhere the kernel gives all to the socket that came last
        self._holders = [spec.build() for _ in range(1 if shared else self.workers)]
        self._listeners = [socket.socket(fileno=holder.get_fd()) for holder in self._holders]
        for listener in self._listeners:
            listener.set_inheritable(True)

    def _drop_shared_socket(self) -> None:
        """Let nobody else in: those who are in a queue already will be answered."""
        for listener in self._listeners:
            if sys.platform == "linux":
                _shut_out(listener)
            listener.close()

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> WorkerProcess:
        own = idx % len(self._listeners)
        self._ssp, self._shd, self._sso = None, self._holders[own], self._listeners[own]
        return super()._spawn_worker(idx, target, callback_loader)

    def _spawn_workers(self, spawn_target: Any, target_loader: Any) -> None:
        super()._spawn_workers(spawn_target, target_loader)
        self._spawned()

    def _stop_workers(self) -> None:
        for worker in self.wrks:
            _ask(worker, STOPPING)
        deadline = time.monotonic() + self._stop_seconds
        for worker in self.wrks:
            _wait(worker, deadline)
        self.wrks.clear()

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """Replace the workers one after the other, if the configuration is good."""
        try:
            self._reread()
        except Exception as error:
            log.error("the configuration was not reloaded", error=str(error))
            self.reload_signal = False
            if not (self.interrupt_signal or self.interrupt_children):
                self.main_loop_interrupt.clear()
            return
        super()._reload(spawn_target, target_loader)

    def _respawn_workers(
        self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0
    ) -> None:
        for index in workers:
            old = self.wrks[index]
            new = self._spawn_worker(idx=index, target=spawn_target, callback_loader=target_loader)
            new.interrupt_by_parent = replacing = old.inner.is_alive()  # until it is ready nobody misses it
            new.start()
            if not self._comes_up(new):
                if replacing:
                    log.error("a worker did not start, the one before it goes on", worker=index + 1)
                    new.inner.kill()
                    return
                # By this Granian knows workers that keep failing, and gives up. One that was killed when it
                # had served is none of them, however soon.
                self.respawned_wrks[index] = time.monotonic()
            new.interrupt_by_parent = False
            self.wrks[index] = new
            _ask(old, TAKEN_OVER)
            _wait(old, time.monotonic() + self._stop_seconds)

    def _comes_up(self, worker: WorkerProcess) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready(self._directory, worker.inner.pid):
            if not worker.inner.is_alive() or self.interrupt_signal or time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True


def _ask(worker: WorkerProcess, number: int) -> None:
    """Ask a worker to end."""
    worker.interrupt_by_parent = True
    with suppress(ProcessLookupError):
        os.kill(worker.inner.pid, number)


def _wait(worker: WorkerProcess, deadline: float) -> None:
    """Wait until a worker has ended, and end it when it does not."""
    process = worker.inner
    # Another thread waits for it too, so it may look alive for a moment after it was joined.
    while process.is_alive() and time.monotonic() < deadline:
        process.join(LOOK_SECONDS)
    if process.is_alive():
        log.warning("a worker did not stop in time", worker=worker.idx + 1)
        process.kill()
        process.join()


def _shut_out(listener: socket.socket) -> None:
    """Drop what arrives for a listening socket itself, connections that it has made already excepted.

    Closing it at once would reset whoever waits in its queue. Whoever comes later asks again in a second, and
    is refused then.
    """
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # return 0: drop
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
