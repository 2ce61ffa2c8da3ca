"""The chain that vouches for a signer's key: where clients find it, and whether they still believe it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from kintoun.signatures import chain
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.signer import SignerUnavailable

Publish = Callable[[bytes, int], Awaitable[str]]
"""Keeps a chain (PEM) for clients, and returns its URL; it is told when it expires, in milliseconds."""

State = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Vouched:
    """A chain, by the key of its leaf, that clients find at `x5u`; it is believed until `expires`."""

    key: ec.EllipticCurvePublicKey
    x5u: str
    expires: datetime

    def check(self, signer: str) -> None:
        """Raise SignerUnavailable when no client would believe what is signed now."""
        if datetime.now(UTC) > self.expires:
            raise SignerUnavailable(signer, f"its chain has expired: {self.expires}")


async def vouched(signer: str, certificates: chain.Chain, x5u: str | None, publish: Publish) -> Vouched:
    """Make sure that a chain is believed, and that clients can fetch it.

    With `x5u` it is served elsewhere, otherwise it is published here. Raises SignerUnavailable when it is not
    to be believed.
    """
    try:
        key = chain.verify_issued(certificates, datetime.now(UTC))
    except InvalidSignature as error:
        raise SignerUnavailable(signer, f"its chain is refused by clients: {error}") from error
    expires = min(each.not_valid_after_utc for each in certificates)
    if x5u is None:
        x5u = await publish(chain.to_pem(certificates), int(expires.timestamp() * 1000))
    return Vouched(key, x5u, expires)


def state_of(*files: Path | None) -> State:
    """What changes when files are replaced. Raises OSError."""
    found = (file.stat() for file in files if file is not None)
    return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)
