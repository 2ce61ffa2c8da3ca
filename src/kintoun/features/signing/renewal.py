"""Renewing leaves before half of their life is over, by themselves.

A leaf is renewed in place: its file gets another key and another chain at once. Signers see that with their
next signature, store the new chain and name it; so nothing is ever signed that could not be verified, and a
renewal that is interrupted has happened or has not.
"""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from pathlib import Path

import structlog

from kintoun.features.signing.settings import SignersSection

LEASE = f"signing-renewal:{socket.gethostname()}"
"""Leaves are files: on each machine one worker renews them."""

log = structlog.get_logger()


class Renewal:
    """Renews leaves by the intermediate that lies beside them."""

    def __init__(self, section: SignersSection) -> None:
        self._section = section
        self._files = [
            Path(local.private_key) for local in section.local if local.chain is None and local.x5u is None
        ]
        self._failing: dict[Path, str] = {}

    async def renew(self) -> None:
        """Renew what is due. What cannot be renewed is told once, and again when the reason changes."""
        for file in self._files:
            if not (self._directory(file) / "intermediate.pem").exists():
                continue  # there is nothing to renew it with
            failure = await asyncio.to_thread(self._renew, file)
            if failure is None:
                self._failing.pop(file, None)
            elif self._failing.get(file) != failure:
                self._failing[file] = failure
                log.error("a leaf could not be renewed", file=str(file), reason=failure)

    def _directory(self, file: Path) -> Path:
        return Path(self._section.pki) if self._section.pki is not None else file.parent

    def _renew(self, file: Path) -> str | None:
        """Renew one leaf when it is due; the reason when it could not be."""
        from kintoun.signatures import directory, key_files

        section = self._section
        try:
            if not key_files.has_chain(file):
                return None
            lifetime, skew = timedelta(days=section.leaf_days), timedelta(days=section.skew_days)
            if directory.renew(directory.Directory(self._directory(file)), file, lifetime, skew):
                log.info("a leaf was renewed", file=str(file))
        except (key_files.Unusable, OSError) as error:
            return str(error)
        return None
