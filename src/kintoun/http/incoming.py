"""The body of a request that its endpoint takes piece by piece, as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from kintoun.http.limits import Limits, announced_length
from kintoun.http.patience import Patience
from kintoun.model.errors import INVALID_PARAMETERS, ProtocolError

PIECE_BYTES = 64 * 1024
"""Each piece but the last has so many bytes at least, and the time that a whole body has to arrive in."""

DRAINED_BYTES = 8 * 1024 * 1024
"""How much of what nobody wanted is read nevertheless: many clients hear no answer before they sent all."""

ENDED_EARLY = "The request ended before its body did."


class Incoming:
    """A body under way, to be iterated over once.

    `length` is its size in bytes as the client announced it, None when it did not. How much of it is read is
    up to who reads. A reader gets ProtocolError 408 from a client that is too slow, 400 when the body ends
    before its length; where none was announced, only what is in the body tells that it is whole.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], headers: Mapping[str, str], limits: Limits, patience: Patience
    ) -> None:
        self.length = announced_length(headers.get("content-length", ""))
        self._waits_for_leave = "expect" in headers
        self._chunks = chunks
        self._limits = limits
        self._patience = patience
        self._received = 0
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        self._waits_for_leave = False
        try:
            piece = await self._patience.wait(self._piece())
        except TimeoutError:
            self._ended = True
            raise self._limits.too_slow() from None
        self._received += len(piece)
        if self._ended and self.length is not None and self._received < self.length:
            raise ProtocolError(400, INVALID_PARAMETERS, ENDED_EARLY)
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _piece(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < PIECE_BYTES:
            part = await anext(self._chunks, None)
            if part is None:
                self._ended = True
                break
            parts.append(part)
            size += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def drain(self) -> None:
        """Read some of what nobody wanted, unless the client waits for leave to send it."""
        if self._waits_for_leave:
            return
        size = 0
        with suppress(ProtocolError):
            async for piece in self:
                size += len(piece)
                if size > DRAINED_BYTES:
                    return
