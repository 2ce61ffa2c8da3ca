"""The files of a built console.

A name that a browser asks for is looked up among those that were found in the folder; it never becomes a
path. So nothing outside can be reached, whatever is asked for.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import time
from collections import OrderedDict
from collections.abc import Container, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

INDEX = "index.html"
VERSION = "VERSION"

MOST_FILES = 10_000
LARGEST = 16 * 1024 * 1024
"""Bytes of a file; larger ones are left out."""

LEAST_COMPRESSED = 1024
"""Bytes from which a file is worth compressing."""

PAUSE_SECONDS = 1.0
"""How long the folder is left alone after it was looked through."""

BESIDE = {"br": ".br", "gzip": ".gz"}
"""The variants that a build may hold, the smallest first, by the ends of their names."""

MEDIA_TYPES = {
    ".css": "text/css; charset=UTF-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=UTF-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=UTF-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=UTF-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=UTF-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_COMPRESSIBLE = re.compile(r"text/|application/(json|manifest\+json|wasm)|image/svg|image/x-icon|font/ttf")

# `index-BEylouCN.js`, `main.3f2a9c1d.css`: the names that bundlers make, in the folders where they put them.
_HASHED = re.compile(r"(?:^|/)(?:assets|static)/(?:.*/)?[^/]+[.-](?P<digest>[A-Za-z0-9_-]{8,64})\.\w+$")


class File(NamedTuple):
    """A file of the build. `encodings` are those that it can be sent in, the smallest first."""

    name: str
    path: Path
    size: int
    modified: int
    media_type: str
    hashed: bool
    encodings: tuple[str, ...]


class Representation(NamedTuple):
    """The content of a file in one encoding, and its entity tag."""

    body: bytes
    encoding: str | None
    tag: str


class Build:
    """The files of the folder `folder`, of which `memory` bytes are kept.

    Raises ValueError when there is no console in it. A build that takes the place of another is found without
    a restart.
    """

    def __init__(self, folder: Path, memory: int) -> None:
        self._folder = Path(os.path.realpath(folder))
        if not (self._folder / INDEX).is_file():
            raise ValueError(f"admin.path: there is no {INDEX} in {self._folder}")
        self._memory = memory
        self._kept: OrderedDict[tuple[str, str | None], tuple[int, Representation]] = OrderedDict()
        self._held = 0
        self._reading = asyncio.Lock()
        self._look()
        if len(self._files) > MOST_FILES:
            raise ValueError(f"admin.path: more than {MOST_FILES} files in {self._folder}")

    def version(self) -> str | None:
        """What the build says of its version, if it says anything."""
        try:
            return (self._folder / VERSION).read_text(encoding="utf-8")[:100].strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def find(self, name: str) -> File | None:
        """The file of that name, as it is in the folder now."""
        file = self._files.get(name)
        if (file is None or not _current(file)) and time.monotonic() - self._looked > PAUSE_SECONDS:
            self._look()
            file = self._files.get(name)
        return file

    async def read(self, file: File, encoding: str | None) -> Representation | None:
        """A file's content; None when it has gone meanwhile."""
        key = (file.name, encoding)
        kept = self._kept.get(key)
        if kept is not None and kept[0] == file.modified:
            self._kept.move_to_end(key)
            return kept[1]
        async with self._reading:  # one at a time: what is under way takes memory too
            kept = self._kept.get(key)
            if kept is not None and kept[0] == file.modified:
                return kept[1]
            try:
                content = await asyncio.to_thread(_content, file, encoding)
            except OSError:
                return None
            self._keep(key, file.modified, content)
        return content

    def _keep(self, key: tuple[str, str | None], modified: int, content: Representation) -> None:
        former = self._kept.pop(key, None)
        if former is not None:
            self._held -= len(former[1].body)
        if len(content.body) > self._memory:
            return
        self._kept[key] = modified, content
        self._held += len(content.body)
        while self._held > self._memory:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._held -= len(dropped.body)

    def _look(self) -> None:
        found = {name: (path, stat) for name, path, stat in islice(_walk(self._folder), MOST_FILES + 1)}
        self._files = {name: _file(name, path, stat, found) for name, (path, stat) in found.items()}
        self._looked = time.monotonic()


def _walk(folder: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """The regular files below a folder, by the names that URLs have for them."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            with suppress(OSError):  # removed while we looked
                real, stat = path.resolve(), path.stat()
                inside = real.is_relative_to(folder) and real.is_file() and not name.startswith(".")
                if inside and stat.st_size <= LARGEST:
                    yield path.relative_to(folder).as_posix(), path, stat


def _file(name: str, path: Path, stat: os.stat_result, found: Container[str]) -> File:
    media_type = MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    encodings = [encoding for encoding, ending in BESIDE.items() if name + ending in found]
    compressible = _COMPRESSIBLE.match(media_type) is not None and stat.st_size >= LEAST_COMPRESSED
    if compressible and "gzip" not in encodings:
        encodings.append("gzip")
    return File(name, path, stat.st_size, stat.st_mtime_ns, media_type, is_hashed(name), tuple(encodings))


def _current(file: File) -> bool:
    try:
        stat = file.path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.modified)


def is_hashed(name: str) -> bool:
    """Whether a name has the digest of the content in it, so that it never comes to name anything else.

    A word that happens to be as long as a digest does not count: digests mix what words do not.
    """
    match = _HASHED.search(name)
    if match is None:
        return False
    digest = match["digest"]
    letters = any(char.isalpha() for char in digest)
    digits = any(char.isdigit() for char in digest)
    return letters and (
        digits or (not digest.islower() and not digest[1:].islower() and not digest.isupper())
    )


def _content(file: File, encoding: str | None) -> Representation:
    """Read a file, and compress it unless the build holds it compressed."""
    plain = file.path.read_bytes()
    tag = sha256(plain).hexdigest()[:32]
    if encoding is None:
        return Representation(plain, None, f'"{tag}"')
    beside = file.path.with_name(file.path.name + BESIDE[encoding])
    # The gzip of the same bytes is the same on every worker: no time stands in it.
    body = beside.read_bytes() if beside.is_file() else gzip.compress(plain, 9, mtime=0)
    return Representation(body, encoding, f'"{tag}-{encoding}"')
