"""PKIs and signers for the tests, which keep the chains that they publish in memory."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kintoun.signatures import chain, content_signature, pki
from kintoun.signatures.directory import Directory
from kintoun.signatures.pki import Authority
from kintoun.signatures.signer import Signature

SUFFIX = ".content-signature.example.org"
NAME = f"remote-settings{SUFFIX}"
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def new_issuer(at: datetime | None = None, suffix: str = SUFFIX) -> Authority:
    """An intermediate below a root, both made at a time."""
    moment = at or now()
    return pki.new_intermediate(pki.new_root("root", moment), "intermediate", suffix, moment)


def directory_with(path: Path, issuer: Authority) -> Directory:
    directory = Directory(path)
    path.mkdir(exist_ok=True)
    directory.write_issuer(issuer)
    return directory


class Published:
    """What was published, by its URL."""

    def __init__(self) -> None:
        self.chains: dict[str, bytes] = {}

    async def keep(self, pem: bytes, expires: int) -> str:
        assert expires > now().timestamp() * 1000
        url = f"https://example.org/v1/__x5u__/{hashlib.sha256(pem).hexdigest()}.pem"
        self.chains[url] = pem
        return url

    def believe(self, signature: Signature, data: bytes, root: bytes, name: str = NAME) -> None:
        """Verify as a client does."""
        key = chain.verify(chain.parse(self.chains[signature.x5u]), name, {root}, now())
        content_signature.verify(key, data, signature.signature)
