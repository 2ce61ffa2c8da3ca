"""The directory that the processes of one running server share: who is ready, and what they have counted.

It is made anew by every start and goes with the server. One that a killed server left behind is swept away by
the next start of the same user. The lock on it says that its server lives; it also keeps those away who clean
temporary directories of what is old.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kintoun.measures.shared import RUN_DIRECTORY

if sys.platform != "win32":
    import fcntl

PREFIX = "kintoun-run-"

NEW_SECONDS = 60.0
"""How long a directory is left alone: the server that made it may not have locked it yet."""


@contextmanager
def run_directory() -> Iterator[Path]:
    """Make the directory, name it in the environment, and remove it in the end."""
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    with _locked(path):
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
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            about = path.stat(follow_symlinks=False)
            if about.st_uid == os.getuid() and about.st_mtime < time.time() - NEW_SECONDS:
                with _locked(path, fcntl.LOCK_EX):
                    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path, how: int | None = None) -> Iterator[None]:
    """Hold a lock on a directory, shared unless it is said how. Raises OSError when somebody else does."""
    if sys.platform == "win32":
        yield
        return
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(number, (how or fcntl.LOCK_SH) | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)
