"""Files in the encodings that clients accept, made in the background once they are uploaded."""

from __future__ import annotations

import asyncio
import re
import zlib
from importlib.util import find_spec
from typing import Any, Protocol

import structlog

from kintoun.features.attachments.dictionaries import WORTH, Dictionaries
from kintoun.features.attachments.representations import CODINGS
from kintoun.files import BackendFailed, Files, Location
from kintoun.plugin import Registry

log = structlog.get_logger()

POLL_SECONDS = 5.0
STEP = 100
OVERLAP_MS = 60_000
"""How long a transaction may have taken: what it committed may be older than what was seen already."""

LEAST = 512
"""Bytes from which a file is worth compressing."""

SMALL = 1024 * 1024
"""Bytes up to which no effort is spared."""

_COMPRESSIBLE = re.compile(
    r"text/|image/(svg\+xml|x-icon|bmp)|font/(ttf|otf)"
    r"|application/([^;]*\+(json|xml)|json|xml|javascript|wasm|geo\+?json|x-pem-file|x-font-ttf|rtf"
    r"|vnd\.sqlite3|vnd\.fluent|yaml|x-yaml|toml|manifest)",
    re.IGNORECASE,
)

_NEW = (
    "SELECT l.created, l.location, l.mimetype, b.size, l.bucket, l.collection,"
    " (SELECT count(*) FROM variant v WHERE v.sha256 = l.sha256 AND v.source = '')"
    " FROM location l JOIN blob b ON b.sha256 = l.sha256"
    " WHERE (l.created > $1 OR (l.created = $1 AND l.location > $2)) ORDER BY l.created, l.location LIMIT $3"
)
_MADE = "SELECT coding FROM variant WHERE sha256 = $1 AND source = ''"


class Encoder(Protocol):
    """Encodes bytes as they come."""

    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Brotli:
    def __init__(self, quality: int) -> None:
        import brotli

        self._encoder: Any = brotli.Compressor(quality=quality)

    def compress(self, data: bytes) -> bytes:
        return bytes(self._encoder.process(data))

    def flush(self) -> bytes:
        return bytes(self._encoder.finish())


def encoder(coding: str, size: int) -> Encoder:
    """What encodes a file of so many bytes."""
    if coding == "gzip":
        return zlib.compressobj(9, zlib.DEFLATED, 31)
    if coding == "br":
        return _Brotli(11 if size <= SMALL else 7)
    import zstandard

    made: Encoder = zstandard.ZstdCompressor(level=19 if size <= SMALL else 12).compressobj(size=size)
    return made


def codings() -> tuple[str, ...]:
    """The encodings that files can be kept in here."""
    installed = {"gzip": True, "br": bool(find_spec("brotli")), "zstd": bool(find_spec("zstandard"))}
    return tuple(coding for coding in CODINGS if installed[coding])


class Compressor:
    """Looks for files that are new, and compresses those that it pays for; in one worker of all."""

    def __init__(self, files: Files, most: int, dictionaries: Dictionaries) -> None:
        self._files = files
        self._most = most
        self._codings = codings()
        self._dictionaries = dictionaries

    def join(self, registry: Registry) -> None:
        """Take part in the server."""
        registry.background(self.run, lease="files.compressed")

    async def run(self) -> None:
        """Go through all files, then through those that come."""
        await self._files.open()
        at = 0
        while True:
            newest = await self.go_through(at)
            at = max(newest - OVERLAP_MS, 0)
            await asyncio.sleep(POLL_SECONDS)

    async def go_through(self, since: int) -> int:
        """Compress what came after a time; returns the time of the last (milliseconds since the epoch)."""
        last = (since, "")
        while rows := await self._files.store.fetch(_NEW, (*last, STEP)):
            for _, name, mimetype, size, bucket, collection, made in rows:
                compressible = made < len(self._codings) and self._pays_for(mimetype, size)
                if compressible or await self._dictionaries.used_in(bucket, collection, size):
                    await self._look_at(name)
            last = (rows[-1][0], rows[-1][1])
        return last[0]

    def _pays_for(self, mimetype: str, size: int) -> bool:
        return LEAST <= size <= self._most and _COMPRESSIBLE.match(mimetype) is not None

    async def _look_at(self, name: str) -> None:
        location = await self._files.find(name)
        if location is None:
            return
        try:
            if await self._dictionaries.used_for(location):
                await self._dictionaries.make(location)
            if self._pays_for(location.mimetype, location.size):
                made = {row[0] for row in await self._files.store.fetch(_MADE, (location.sha256,))}
                for coding in self._codings:
                    if coding not in made:
                        await self._compress(location, coding)
        except (BackendFailed, KeyError) as error:
            log.warning("a file could not be compressed", location=name, error=str(error))

    async def _compress(self, location: Location, coding: str) -> None:
        made = encoder(coding, location.size)
        async with await self._files.spool() as spool:
            async for part in self._files.read(location):
                await spool.write(await asyncio.to_thread(made.compress, part))
            await spool.write(await asyncio.to_thread(made.flush))
            worth = spool.size <= WORTH * location.size
            await self._files.keep_variant(location.sha256, coding, "", spool if worth else None)
