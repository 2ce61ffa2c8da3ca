"""Earlier versions of a file as dictionaries for the present one (RFC 9842).

A client that has a version of a file tells its digest, and is sent what has changed since, more or less. It
is for the files of collections whose metadata has the flag `compression-dictionaries`.
"""

from __future__ import annotations

import asyncio
import re
import time
from binascii import unhexlify
from collections import OrderedDict
from urllib.parse import urlsplit

from kintoun.features.attachments.privacy import url_path
from kintoun.features.attachments.representations import DICTIONARY_CODING
from kintoun.files import Files, Location
from kintoun.http.answers import Headers
from kintoun.model import json
from kintoun.model.paths import collection_path
from kintoun.storage.rows import Wanted

FLAG = "compression-dictionaries"
EARLIER_VERSIONS = 5
REMEMBERED_SECONDS = 5.0
"""How late a flag may be seen: long before the compressor has looked at a new file for the last time."""
MOST_REMEMBERED = 1000

MAGIC = unhexlify("5e2a4d1820000000")
"""What the content coding begins with, before the digest of the dictionary (RFC 9842, section 5)."""

LEAST_WINDOW, MOST_WINDOW = 23, 27
"""Bounds of the window, as powers of two: clients need not take a larger one (RFC 9842, section 5)."""

LEVEL = 19
WORTH = 0.9
"""The share of its size that an encoding may take and still be worth it."""

_EARLIER = (
    "SELECT l.sha256, b.key, b.size FROM location l JOIN blob b ON b.sha256 = l.sha256"
    " WHERE l.bucket = $1 AND l.collection = $2 AND l.record = $3 AND l.created < $4"
    " ORDER BY l.created DESC LIMIT $5"
)
_MADE = "SELECT source FROM variant WHERE sha256 = $1 AND coding = $2"
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")


class Dictionaries:
    """Knows for which files there are dictionaries, and makes what is sent to who has one."""

    def __init__(self, files: Files, most: int) -> None:
        self._files = files
        self._most = most
        self._known: OrderedDict[tuple[str, str], tuple[float, bool]] = OrderedDict()

    async def used_for(self, location: Location) -> bool:
        """Whether a file is of a collection with the flag, and not too large."""
        return await self.used_in(location.bucket, location.collection, location.size)

    async def used_in(self, bucket: str, collection: str, size: int) -> bool:
        """Whether files of a size have dictionaries in a collection; what was learnt holds for seconds."""
        if not bucket or not 0 < size <= self._most:
            return False
        place = bucket, collection
        known = self._known.get(place)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        found = await self._files.store.read(Wanted(points=(collection_path(*place),)))
        row = found.points[0]
        flags = json.decode(row.body.encode()).get("flags") if row is not None and not row.deleted else None
        used = isinstance(flags, list) and FLAG in flags
        self._known[place] = time.monotonic() + REMEMBERED_SECONDS, used
        self._known.move_to_end(place)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return used

    @staticmethod
    def offer(location: Location, base_url: str) -> Headers:
        """The header that asks clients to keep a file as a dictionary for those beside it."""
        folder, _, name = location.location.rpartition("/")
        path = f"{urlsplit(base_url).path}{folder}/" if folder else urlsplit(base_url).path
        of_record = f"*{location.record}*" if location.record in name else "*"
        match, id_ = path + of_record, url_path(location.location)
        if _PLAIN.fullmatch(match.replace("*", "")) is None or len(id_) > 1024:
            return ()  # what means something in a pattern of URLs
        return (("Use-As-Dictionary", f'match="{match}", id="{id_}", type=raw'),)

    async def make(self, location: Location) -> None:
        """Make what is sent to who has one of the earlier versions. Raises BackendFailed."""
        rows = await self._files.store.fetch(_MADE, (location.sha256, DICTIONARY_CODING))
        made = {row[0] for row in rows}  # those that were not worth it included
        place = (location.bucket, location.collection, location.record)
        rows = await self._files.store.fetch(_EARLIER, (*place, location.created, EARLIER_VERSIONS))
        content = b""
        for sha256, key, size in rows:
            if sha256 in made or sha256 == location.sha256 or not 0 < size <= self._most:
                continue
            made.add(sha256)
            dictionary = b"".join([part async for part in self._files.read_key(key, 0, size)])
            content = content or await self._files.content(location)
            encoded = await asyncio.to_thread(encode, content, dictionary, sha256)
            await self._keep(location, sha256, encoded)

    async def _keep(self, location: Location, source: str, encoded: bytes) -> None:
        if len(encoded) > WORTH * location.size:
            await self._files.keep_variant(location.sha256, DICTIONARY_CODING, source, None)
            return
        async with await self._files.spool() as spool:
            await spool.write(encoded)
            await self._files.keep_variant(location.sha256, DICTIONARY_CODING, source, spool)


def encode(content: bytes, dictionary: bytes, sha256: str) -> bytes:
    """Content in the coding `dcz`; `sha256` is the dictionary's, in hexadecimal."""
    import zstandard

    size = max(len(dictionary) + len(content), 1)
    window = min(max((size - 1).bit_length(), LEAST_WINDOW), MOST_WINDOW)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(content), dict_size=len(dictionary), window_log=window, enable_ldm=True
    )
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    compressor = zstandard.ZstdCompressor(dict_data=raw, compression_params=parameters)
    return MAGIC + unhexlify(sha256) + compressor.compress(content)
