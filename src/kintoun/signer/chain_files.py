"""The chains of the service's keys: files that never change, at URLs of their own (signing section 5.1)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path

from kintoun.signatures import chain, key_files

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.chain")
MOMENT = "%Y-%m-%d-%H-%M-%S"
DIGITS = 12


class ChainFiles:
    """The chains of one key, in a directory from which nothing is removed: clients go on asking for it."""

    def __init__(self, directory: Path, base_url: str) -> None:
        """`base_url` is where the service serves the directory, without a slash at its end."""
        self._directory = directory
        self._base_url = base_url

    async def publish(self, pem: bytes, _expires: int) -> str:
        """Keep a chain, and return its URL."""
        return await asyncio.to_thread(self._publish, pem)

    def _publish(self, pem: bytes) -> str:
        certificates = chain.parse(pem)
        leaf = certificates[0]
        names = chain.names_of(leaf)
        # The same leaf may come with other certificates above it, and is another file then.
        digest = hashlib.sha256(pem).hexdigest()[:DIGITS]
        file = f"{names[0] if names else 'leaf'}-{leaf.not_valid_after_utc.strftime(MOMENT)}-{digest}.chain"
        self._directory.mkdir(parents=True, exist_ok=True)
        if not (self._directory / file).exists():
            key_files.write_public(self._directory / file, certificates)
        return f"{self._base_url}/{file}"

    async def read(self, name: str) -> bytes | None:
        """The chain in the file of that name, or None."""
        if NAME.fullmatch(name) is None:
            return None
        file = self._directory / name
        return await asyncio.to_thread(file.read_bytes) if file.is_file() else None
