"""The keys of the service: the signers that the configuration declares in files and in hardware."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kintoun.features.signing.settings import Local, Pkcs11, SignersSection
from kintoun.features.signing.signers import hold
from kintoun.model.kinds import random_uuid
from kintoun.settings import Settings
from kintoun.signatures.signer import Signature
from kintoun.signer.chain_files import ChainFiles

if TYPE_CHECKING:
    from kintoun.signatures.local import LocalSigner
    from kintoun.signatures.pkcs11 import Pkcs11Signer


class Key:
    """One key of the service, by its key id."""

    def __init__(self, holder: LocalSigner | Pkcs11Signer, chains: ChainFiles, *, in_hardware: bool) -> None:
        self.id = holder.id
        self.chains = chains
        self.in_hardware = in_hardware
        self.check = holder.check
        self._holder = holder

    async def sign(self, data: bytes) -> Signature:
        """Sign data. Raises SignerUnavailable."""
        return await self._described(await self._holder.sign(data))

    async def sign_digest(self, digest: bytes) -> Signature:
        """Sign the digest of data that had its prefix already. Raises SignerUnavailable."""
        return await self._described(await self._holder.sign_digest(digest))

    async def _described(self, signature: Signature) -> Signature:
        believed = await self._holder.vouched()
        public, kind = "", "contentsignature"
        if believed is not None:
            der = believed.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            public, kind = b64encode(der).decode(), "contentsignaturepki"
        ref = random_uuid().replace("-", "")
        return replace(signature, public_key=public, ref=ref, type=kind, signer_id=self.id)


def section_of(settings: Settings) -> SignersSection:
    """The section that declares the keys. Raises ValueError when there is none, or it declares no key."""
    section = settings.sections.get("signing")
    if not isinstance(section, SignersSection) or not (section.local or section.pkcs11):
        raise ValueError(
            "signing: the service has no key; name one in [[signing.local]] or [[signing.pkcs11]]"
        )
    return section


def keys_of(settings: Settings) -> Mapping[str, Key]:
    """The keys by their ids. Raises ValueError for settings that do not fit together."""
    section = section_of(settings)
    declared: list[Local | Pkcs11] = [*section.local, *section.pkcs11]
    keys = {each.name: _key(each, settings) for each in declared}
    if len(keys) < len(declared):
        raise ValueError("signing: two signers have the same name")
    for caller in settings.signer.callers:
        unknown = [name for name in caller.keys if name not in keys]
        if unknown:
            raise ValueError(f"signer.callers: no key is called {', '.join(unknown)}")
    return keys


def data_directory(settings: Settings) -> Path:
    """Where the service keeps what it has to remember."""
    return Path(settings.signer.data or "signer")


def base_url(settings: Settings) -> str:
    """Where clients find the service."""
    signer = settings.signer
    host = f"[{signer.host}]" if ":" in signer.host else signer.host
    return (signer.url or f"http://{host}:{signer.port}").rstrip("/")


def _key(declared: Local | Pkcs11, settings: Settings) -> Key:
    directory = data_directory(settings) / "chains" / declared.name
    chains = ChainFiles(directory, f"{base_url(settings)}/x5u/{declared.name}")
    holder = hold(declared, chains.publish)
    return Key(holder, chains, in_hardware=isinstance(declared, Pkcs11))
