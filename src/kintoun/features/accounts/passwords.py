"""Hashing passwords: in threads of its own, and in bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import argon2
import bcrypt

from kintoun.model.attributes import MAX_PASSWORD_BYTES
from kintoun.model.errors import CLIENT_REACHED_CAPACITY, ProtocolError

T = TypeVar("T")

# The first parameters that OWASP recommends: 19 MiB keep many logins at once from exhausting a worker.
_argon2 = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

BCRYPT_BYTES = 72
"""What bcrypt looks at of a password."""


def hash_password(password: str) -> str:
    """The hash of a password of any length; takes some 20 ms of CPU."""
    return _argon2.hash(password)


def verifies(password: str, hashed: str) -> bool:
    """Whether a password is the one that was hashed, by argon2 or by the bcrypt of imported accounts."""
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        return False  # no account can have it
    try:
        if hashed.startswith("$argon2"):
            return _argon2.verify(hashed, password)
        # bcrypt looked at no more when it hashed, and refuses more today.
        return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], hashed.encode())
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError, ValueError):
        return False


def is_outdated(password: str, hashed: str) -> bool:
    """Whether a password that was just verified should be hashed anew, with the present parameters."""
    if hashed.startswith("$argon2"):
        return _argon2.check_needs_rehash(hashed)
    # Of a longer one bcrypt verified the beginning only: the rest may be mistyped, and must not become fixed.
    return len(password.encode()) <= BCRYPT_BYTES


class Hasher:
    """Runs hashing in a few threads that do nothing else, so that logins keep no commit waiting.

    What it runs takes tens of milliseconds of CPU and 19 MiB. When `waiting` callers wait, more are refused.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, "kintoun-hashing")
        self._most = threads + waiting
        self._present = 0

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """The result of `work`. Raises a ProtocolError (429) when too many wait already."""
        if self._present >= self._most:
            message = "Too many passwords are being verified, please retry later."
            raise ProtocolError(429, CLIENT_REACHED_CAPACITY, message, headers=(("Retry-After", "1"),))
        self._present += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)
        finally:
            self._present -= 1
