"""What is signed, in pieces: much of it is hashed without being copied together."""

from __future__ import annotations

import hashlib
from functools import cached_property

PREFIX = b"Content-Signature:\x00"


States = dict[str, "list[hashlib._Hash]"]
"""By the name of a hash, how it stood before each of some pieces."""


class Message:
    """Data that is to be signed, without the prefix that content signatures put before it."""

    def __init__(self, *pieces: bytes | memoryview, states: States | None = None) -> None:
        """`states` are known of messages that begin with the same pieces, and get those of this one.

        Of the last piece they say nothing.
        """
        self.pieces = pieces
        self._states = {} if states is None else states

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)

    @cached_property
    def digest(self) -> bytes:
        """The SHA-384 digest that is signed, prefix included."""
        return self._hashed("sha384", PREFIX).digest()

    @cached_property
    def name(self) -> str:
        """SHA-256 of the data, in hexadecimal: what it is told apart by."""
        return self._hashed("sha256", b"").hexdigest()

    def _hashed(self, algorithm: str, prefix: bytes) -> hashlib._Hash:
        states = list(self._states.get(algorithm, ())) or [hashlib.new(algorithm, prefix)]
        *others, last = self.pieces
        for piece in others[len(states) - 1 :]:
            state = states[-1].copy()
            state.update(piece)
            states.append(state)
        self._states[algorithm] = states  # whole at once: several threads may be hashing
        end = states[-1].copy()
        end.update(last)
        return end
