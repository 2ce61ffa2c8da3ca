"""A full disk: writes are refused with 503 and when to try again, reads go on, and nothing is lost."""

from __future__ import annotations

import random
import resource
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.servers import Server
from tests.sync.clients import HOME, Client, Load, Run
from tests.sync.world import failing, judge, kill_and_restart, serving

BLOB = random.Random(0).randbytes(20_000).hex()
"""Of a record; PostgreSQL would make little of what repeats itself."""

ENOUGH = 400


class Disk(ABC):
    """A place for the server's data that can run out of space and get more."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @abstractmethod
    def fill(self, server: Server) -> None:
        """Leave room for little more than what is there."""

    @abstractmethod
    def free(self, server: Server) -> None:
        """Give plenty of room."""


class LimitedFiles(Disk):
    """A limit on the size of the server's files: needs no rights, and works while the server runs."""

    def fill(self, server: Server) -> None:
        largest = max(file.stat().st_size for file in self.directory.rglob("*") if file.is_file())
        self._limit(server, largest + 300_000)

    def free(self, server: Server) -> None:
        self._limit(server, resource.RLIM_INFINITY)

    def _limit(self, server: Server, soft: int) -> None:
        parent = psutil.Process(server.pid)
        for process in (parent, *parent.children(recursive=True)):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


class SmallFileSystem(Disk):
    """A file system of a few megabytes: the true error, for those who may mount."""

    def fill(self, server: Server) -> None:
        used = sum(file.stat().st_blocks * 512 for file in self.directory.rglob("*") if file.is_file())
        self._mount(f"remount,size={used + 300_000}")

    def free(self, server: Server) -> None:
        self._mount("remount,size=64m")

    def __enter__(self) -> SmallFileSystem:
        self._mount("size=64m")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.directory)]
        subprocess.run(command, check=True, capture_output=True)


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as directory:
        try:
            with SmallFileSystem(Path(directory)):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


KINDS = ["limited files", *(["small file system"] if may_mount() else [])]


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    directory = tmp_path / "data"
    directory.mkdir()
    if request.param == "limited files":
        yield LimitedFiles(directory)
    else:
        with SmallFileSystem(directory) as disk:
            yield disk


async def test_a_full_disk_loses_nothing(disk: Disk) -> None:
    with serving("sqlite", None, data=disk.directory) as server:
        await write_until_it_is_full(server, disk)


async def write_until_it_is_full(server: Server, disk: Disk) -> None:
    """Fill the disk by writing, make room, kill the server, and judge what its clients were told."""
    run = Run(server.url, Load(records=10, beside=0))
    client = Client(run, "writer")
    await run.prepare()
    async with failing(run.history, "disk full"):
        disk.fill(server)
        await fill_up(client)
        await reads_go_on(client)
        disk.free(server)
        reply = await client.call("PUT", client.path("r1"), client.data())
        assert reply is not None
        assert reply.status in (200, 201), "the server does not recover when there is room again"
    await kill_and_restart(server, run.history)
    await client.call("PUT", client.path("r1"), client.data())
    await client.close()
    await run.last_word()
    judge(run, server)


async def fill_up(client: Client) -> None:
    """Write until the disk is full, and a little longer."""
    refused = 0
    for number in range(ENOUGH):
        sent = client.data(blob=BLOB)
        if number % 5 == 4:
            item = {"method": "PUT", "path": client.path(f"b{number}"), "body": sent}
            other = {"method": "PUT", "path": client.path(f"c{number}"), "body": client.data(blob=BLOB)}
            reply = await client.call("POST", "/batch", {"requests": [item, other]})
        else:
            reply = await client.call("PUT", client.path(f"d{number}"), sent)
        assert reply is not None, "the connection was dropped"
        if reply.status not in (200, 201):
            assert reply.status == 503, f"a full disk is answered {reply.status}: {reply.body}"
            assert int(reply.headers["retry-after"]) > 0
            refused += 1
        if refused == 10:
            return
    raise AssertionError("the disk never filled up")


async def reads_go_on(client: Client) -> None:
    for method, path in (
        ("GET", client.path("r1")),
        ("GET", HOME),
        ("HEAD", HOME),
        ("GET", f"{HOME}?_since=1"),
    ):
        reply = await client.call(method, path)
        assert reply is not None
        assert reply.status == 200, f"{method} {path} with a full disk: {reply.status} {reply.body}"
