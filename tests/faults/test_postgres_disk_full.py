"""PostgreSQL cannot write: the server answers 503, goes on reading, and writes when there is room again."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.test_disk_full import Disk, SmallFileSystem, may_mount, write_until_it_is_full
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kintoun
from tests.sync.world import settings


class FullDatabase(Disk):
    """Where a database of a PostgreSQL lies."""

    def __init__(self, directory: Path, uri: str) -> None:
        super().__init__(directory)
        self.uri = uri


class LimitedFiles(FullDatabase):
    """A limit on the size of PostgreSQL's files: needs no rights. It is told an error that has no name."""

    def __init__(self, postgres: Postgres) -> None:
        super().__init__(postgres.data, postgres.create_database())
        self._postgres = postgres

    def fill(self, server: Server) -> None:
        largest = max(file.stat().st_size for file in self.directory.rglob("*") if file.is_file())
        self._limit(str(largest + 300_000))

    def free(self, server: Server) -> None:
        self._limit("unlimited")

    def _limit(self, soft: str) -> None:
        postmaster = psutil.Process(self._postgres.pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            # In a container, root may not do this to the processes of others: they do it themselves.
            command = ["prlimit", f"--pid={process.pid}", f"--fsize={soft}:unlimited"]
            subprocess.run(command, check=True, capture_output=True, user=self._postgres.user)


class SmallTablespace(FullDatabase):
    """A tablespace of a few megabytes: the true error, for those who may mount. The log lies elsewhere."""

    def __init__(self, postgres: Postgres, mounted: SmallFileSystem) -> None:
        self._mounted = mounted
        postgres.psql(f"CREATE TABLESPACE small LOCATION '{mounted.directory}'")
        postgres.psql("CREATE DATABASE in_small TABLESPACE small")
        super().__init__(mounted.directory, postgres.database_uri("in_small"))

    def fill(self, server: Server) -> None:
        self._mounted.fill(server)

    def free(self, server: Server) -> None:
        self._mounted.free(server)


@pytest.fixture
def small_postgres() -> Iterator[Postgres]:
    """One whose log comes in files that are smaller than what its tables grow to."""
    with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-"), "--wal-segsize=1") as server:
        yield server


KINDS = ["limited files", *(["small tablespace"] if may_mount() else [])]


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, small_postgres: Postgres) -> Iterator[FullDatabase]:
    if request.param == "limited files":
        yield LimitedFiles(small_postgres)
        return
    directory = Path(tempfile.mkdtemp(prefix="kintoun-small-"))
    with SmallFileSystem(directory) as mounted:
        if small_postgres.user is not None:
            shutil.chown(directory, small_postgres.user)
        yield SmallTablespace(small_postgres, mounted)
        small_postgres.kill9()
    directory.rmdir()


async def test_a_full_disk_loses_nothing(disk: FullDatabase) -> None:
    with start_kintoun(settings(disk.uri)) as server:
        await write_until_it_is_full(server, disk)
        assert "Traceback" not in server.log(), server.log()[-3000:]
