"""Whose signatures are believed, by who has the chains at hand: a server that looks at itself, an auditor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from kintoun.signatures import chain, content_signature
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.manifest import Signatures


class Unchecked(Exception):
    """A signature whose chain is not at hand."""


class Trust:
    """`chain_at` finds a chain (PEM) by its URL, `roots` are the SHA-256 digests of those that are believed.

    Without `name` the leaf may have any. `keys` are those whose signatures come without a chain.
    """

    def __init__(
        self,
        chain_at: Callable[[str], bytes | None],
        roots: Collection[bytes],
        *,
        name: str | None = None,
        keys: Sequence[ec.EllipticCurvePublicKey] = (),
    ) -> None:
        self.chain_at = chain_at
        self.roots = roots
        self.name = name
        self.keys = keys

    def believe(self, data: bytes, signatures: Signatures, at: int) -> None:
        """Raise InvalidSignature, or Unchecked, unless a signature is good at a time (in milliseconds)."""
        first: Exception = InvalidSignature("signature", "there is no signature")
        for n, signature in enumerate(signatures):
            try:
                self.believe_one(data, str(signature.get("x5u", "")), str(signature.get("signature")), at)
            except (InvalidSignature, Unchecked) as error:
                first = error if n == 0 else first
            else:
                return
        raise first

    def believe_one(self, data: bytes, x5u: str, signature: str, at: int) -> None:
        """As `believe`, of one signature."""
        for key in self._keys(x5u, at):
            try:
                content_signature.verify(key, data, signature)
            except InvalidSignature as error:
                refused = error
            else:
                return
        raise refused

    def _keys(self, x5u: str, at: int) -> Sequence[ec.EllipticCurvePublicKey]:
        if not x5u:
            if not self.keys:
                raise Unchecked("the key of a signature without a chain is not known")
            return self.keys
        pem = self.chain_at(x5u)
        if pem is None:
            raise Unchecked(f"the chain at {x5u} is not here")
        certificates = chain.parse(pem)
        name = self.name or next(iter(chain.names_of(certificates[0])), "")
        return [chain.verify(certificates, name, self.roots, datetime.fromtimestamp(at / 1000, UTC))]


def roots_of(chains: Collection[bytes]) -> set[bytes]:
    """The roots in which chains (PEM) end."""
    return {chain.fingerprint(chain.parse(pem)[-1]) for pem in chains}
