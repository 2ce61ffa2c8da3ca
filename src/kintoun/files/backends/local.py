"""A folder of this machine, or one that several machines mount."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from kintoun.files.backends import BackendFailed, Stored
from kintoun.files.spool import remove_left_overs

T = TypeVar("T")

CHUNK = 256 * 1024
UPLOADS = "tmp"
WALKED_AT_ONCE = 500

_NO_FOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalDisk:
    """Files below a folder. A symbolic link is never followed."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.uploads = self.root / UPLOADS

    async def open(self) -> None:
        await _in_thread(self._open)

    def _open(self) -> None:
        self.uploads.mkdir(parents=True, exist_ok=True)
        remove_left_overs(self.uploads)

    def path(self, key: str) -> Path:
        """Raises KeyError for what is no key, or whose way leads over a symbolic link."""
        path = self.root / key
        if os.path.normpath(path) != str(path) or os.path.realpath(path) != str(path):
            raise KeyError(key)
        if not path.is_relative_to(self.root) or path == self.root:
            raise KeyError(key)
        return path

    async def keep(self, key: str, spooled: Path) -> None:
        await _in_thread(lambda: self._keep(self.path(key), spooled))

    def _keep(self, path: Path, spooled: Path) -> None:
        made = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        spooled.rename(path)
        # The names are as durable as the bytes: of the file, and of the folders that came to be with it.
        for folder in (path.parent, *(folder.parent for folder in made)):
            _sync(folder)

    async def size(self, key: str) -> int | None:
        return await _in_thread(lambda: self._size(key))

    def _size(self, key: str) -> int | None:
        try:
            return self.path(key).stat().st_size
        except (KeyError, FileNotFoundError, NotADirectoryError):
            return None

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        file = await _in_thread(lambda: self._open_file(key))
        try:
            while start < stop:
                part = await _in_thread(os.pread, file, min(CHUNK, stop - start), start)
                if not part:
                    raise BackendFailed(f"{key} is shorter than it was")
                start += len(part)
                yield part
        finally:
            os.close(file)

    def _open_file(self, key: str) -> int:
        try:
            return os.open(self.path(key), _NO_FOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(key) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise KeyError(key) from None
            raise

    async def delete(self, key: str) -> None:
        await _in_thread(lambda: self._delete(key))

    def _delete(self, key: str) -> None:
        with suppress(KeyError, FileNotFoundError, NotADirectoryError):
            self.path(key).unlink()

    async def walk(self) -> AsyncIterator[Stored]:
        found = self._walk()
        while step := await _in_thread(lambda: list(islice(found, WALKED_AT_ONCE))):
            for each in step:
                yield each

    def _walk(self) -> Iterator[Stored]:
        for folder, folders, names in os.walk(self.root):
            if Path(folder) == self.root and UPLOADS in folders:
                folders.remove(UPLOADS)
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    stat = path.lstat()
                    if path.is_file() and not path.is_symlink():
                        yield Stored(path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(action: Callable[..., T], *args: object) -> T:
    try:
        return await asyncio.to_thread(action, *args)
    except OSError as error:
        raise BackendFailed(str(error)) from error
