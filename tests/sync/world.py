"""Servers for the runs: ours, on each engine, with the settings that the clients expect."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.support.postgres import Postgres
from tests.support.servers import ROOT, Server, start_kintoun, write_ini
from tests.sync.checker import check, explain
from tests.sync.clients import Load, Run
from tests.sync.history import History
from tests.sync.versions import Violation

ENGINES = ("sqlite", "postgresql")
KEPT = os.environ.get("KINTOUN_SYNC_KEEP")
"""A directory where the histories of failed runs are kept; without it they are only explained."""


def settings(uri: str | None) -> dict[str, str]:
    """The ini of a server on PostgreSQL at ``uri``, or on SQLite when it is None."""
    ini = {
        "multiauth.policies": "basicauth",
        "kinto.userid_hmac_secret": "sync",
        "kinto.bucket_create_principals": "system.Authenticated",
    }
    for part in ("storage", "permission", "cache") if uri else ():
        ini[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
        ini[f"kinto.{part}_url"] = str(uri)
    return ini


@contextlib.contextmanager
def serving(
    engine: str,
    postgres: Postgres | None,
    *,
    workers: int = 1,
    env: dict[str, str] | None = None,
    data: Path | None = None,
    module: str | None = None,
    includes: str | None = None,
) -> Iterator[Server]:
    """A server with an empty database, with the plugins that ``includes`` names in the ini.

    ``module`` is a Python module to run in place of ``kintoun``.
    """
    uri = None
    if engine == "postgresql":
        assert postgres is not None
        uri = postgres.create_database()
    ini = settings(uri)
    if includes is not None:
        ini["kinto.includes"] = includes
    if module is None:
        server = start_kintoun(ini, workers=workers, env=env, data=data)
    else:
        server = _start_module(module, ini, workers, env or {})
    try:
        yield server
    finally:
        server.close()


def _start_module(module: str, ini: dict[str, str], workers: int, env: dict[str, str]) -> Server:
    directory = Path(tempfile.mkdtemp(prefix="kintoun-"))
    path = write_ini(directory / "kinto.ini", ini)

    def command(port: int) -> list[str]:
        where = ["--kinto-ini", str(path), "--host", "127.0.0.1", "--port", str(port)]
        how = ["--data", str(directory), "--workers", str(workers)]
        return [sys.executable, "-m", module, "serve", *where, *how]

    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    server = Server(command, directory, {"PYTHONPATH": os.pathsep.join(places), **env})
    try:
        return server.start()
    except BaseException:
        server.close()
        raise


@contextlib.asynccontextmanager
async def failing(history: History, name: str) -> AsyncIterator[None]:
    """Mark the time of the block as one in which requests may fail."""
    fault = history.begin_fault(name)
    try:
        yield
    finally:
        history.end_fault(fault)


async def kill_and_restart(server: Server, history: History) -> None:
    """SIGKILL the server with all its workers and start it again on the same data."""
    async with failing(history, "kill -9"):
        await asyncio.to_thread(server.kill9)
        await asyncio.to_thread(server.start)


def judge(run: Run, server: Server | None = None) -> None:
    """Fail with an explanation when the run broke a promise."""
    violations = check(run.history)
    if violations:
        raise AssertionError(_report(run.history, violations, server))


def _report(history: History, violations: list[Violation], server: Server | None) -> str:
    text = f"{len(violations)} broken promises in {len(history.operations)} operations\n"
    text += explain(history, violations)
    if KEPT:
        path = Path(KEPT) / f"history-{os.getpid()}-{id(history):x}.ndjson"
        history.save(path)
        text += f"\nThe history is in {path}"
    if server is not None:
        text += f"\nThe server said:\n{server.log()[-3000:]}"
    return text


__all__ = ["ENGINES", "Load", "Run", "failing", "judge", "kill_and_restart", "serving", "settings"]
