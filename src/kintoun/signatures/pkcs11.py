"""A signer whose private key is in a hardware security module, which never lets it out."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11.exceptions import PKCS11Error, UserAlreadyLoggedIn

from kintoun.signatures import content_signature, key_files
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.signer import Signature, SignerUnavailable
from kintoun.signatures.vouching import Publish, State, Vouched, state_of, vouched

HEARTBEAT = b"This is a heartbeat test."


_THREAD = ThreadPoolExecutor(1, thread_name_prefix="pkcs11")
"""The one thread in which modules are called: not every module can be called by several."""


class Pkcs11Signer:
    """Signs with a key on P-384 in a token, found by its label.

    What does not answer within `timeout` seconds is given up, and so is what comes after it, until it does.
    """

    def __init__(
        self,
        name: str,
        publish: Publish,
        *,
        module: str,
        token: str,
        pin: str,
        label: str,
        timeout: float,
        chain_file: Path | None = None,
        x5u: str | None = None,
    ) -> None:
        self.id = name
        self._where = module, token, label
        self._pin = pin
        self._timeout = timeout
        self._chain_file = chain_file
        self._x5u = x5u
        self._publish = publish
        self._key: Any = None
        self._session: Any = None
        self._vouched: tuple[State, Vouched] | None = None

    async def sign(self, data: bytes) -> Signature:
        return await self.sign_digest(await asyncio.to_thread(content_signature.digest, data))

    async def sign_digest(self, digest: bytes) -> Signature:
        """Sign what has this digest, prefix included. Raises SignerUnavailable."""
        believed = await self.vouched()
        raw = await self._call(digest)
        signature = content_signature.encode(raw)
        if believed is not None:
            try:
                content_signature.verify_digest(believed.key, digest, signature)
            except InvalidSignature as error:
                raise SignerUnavailable(self.id, f"its chain is of another key: {error}") from error
        x5u = believed.x5u if believed is not None else self._x5u or ""
        return Signature(signature, x5u, signer_id=self.id)

    async def check(self) -> None:
        await self.sign(HEARTBEAT)

    async def vouched(self) -> Vouched | None:
        """The chain of what is signed now, None when there is none. Raises SignerUnavailable."""
        if self._chain_file is None:
            return None
        try:
            state = state_of(self._chain_file)
            if self._vouched is None or self._vouched[0] != state:
                certificates = key_files.read_chain(self._chain_file)
                self._vouched = state, await vouched(self.id, certificates, self._x5u, self._publish)
        except (OSError, key_files.Unusable) as error:
            raise SignerUnavailable(self.id, str(error)) from error
        self._vouched[1].check(self.id)
        return self._vouched[1]

    async def _call(self, digest: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                raw = await loop.run_in_executor(_THREAD, self._sign, digest)
        except TimeoutError:
            raise SignerUnavailable(self.id, f"no signature within {self._timeout:g} seconds") from None
        except (PKCS11Error, OSError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise SignerUnavailable(self.id, reason) from error
        if len(raw) != 2 * content_signature.SIZE:
            raise SignerUnavailable(self.id, f"a signature of {len(raw)} bytes; its key is not on P-384")
        return raw

    def _sign(self, digest: bytes) -> bytes:
        """In the thread of the module. A session that has ended is opened anew."""
        if self._key is not None:
            try:
                return self._signed(digest)
            except PKCS11Error:
                self._close()
        self._open()
        return self._signed(digest)

    def _signed(self, digest: bytes) -> bytes:
        # No more counts on P-384, and there are modules that refuse more.
        hashed = digest[: content_signature.SIZE]
        signed: bytes = self._key.sign(hashed, mechanism=pkcs11.Mechanism.ECDSA)
        return signed

    def _open(self) -> None:
        module, token, label = self._where
        found = pkcs11.lib(module).get_token(token_label=token)
        try:
            self._session = found.open(user_pin=self._pin)
        except (
            UserAlreadyLoggedIn
        ):  # by another signer of this process: who is logged in, is for all sessions
            self._session = found.open()
        self._key = self._session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=label)

    def _close(self) -> None:
        session, self._session, self._key = self._session, None, None
        try:
            session.close()
        except PKCS11Error:
            return  # it is gone already
