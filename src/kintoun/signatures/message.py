"""What is signed, in pieces: much of it is hashed without being copied together."""

from __future__ import annotations

import hashlib
from functools import cached_property

PREFIX = b"Content-Signature:\x00"


class Message:
    """Data that is to be signed, without the prefix that content signatures put before it."""

    def __init__(self, *pieces: bytes | memoryview) -> None:
        self.pieces = pieces

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)

    @cached_property
    def digest(self) -> bytes:
        """The SHA-384 digest that is signed, prefix included."""
        hashed = hashlib.sha384(PREFIX)
        for piece in self.pieces:
            hashed.update(piece)
        return hashed.digest()

    @cached_property
    def name(self) -> str:
        """SHA-256 of the data, in hexadecimal: what it is told apart by."""
        hashed = hashlib.sha256()
        for piece in self.pieces:
            hashed.update(piece)
        return hashed.hexdigest()
