"""What a signer is, whatever holds its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kintoun.model.errors import BACKEND, ProtocolError

MODE = "p384ecdsa"
"""The only mode that clients of content signatures know: ECDSA on P-384 with SHA-384."""

RETRY_AFTER = 10
"""Seconds after which a request that found no signer may be worth another try."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature as clients get it (signing section 2.2).

    `signature` is base64url of r‖s, `x5u` the URL of the certificate chain, empty when there is none. The
    others tell where it comes from; no client needs them.
    """

    signature: str
    x5u: str = ""
    mode: str = MODE
    public_key: str | None = None
    ref: str | None = None
    type: str | None = None
    signer_id: str | None = None

    def as_json(self) -> dict[str, str]:
        """The signature as an object of a collection's `signatures`."""
        shown = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in shown.items() if value is not None}


class Signer(Protocol):
    """Whoever holds a key and signs with it."""

    id: str
    """Its name in the configuration, for logs and errors."""

    async def sign(self, data: bytes) -> Signature:
        """Sign data, which does not have the prefix of content signatures yet. Raises SignerUnavailable."""
        ...

    async def check(self) -> None:
        """Find out whether it could sign now. Raises SignerUnavailable."""
        ...


class SignerUnavailable(ProtocolError):
    """A signer that did not sign: it is down, too slow, or gave what is no signature.

    `reason` is for logs: clients learn no more than the signer's name.
    """

    def __init__(self, signer: str, reason: str) -> None:
        message = f"The signer {signer!r} is unavailable, please retry later."
        super().__init__(503, BACKEND, message, headers=(("Retry-After", str(RETRY_AFTER)),))
        self.signer = signer
        self.reason = reason
        self.add_note(reason)
