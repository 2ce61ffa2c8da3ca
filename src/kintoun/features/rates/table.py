"""Who may ask again, and when: one small table that all workers of a machine share.

A token bucket needs one number: the moment at which it is full again. A request moves it on by what it costs;
when that would be further ahead than the bucket is deep, the request comes too early. The numbers stand in a
file that is mapped into each worker, and is locked for the microseconds that looking one up takes. The table
never grows: a place that is needed is taken from whoever's bucket is full soonest, and a bucket that is full
is no different from one that nobody remembers.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
import tempfile
from hashlib import blake2b
from pathlib import Path

PLACES = 8
"""Places that a key may stand in."""

SETS = 8192
SIZE = SETS * PLACES * 16
"""A megabyte: for 65,536 callers whose buckets are not full."""

_PLACE = struct.Struct("=8sd")


class Table:
    """Token buckets by key. `file` is shared by all processes that name it; None: this process's own."""

    def __init__(self, file: Path | None = None) -> None:
        self._descriptor = None if file is None else _opened(file)
        self._places = mmap.mmap(-1 if self._descriptor is None else self._descriptor, SIZE)

    def take(self, key: str, now: float, interval: float, burst: float, *, force: bool = False) -> float:
        """Take one token, and return 0; or how many seconds it takes until there is one, and take none.

        `interval` is how many seconds a token takes to come back, `burst` how many there are when all are
        back, `now` the time in seconds, the same for all workers. With `force` the token is taken even when
        it is not there: it is owed.
        """
        name = blake2b(key.encode(), digest_size=8).digest()
        first = int.from_bytes(name[:4], "little") % SETS * PLACES * _PLACE.size
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            place, full = self._find(name, first)
            # Nobody owes more than another burst, nor waits for what the file says of before a restart.
            full = min(max(full, now), now + 2 * interval * burst)
            early = full + interval - now - interval * burst
            if early > 1e-9 and not force:
                return early
            _PLACE.pack_into(self._places, place, name, full + interval)
            return 0.0
        finally:
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _find(self, name: bytes, first: int) -> tuple[int, float]:
        """The place of a key and when its bucket is full; of a new key, the place that is missed least."""
        least, soonest = first, float("inf")
        for place in range(first, first + PLACES * _PLACE.size, _PLACE.size):
            there, full = _PLACE.unpack_from(self._places, place)
            if there == name:
                return place, full
            if full < soonest:
                least, soonest = place, full
        return least, 0.0

    def close(self) -> None:
        self._places.close()
        if self._descriptor is not None:
            os.close(self._descriptor)


def shared_file(name: str) -> Path:
    """Where the processes that serve under a name share a table: a directory that is this user's alone."""
    directory = Path(tempfile.gettempdir()) / f"kintoun-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ValueError(f"rates: {directory} is not a directory of this user's alone")
    return directory / f"rates-{blake2b(name.encode(), digest_size=12).hexdigest()}"


def _opened(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.fstat(descriptor).st_size != SIZE:
        os.ftruncate(descriptor, SIZE)
    return descriptor
