"""Bodies that are compressed once and sent many times.

Brotli and Zstandard are used where their packages are installed; gzip is always there.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import blake2b

from kintoun.features.publication.sharing import Shared
from kintoun.http.answers import Headers
from kintoun.http.negotiation import preferred
from kintoun.model.timestamps import http_date

LEAST_BYTES = 600
"""Bodies below are sent as they are: what they would save does not fill a packet."""

IN_THREAD_BYTES = 16_384
"""Bodies above are compressed in a thread."""

Compress = Callable[[bytes], bytes]


class Body:
    """The bytes of an answer, and the same compressed, as far as anybody has asked for it."""

    __slots__ = ("encoded", "grown", "headers", "plain", "tag", "version")

    def __init__(self, plain: bytes, last_modified: int, version: object) -> None:
        """`last_modified` is in milliseconds, `version` the state of the data that the bytes are of."""
        self.plain = plain
        self.version = version
        # All encodings bear the same tag, so it is a weak one.
        self.tag = f'W/"{blake2b(plain, digest_size=12).hexdigest()}"'
        self.headers: Headers = (
            ("ETag", self.tag),
            ("Last-Modified", http_date(last_modified)),
            ("Vary", "Accept-Encoding"),
        )
        self.encoded: dict[str, tuple[bytes, Headers]] = {}
        self.grown: Callable[[], None] | None = None
        """Called when it takes more memory than before, by whoever keeps it."""

    @property
    def size(self) -> int:
        """The memory that the bytes take."""
        return len(self.plain) + sum(len(content) for content, _ in self.encoded.values())


class Encodings:
    """The encodings that this server has."""

    def __init__(self) -> None:
        self.compressors = _compressors()
        self._offered = tuple(self.compressors)
        self._preferred = lru_cache(maxsize=256)(self._negotiate)
        self._under_way: Shared[tuple[int, str], tuple[bytes, Headers]] = Shared()

    def of(self, accepted: str | None, body: Body) -> str | None:
        """The encoding in which a body goes to a client; None: as it is."""
        if accepted is None or len(body.plain) < LEAST_BYTES:
            return None
        return self._preferred(accepted)

    def _negotiate(self, accepted: str) -> str | None:
        return preferred(accepted, self._offered)

    async def encode(self, body: Body, encoding: str) -> tuple[bytes, Headers]:
        """A body in an encoding, and the headers that it bears. It is made once, however many ask."""
        return await self._under_way.do((id(body), encoding), lambda: self._encode(body, encoding))

    async def _encode(self, body: Body, encoding: str) -> tuple[bytes, Headers]:
        compress = self.compressors[encoding]
        if len(body.plain) > IN_THREAD_BYTES:
            content = await asyncio.to_thread(compress, body.plain)
        else:
            content = compress(body.plain)
        body.encoded[encoding] = made = content, (*body.headers, ("Content-Encoding", encoding))
        if body.grown is not None:
            body.grown()
        return made


def _compressors() -> dict[str, Compress]:
    """What there is, the best first."""
    found: dict[str, Compress] = {}
    try:
        import zstandard
    except ImportError:
        pass
    else:
        found["zstd"] = lambda body: zstandard.ZstdCompressor(level=9).compress(body)
    try:
        import brotli
    except ImportError:
        pass
    else:
        found["br"] = partial(brotli.compress, quality=6)
    found["gzip"] = partial(gzip.compress, compresslevel=6, mtime=0)
    return found
