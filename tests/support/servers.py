"""Real server processes for the tests: ours, and the Kinto that we are compared with."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("KINTO_REFERENCE", ROOT / ".reference"))
"""A virtual environment with kinto==26.5.0, psycopg2-binary, granian and waitress."""

_BESIDE = Path(sys.executable).parent / "kintoun"
PROGRAM = str(_BESIDE) if _BESIDE.exists() else "kintoun"

START_SECONDS = 60.0
STOP_SECONDS = 15.0

KINTO_MODULE = """\
import os
from pyramid.paster import get_app

application = get_app(os.environ["KINTO_INI"], "main")
"""


class ServerDied(Exception):
    """A server process ended, or did not answer in time; the message carries the end of its log."""


class Server:
    """One server under test in a process group of its own.

    `command` gets the port and returns the argument list. The port, the data and the command stay the same
    when the server is restarted, so that a test can kill it and look at what survived.
    """

    def __init__(
        self, command: Callable[[int], Sequence[str]], directory: Path, env: Mapping[str, str]
    ) -> None:
        self._command = command
        self.directory = directory
        self._env = {**os.environ, **env}
        self._log = directory / "server.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self._port

    @property
    def root(self) -> str:
        """The URL of the server without the version: `http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL of the API: `http://127.0.0.1:PORT/v1`."""
        return f"{self.root}/v1"

    @property
    def pid(self) -> int:
        """The process id of the first process; its workers are in the same process group."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> Server:
        """Start and wait until the heartbeat answers; raises ServerDied when it does not within a minute."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self._command(self._port)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self._env,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self.ready():
                return self
            time.sleep(0.05)
        self.kill9()
        raise ServerDied(f"{self._command(self._port)[0]} did not start:\n{self.log()[-4000:]}")

    def ready(self) -> bool:
        """Whether the heartbeat answers (410 counts: a server past its end of service is up)."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/v1/__heartbeat__")
            return connection.getresponse().status in (200, 410)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill9(self) -> None:
        """SIGKILL the whole process group: no handler runs, no buffer is flushed."""
        self._signal_group(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)
        self._process = None

    def stop(self) -> None:
        """Ask the server to end, and kill it when it does not; nothing happens when it is down."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill9()  # workers that outlived their parent

    def restart(self) -> None:
        """Start again with the same command, port and data, stopping first when the server runs."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and delete the server's directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self) -> str:
        """What the server has printed since its first start."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal_group(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def write_ini(path: Path, settings: Mapping[str, str]) -> Path:
    """Write a Kinto ini whose `[app:main]` holds `settings` (keys as they are, e.g. `kinto.readonly`)."""
    lines = ["[app:main]", "use = egg:kinto"]
    lines += [f"{key} = {value}" for key, value in settings.items()]
    lines += ["", "[server:main]", "use = egg:waitress#main", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def start_kintoun(
    ini: Mapping[str, str],
    *,
    workers: int = 1,
    data: Path | str | None = None,
    env: Mapping[str, str] | None = None,
) -> Server:
    """Start our server from Kinto settings; `data` is where its SQLite file lies (if None, somewhere)."""
    directory = Path(tempfile.mkdtemp(prefix="kintoun-"))
    path = write_ini(directory / "kinto.ini", ini)
    store = Path(data) if data is not None else directory / "data"
    store.mkdir(parents=True, exist_ok=True)

    def command(port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--data", str(store), "--workers", str(workers)]
        return [PROGRAM, "serve", "--kinto-ini", str(path), *where]

    return _start(Server(command, directory, env or {}))


def start_configured(
    configuration: str,
    *prepare: Sequence[str | Path],
    accounts: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Server:
    """Start our server from the text of a `kintoun.toml`; relative names in it are in the server's directory.

    `prepare` are commands of ours to run before, as `("pki", "init")`; `accounts` are made after it has
    started, with the passwords that `password_of` tells.
    """
    directory = Path(tempfile.mkdtemp(prefix="kintoun-"))
    file = directory / "kintoun.toml"
    file.write_text(configuration, encoding="utf-8")

    def command(port: int) -> list[str]:
        return [PROGRAM, "serve", "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]

    server = Server(command, directory, env or {})
    try:
        for arguments in prepare:
            subprocess.run(
                [PROGRAM, *arguments], check=True, capture_output=True, cwd=directory, timeout=START_SECONDS
            )
        server.start()
        for name in accounts:
            add_account(server, name)
    except BaseException:
        server.close()
        raise
    return server


def add_account(server: Server, name: str) -> None:
    """Make an account on a server where everybody may."""
    body = {"data": {"password": password_of(name)}}
    httpx.put(f"{server.url}/accounts/{name}", json=body, timeout=START_SECONDS).raise_for_status()


def password_of(account: str) -> str:
    """The password of an account of the tests."""
    return f"pass-of-{account}"


def start_kinto(ini: Mapping[str, str], *, threads: int = 16, waitress: bool = False) -> Server:
    """Start the real Kinto: `kinto migrate`, then one process of granian (or waitress), `threads` threads."""
    directory = Path(tempfile.mkdtemp(prefix="kinto-"))
    path = write_ini(directory / "kinto.ini", ini)
    (directory / "kinto_under_test.py").write_text(KINTO_MODULE, encoding="utf-8")
    env = {"KINTO_INI": str(path), "PYTHONPATH": str(directory)}
    subprocess.run(
        [REFERENCE / "bin" / "kinto", "migrate", "--ini", path],
        check=True,
        capture_output=True,
        cwd=directory,
        env={**os.environ, **env},
        timeout=START_SECONDS,
    )

    def with_granian(port: int) -> list[str]:
        options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", str(threads), "--no-ws"]
        where = ["--host", "127.0.0.1", "--port", str(port)]
        return [str(REFERENCE / "bin" / "granian"), *options, *where, "kinto_under_test:application"]

    def with_waitress(port: int) -> list[str]:
        options = [f"--listen=127.0.0.1:{port}", f"--threads={threads}", "kinto_under_test:application"]
        return [str(REFERENCE / "bin" / "waitress-serve"), *options]

    return _start(Server(with_waitress if waitress else with_granian, directory, env))


def _start(server: Server) -> Server:
    try:
        return server.start()
    except BaseException:
        server.close()
        raise
