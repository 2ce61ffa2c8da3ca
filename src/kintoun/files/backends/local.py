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
from kintoun.files.spool import remove_left_overs, write_all

T = TypeVar("T")

CHUNK = 256 * 1024
UPLOADS = "tmp"
WALKED_AT_ONCE = 500

ATTEMPTS = 5
"""How often a file is put into its folder, which may be removed in that very moment."""

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

    async def keep(self, key: str, spooled: Path | bytes) -> None:
        await _in_thread(lambda: self._keep(self.path(key), spooled))

    def _keep(self, path: Path, spooled: Path | bytes) -> None:
        for _ in range(ATTEMPTS):
            try:
                if isinstance(spooled, bytes):
                    _write(spooled, path)
                else:
                    spooled.rename(path)
                break
            except FileNotFoundError:  # as long as there is no folder, or it is just removed for being empty
                self._make_folder(path.parent)
        else:
            raise FileNotFoundError(f"{path.parent} does not stay")
        _sync(path.parent)  # the name is as durable as the bytes

    @staticmethod
    def _make_folder(path: Path) -> None:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            _sync(folder.parent)

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
            path = self.path(key)
            path.unlink()
            with suppress(OSError):  # something else is in it
                if path.parent != self.root:
                    path.parent.rmdir()

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


def _write(content: bytes, path: Path) -> None:
    # Nobody else has this key; what was left of it by a write that failed is written over.
    file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        write_all(file, content)
        os.fsync(file)
    finally:
        os.close(file)


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
