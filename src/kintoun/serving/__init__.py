"""The processes: one that watches, and workers that serve."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - by connecting; not in a thread, beside which a worker is born
import gc
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from msgspec.structs import replace

from kintoun.config import dump, revive
from kintoun.http.request_ids import add_request_id
from kintoun.serving import spawning
from kintoun.serving.draining import Application, Worker
from kintoun.serving.manager import Manager
from kintoun.serving.rundir import run_directory
from kintoun.settings import Server, Settings

log = structlog.get_logger()

RESOLVED = "KINTOUN_RESOLVED_SETTINGS"
"""The variable by which a worker gets the settings as they were resolved, in JSON."""

OF_THE_START = ("host", "port", "workers", "backlog", "connections", "stop_seconds")
"""Settings of `[server]` that a reload leaves as they are."""

READY_SECONDS = 60.0
LEVELS = {
    "debug": LogLevels.debug,
    "info": LogLevels.warning,
    "warning": LogLevels.warning,
    "error": LogLevels.error,
}
"""What the process manager says at each of our levels: its tale of workers is for debugging."""


class AddressInUse(Exception):
    """The address cannot be listened on; the message says why."""


Target = Literal["application", "signing_service"]
"""What the workers serve: the function of this module that makes it."""


def application() -> Worker:
    """The server's application in a worker."""
    from kintoun.app import create_app

    return _worker(create_app)


def signing_service() -> Worker:
    """The signing service in a worker."""
    from kintoun.signer.application import Application

    return _worker(Application)


def _worker(create: Callable[[Settings], Application]) -> Worker:
    """A worker, from the settings that its parent resolved."""
    settings = revive(os.environ[RESOLVED])
    # What there is to say of the settings was said by the process that checked them.
    configure_log(settings.server, "error")
    app = create(settings)
    configure_log(settings.server)
    # What was imported and composed stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 10, 10)
    return Worker(app, settings.server.port, settings.server.stop_seconds)


def of_libraries(form: str) -> dict[str, Any]:
    """How the process manager and the libraries log, which know nothing of our log."""
    made = {"plain": {"format": "%(levelname)s: %(message)s"}, "json": {"()": JsonLines}}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": made["json" if form == "json" else "plain"]},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"_granian": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


class JsonLines(logging.Formatter):
    """Makes the lines of other loggers look like ours."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        event = {"logger": record.name, "event": record.getMessage(), "level": record.levelname.lower()}
        event["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event)


def configure_log(server: Server, level: str | None = None) -> None:
    """Log to standard error: one line of `key=value` pairs for each event, or one JSON object.

    `level` is the least that is logged, that of the settings when it is None.
    """
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if server.log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            add_request_id,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level or server.log_level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def url(server: Server) -> str:
    """The base URL of the API as somebody on this machine writes it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}/v1/"


def check(settings: Settings) -> None:
    """Compose the application once, so that a mistake ends this process and not one worker after the other.

    Raises ValueError when its parts do not fit together. What it imports, the workers share.
    """
    from kintoun.app import create_app

    configure_log(settings.server)
    create_app(settings)


def run(
    settings: Settings,
    when_ready: Callable[[], None],
    reread: Callable[[], Settings] | None = None,
    target: Target = "application",
) -> int:
    """Serve until SIGTERM or SIGINT, and return 0, or 1 when the workers kept failing.

    `when_ready` is called from a thread when the first answer has been seen, `reread` on SIGHUP: it returns
    the settings for the workers that replace the present ones, or raises. Raises AddressInUse.
    """
    check_address(settings.server)
    os.environ[RESOLVED] = dump(settings)

    def read_again() -> None:
        if reread is not None:
            os.environ[RESOLVED] = dump(_reloaded(settings, reread()))

    with run_directory() as directory:
        manager = _manager(
            settings.server,
            directory,
            read_again,
            lambda: _announce(settings.server, when_ready),
            target,
        )
        try:
            manager.serve(spawning.serve)
        except SystemExit as stop:
            return 1 if stop.code else 0
    return 0


def _manager(
    server: Server,
    directory: Path,
    reread: Callable[[], None],
    spawned: Callable[[], None],
    target: Target,
) -> Manager:
    return Manager(
        directory,
        reread,
        spawned,
        target=f"kintoun.serving:{target}",
        factory=True,
        address=server.host,
        port=server.port,
        interface=Interfaces.RSGI,
        loop=Loops.asyncio if sys.platform == "win32" else Loops.uvloop,
        http=HTTPModes.auto,
        websockets=False,
        workers=server.workers,
        backlog=server.backlog,
        backpressure=server.connections,
        workers_kill_timeout=server.stop_seconds,
        respawn_failed_workers=True,
        log_access=False,
        log_level=LEVELS[server.log_level],
        log_dictconfig=of_libraries(server.log_format),
    )


def _reloaded(settings: Settings, new: Settings) -> Settings:
    """The settings after a reload: what belongs to the process that goes on stays what it was."""
    kept = {name: getattr(settings.server, name) for name in OF_THE_START}
    changed = sorted(name for name in OF_THE_START if getattr(new.server, name) != kept[name])
    if changed:
        log.warning("these settings of the server need a restart", keys=changed)
    return replace(new, server=replace(new.server, **kept))


def check_address(server: Server) -> None:
    """Raise AddressInUse when somebody listens there already.

    Workers share their address through SO_REUSEPORT, with which a second server would start on the same port
    without a word and take half of the requests.
    """
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((server.host, server.port))
    except OSError as error:
        raise AddressInUse(f"cannot listen on {server.host}:{server.port}: {error.strerror}") from error


def _announce(server: Server, when_ready: Callable[[], None]) -> None:
    threading.Thread(target=_wait_until_ready, args=(server, when_ready), daemon=True).start()


def _wait_until_ready(server: Server, when_ready: Callable[[], None]) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            if _answers(host, server.port):
                when_ready()
                return
        time.sleep(0.02)


def _answers(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(
            b"GET /v1/__lbheartbeat__ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        return connection.recv(5) == b"HTTP/"
