"""The server that dies at a step of an upload: the file that ``KINTOUN_TEST_DIE_AT`` names holds its name.

It dies as by ``kill -9``, once: the file is removed just before.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from kintoun.files.backends.local import LocalDisk
from kintoun.files.files import Files
from kintoun.files.spool import Spool
from kintoun.resources.service import Service
from kintoun.storage.unit import Unit

_FILE = Path(os.environ["KINTOUN_TEST_DIE_AT"])


def _die_at(step: str) -> None:
    if _FILE.exists() and _FILE.read_text() == step:
        _FILE.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: type, name: str, before: str | None = None, after: str | None = None) -> None:
    """Let a function of a class end at steps before and after it."""
    true: Callable[..., Any] = getattr(owner, name)
    if hasattr(true, "__code__") and true.__code__.co_flags & 0x80:  # a coroutine

        @wraps(true)
        async def stopped(*args: Any, **arguments: Any) -> Any:
            if before is not None:
                _die_at(before)
            result = await true(*args, **arguments)
            if after is not None:
                _die_at(after)
            return result

    else:

        @wraps(true)
        def stopped(*args: Any, **arguments: Any) -> Any:
            if before is not None:
                _die_at(before)
            result = true(*args, **arguments)
            if after is not None:
                _die_at(after)
            return result

    setattr(owner, name, stopped)


# At import, not under the guard: worker processes import this module again.
_around(Spool, "_flush", before="receiving", after="received some")
_around(Spool, "_finish", before="received", after="on disk")
_around(LocalDisk, "keep", before="announced", after="moved")
_around(Files, "keep", after="kept")
_around(Files, "place", after="placed")
_around(Unit, "finish", before="decided", after="written")
_around(Service, "committed", before="committed")

if __name__ == "__main__":
    from kintoun.cli import main

    main()
