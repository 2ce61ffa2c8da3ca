"""What runs in a worker process: as Granian has it, but that answers which are ready take a shorter way.

Granian reads requests in threads of its own, which wake the event loop for each of them. What is ready is
sent from there, and nothing is woken.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from granian import _granian
from granian._futures import _future_watcher_wrapper
from granian._signals import set_loop_signals
from granian.constants import RuntimeModes
from granian.server.common import WORKERS_METHODS
from granian.server.mp import WorkerProcess

from kintoun.serving.draining import Worker

log = structlog.get_logger()

M_ARENA_MAX = -8
"""The parameter of glibc's `mallopt` for how many heaps there may be."""

HEAPS = 2


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def serve(
    number: int,
    worker: Worker,
    listener: Any,
    reports: Any,
    loop: asyncio.AbstractEventLoop,
    mode: RuntimeModes,
    *options: Any,
) -> None:
    """Serve until the process is told to end. The arguments are those with which Granian starts workers."""
    *of_threads, _tasks, http, http1, http2, websockets, static, _access_log, tls, _scope, metrics = options
    ended = asyncio.Event()
    signals = set_loop_signals(loop)  # type: ignore[no-untyped-call]
    signals.add_cb(lambda: loop.call_soon_threadsafe(ended.set))
    _share_heaps()
    worker.__rsgi_init__(loop)
    make: Any = _granian.RSGIWorker
    protocols = (http, http1, http2, websockets, static)
    server = make(number, listener, reports, *of_threads, *protocols, *tls, metrics)
    start = getattr(server, WORKERS_METHODS[mode][(listener[0] or listener[1]).is_uds()])
    start(Scheduler(loop, worker), loop, signals)
    loop.run_until_complete(ended.wait())
    worker.__rsgi_del__(loop)


def _share_heaps() -> None:
    """Let threads share heaps where glibc would give each its own, in which what it has freed stays."""
    with suppress(AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)


class Scheduler(_granian.CallbackScheduler):
    """Hands requests to the event loop, but for those that are answered at once."""

    def __new__(cls, loop: asyncio.AbstractEventLoop, worker: Worker) -> Scheduler:
        base: Any = super().__new__  # what it takes beside the loop is for other schedulers than this
        made: Scheduler = base(cls, loop, worker, None, None, None)
        return made

    def __init__(self, loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
        self._schedule_fn = _scheduling(loop, self._ctx, worker)


def _scheduling(loop: asyncio.AbstractEventLoop, context: Any, worker: Worker) -> Callable[[Any], None]:
    at_once = worker.__rsgi__.at_once
    serve = _future_watcher_wrapper(worker.__rsgi__)  # type: ignore[no-untyped-call]

    def begin(watcher: Any) -> None:
        watcher.taskref(loop.create_task(serve(watcher)))

    def schedule(watcher: Any) -> None:
        try:
            if at_once(watcher.scope, watcher.proto):
                return
        except Exception:
            log.exception("an answer that was ready could not be sent")
        loop.call_soon_threadsafe(begin, watcher, context=context)

    return schedule
