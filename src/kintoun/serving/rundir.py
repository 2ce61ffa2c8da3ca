"""The directory that the processes of one running server share: who is ready, and what they have counted.

It is made anew by every start and goes with the server. One that a killed server left behind is swept away by
the next start of the same user.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kintoun.measures.shared import RUN_DIRECTORY

if sys.platform != "win32":
    import fcntl

PREFIX = "kintoun-run-"
_OWNER = "owner"


@contextmanager
def run_directory() -> Iterator[Path]:
    """Make the directory, name it in the environment, and remove it in the end."""
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (path / _OWNER).open("wb") as owner:
        _hold(owner)
        os.environ[RUN_DIRECTORY] = str(path)
        try:
            yield path
        finally:
            os.environ.pop(RUN_DIRECTORY, None)
            shutil.rmtree(path, ignore_errors=True)


def say_ready() -> None:
    """Called by a worker that is about to serve."""
    path = os.environ.get(RUN_DIRECTORY)
    if path is not None:
        _mark(Path(path), os.getpid()).touch()


def is_ready(path: Path, pid: int) -> bool:
    """Whether the worker with this process id said so; it is forgotten once it was asked and true."""
    mark = _mark(path, pid)
    if not mark.exists():
        return False
    mark.unlink()
    return True


def _mark(path: Path, pid: int) -> Path:
    return path / f"ready-{pid}"


def _sweep() -> None:
    """Remove the directories of servers that are no more."""
    if sys.platform == "win32":
        return
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_OWNER}"):
        with suppress(OSError):
            if owner.parent.stat().st_uid != os.getuid():
                continue
            with owner.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(owner.parent, ignore_errors=True)


def _hold(owner: IO[bytes]) -> None:
    if sys.platform != "win32":
        fcntl.flock(owner, fcntl.LOCK_SH)
