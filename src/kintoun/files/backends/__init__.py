"""Where the bytes are: what is asked of a disk and of an object store alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol


class BackendFailed(Exception):
    """The back end could not do what it was asked; trying again later may help."""


class Stored(NamedTuple):
    """Bytes under a key: how many, and when they came (seconds since the epoch)."""

    key: str
    size: int
    modified: float


class Backend(Protocol):
    """Bytes under keys. A key is written once; what is there when that failed or broke off is not read.

    Every method raises BackendFailed when the back end does not do what it should.
    """

    uploads: Path
    """Folder of uploads on their way in."""

    async def open(self) -> None:
        """Get ready, once in each process; what dead processes left behind is removed."""
        ...

    async def keep(self, key: str, spooled: Path | bytes) -> None:
        """Have bytes, or the content of a file, under the key, durably; the file may be moved away."""
        ...

    async def size(self, key: str) -> int | None:
        """How many bytes stand under the key; None when there are none."""
        ...

    def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop`, in parts. Raises KeyError at the first when there are none."""
        ...

    def path(self, key: str) -> Path | None:
        """The file that holds the bytes, when they stand on a disk of this machine."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the bytes; it is no error when there are none."""
        ...

    def walk(self) -> AsyncIterator[Stored]:
        """All that is there."""
        ...


def make_backend(place: str, options: Mapping[str, str], uploads: Path | None) -> Backend:
    """The back end at a folder or a URL. Raises ValueError for one that cannot be."""
    if "://" in place:
        from kintoun.files.backends.objects import ObjectStore

        return ObjectStore(place, options, uploads)
    from kintoun.files.backends.local import LocalDisk

    return LocalDisk(Path(place))
