"""A signer whose private key is in a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from kintoun.signatures import content_signature, key_files
from kintoun.signatures.signer import Signature, SignerUnavailable
from kintoun.signatures.vouching import Publish, State, Vouched, state_of, vouched


class _Held(NamedTuple):
    state: State
    key: ec.EllipticCurvePrivateKey
    vouched: Vouched | None


class LocalSigner:
    """Signs with the key in a PEM file, which is read again when it changes.

    The chain stands behind the key or in a file of its own. Without one, signatures have an empty `x5u`:
    clients that are given the public key can verify them, Firefox cannot.
    """

    def __init__(
        self,
        name: str,
        key_file: Path,
        publish: Publish,
        *,
        chain_file: Path | None = None,
        x5u: str | None = None,
    ) -> None:
        self.id = name
        self.key_file = key_file
        self.chain_file = chain_file
        self._x5u = x5u
        self._publish = publish
        self._held: _Held | None = None

    async def sign(self, data: bytes) -> Signature:
        return await self.sign_digest(await asyncio.to_thread(content_signature.digest, data))

    async def sign_digest(self, digest: bytes) -> Signature:
        """Sign what has this digest, prefix included. Raises SignerUnavailable."""
        held = await self._current()
        signature = await asyncio.to_thread(content_signature.sign_digest, held.key, digest)
        x5u = held.vouched.x5u if held.vouched is not None else self._x5u or ""
        return Signature(signature, x5u, signer_id=self.id)

    async def check(self) -> None:
        await self._current()

    async def vouched(self) -> Vouched | None:
        """The chain of what is signed now, None when there is none. Raises SignerUnavailable."""
        return (await self._current()).vouched

    async def _current(self) -> _Held:
        try:
            state = state_of(self.key_file, self.chain_file)
            if self._held is None or self._held.state != state:
                self._held = await self._load(state)
        except (OSError, key_files.Unusable) as error:
            raise SignerUnavailable(self.id, str(error)) from error
        if self._held.vouched is not None:
            self._held.vouched.check(self.id)
        return self._held

    async def _load(self, state: State) -> _Held:
        if self.chain_file is None and not key_files.has_chain(self.key_file):
            return _Held(state, key_files.read_signing_key(self.key_file), None)
        leaf = key_files.read_leaf(self.key_file, self.chain_file)
        return _Held(state, leaf.key, await vouched(self.id, leaf.chain, self._x5u, self._publish))
