"""An upload on its way in: the bytes that came so far, and the digest of them."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterable
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from time import time

BUFFER = 256 * 1024
"""Bytes that are gathered before a thread writes them: what is smaller never needs a temporary file."""

HASHED_AT_ONCE = 64 * 1024
"""Bytes whose digest takes less time than to ask a thread for it."""

PREFIX = "upload-"
LEFT_OVER_SECONDS = 3600.0
"""Age at which a temporary file that nothing was written to is one that its process left behind."""


class TooLarge(Exception):
    """More was sent than is allowed."""

    def __init__(self, most: int) -> None:
        super().__init__(f"larger than {most} bytes")
        self.most = most


class Spool:
    """Bytes in memory, and in a temporary file in `folder` once they are many.

    They count for nothing until they are kept. Raises TooLarge when more than `most` bytes are written. Use
    it as a context: at the end whatever was not kept is removed.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self._folder = folder
        self.content: bytes | None = None
        """All that was written, once `finish` has returned; None when it is in the temporary file."""
        self.size = 0
        self._most = most
        self._digest = sha256()
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._on_disk = False
        self._file: int | None = None
        self._ended = False
        # A thread goes on when the request that waited for it is cancelled: it must not meet a file closed,
        # whose number another file may have by then.
        self._lock = Lock()

    @cached_property
    def path(self) -> Path:
        """The temporary file, if there is one."""
        return self._folder / f"{PREFIX}{secrets.token_hex(16)}"

    @property
    def sha256(self) -> str:
        """The digest of what was written, once `finish` has returned."""
        return self._digest.hexdigest()

    async def __aenter__(self) -> Spool:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._on_disk or (self._ended and not self.path.exists()):
            return  # there never was a file, or it was moved to where it is kept
        # Shielded: also when the request was cancelled, nothing is left behind.
        await asyncio.shield(asyncio.to_thread(self._discard))

    async def write(self, part: bytes) -> None:
        """Add bytes. Raises TooLarge, and OSError when the disk takes no more."""
        self.size += len(part)
        if self._most is not None and self.size > self._most:
            raise TooLarge(self._most)
        self._buffer.append(part)
        self._buffered += len(part)
        if self._buffered >= BUFFER:
            self._on_disk = True
            await asyncio.to_thread(self._flush)

    async def fill(self, source: bytes | AsyncIterable[bytes]) -> None:
        """Add all that comes."""
        if isinstance(source, bytes):
            await self.write(source)
            return
        async for part in source:
            await self.write(part)

    async def finish(self) -> None:
        """Nothing more comes. What is in a file is on disk then, so that a crash after this loses nothing."""
        if self._ended:
            return
        if self._on_disk:
            await asyncio.to_thread(self._finish)
            return
        self.content = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
        self._ended = True
        if self.size <= HASHED_AT_ONCE:
            self._digest.update(self.content)
        else:
            await asyncio.to_thread(self._digest.update, self.content)

    def _flush(self) -> None:
        with self._lock:
            self._write_out()

    def _write_out(self) -> None:
        if self._ended:
            return
        if self._file is None:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o666)
        parts, self._buffer, self._buffered = self._buffer, [], 0
        for part in parts:
            self._digest.update(part)
            write_all(self._file, part)

    def _finish(self) -> None:
        with self._lock:
            self._write_out()
            if self._file is not None:
                os.fsync(self._file)
                self._close()

    def _discard(self) -> None:
        with self._lock:
            self._close()
            with suppress(FileNotFoundError):  # it was kept, or never begun
                self.path.unlink()

    def _close(self) -> None:
        self._ended = True
        if self._file is not None:
            os.close(self._file)
            self._file = None


def write_all(file: int, content: bytes) -> None:
    """Write all of it to an open file. Raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def remove_left_overs(folder: Path) -> int:
    """Remove the temporary files of processes that died; returns how many there were."""
    before = time() - LEFT_OVER_SECONDS
    removed = 0
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # its upload ended meanwhile
            stat = path.lstat()
            if S_ISREG(stat.st_mode) and stat.st_mtime < before:
                path.unlink()
                removed += 1
    return removed
