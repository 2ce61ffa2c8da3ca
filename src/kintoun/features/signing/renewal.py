"""Renewing leaves before half of their life is over, by themselves.

A leaf is renewed in place: its file gets another key and another chain at once. Signers see that with their
next signature, store the new chain and name it; so nothing is ever signed that could not be verified, and a
renewal that is interrupted has happened or has not.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog

from kintoun.features.signing.settings import SignersSection

log = structlog.get_logger()


class Renewal:
    """Renews the leaves that the intermediate of the PKI's directory can renew."""

    def __init__(self, section: SignersSection) -> None:
        self._section = section
        self._files = [
            Path(local.private_key) for local in section.local if local.chain is None and local.x5u is None
        ]
        self._failing: dict[Path, str] = {}

    async def renew(self) -> None:
        """Renew what is due. What cannot be renewed is told once, and again when the reason changes."""
        if not (Path(self._section.pki) / "intermediate.pem").exists():
            return  # there is nothing to renew with
        for file in self._files:
            failure = await asyncio.to_thread(self._renew, file)
            if failure is None:
                self._failing.pop(file, None)
            elif self._failing.get(file) != failure:
                self._failing[file] = failure
                log.error("a leaf could not be renewed", file=str(file), reason=failure)

    def _renew(self, file: Path) -> str | None:
        """Renew one leaf when it is due; the reason when it could not be."""
        from kintoun.signatures import directory, key_files

        section = self._section
        try:
            if not key_files.has_chain(file):
                return None
            lifetime, skew = timedelta(days=section.leaf_days), timedelta(days=section.skew_days)
            if directory.renew(directory.Directory(Path(section.pki)), file, lifetime, skew):
                log.info("a leaf was renewed", file=str(file))
        except (key_files.Unusable, OSError) as error:
            return str(error)
        return None
