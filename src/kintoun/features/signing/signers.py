"""The signers of this deployment, and who of them signs what.

Their modules are imported when they first sign: a worker that never does need not carry what they need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from kintoun.features.signing import kinto_signers
from kintoun.features.signing.settings import Autograph, Local, Pkcs11, SignersSection
from kintoun.settings import Settings
from kintoun.signatures.message import Message
from kintoun.signatures.signer import Signature, Signer, SignerUnavailable

if TYPE_CHECKING:
    from kintoun.signatures.elsewhere import Elsewhere
    from kintoun.signatures.local import LocalSigner
    from kintoun.signatures.pkcs11 import Pkcs11Signer
    from kintoun.signatures.vouching import Publish, Vouched

Declared = Local | Pkcs11 | Autograph

log = structlog.get_logger()


async def sign_all(signers: Sequence[LazySigner], message: Message) -> list[dict[str, str]]:
    """The signatures of all signers, in their order, as a collection's `signatures`.

    Raises SignerUnavailable unless every one of them signs: a client that trusts but one must find its own.
    """
    if not signers:
        raise SignerUnavailable("none", "no signer is configured for this collection")
    try:
        signatures = await asyncio.gather(*(signer.sign(message) for signer in signers))
    except SignerUnavailable as error:
        log.error("a signer is unavailable", signer=error.signer, reason=error.reason)
        raise
    return [signature.as_json() for signature in signatures]


class LazySigner:
    """A signer that is made when it is first needed."""

    def __init__(self, name: str, declared: Declared, key_id: str, publish: Publish) -> None:
        self.id = name
        self.declared = declared
        self._key_id = key_id
        self._publish = publish
        self._signer: Any = None

    async def sign(self, message: Message) -> Signature:
        """Sign, by the digest where the signer holds its key. Raises SignerUnavailable."""
        signer = self._made()
        signature: Signature
        if isinstance(self.declared, Autograph):
            signature = await signer.sign(await asyncio.to_thread(bytes, message))
        else:
            signature = await signer.sign_digest(await asyncio.to_thread(getattr, message, "digest"))
        return signature

    async def check(self) -> None:
        await self._made().check()

    @property
    def x5u(self) -> str:
        """Where a signing service has its chain, as it last said."""
        x5u: str = getattr(self._signer, "x5u", "")
        return x5u

    async def vouched(self) -> Vouched | None:
        """The chain that vouches for it now, as far as this server has it. Raises SignerUnavailable."""
        if isinstance(self.declared, Autograph):
            return None
        believed: Vouched | None = await self._made().vouched()
        return believed

    def _made(self) -> Any:
        if self._signer is None:
            if isinstance(self.declared, Autograph):
                self._signer = _call(self.id, self.declared, self._key_id)
            else:
                self._signer = hold(self.declared, self._publish)
        return self._signer


class Signers:
    """All signers by name, and which of them sign the collections of a source."""

    def __init__(self, section: SignersSection, publish: Publish) -> None:
        """`publish` keeps chains for clients. Raises ValueError for settings that do not fit together."""
        section = kinto_signers.added(section)
        self._by_name = _by_name(section, publish)
        self._default = self._named(section.sign_with or _only(section), "sign_with")
        self._assigned = {
            source: self._named(names, f"sign_with_in.{source}")
            for source, names in section.sign_with_in.items()
        }
        self._check_installed()

    def for_collection(self, bucket: str, collection: str) -> Sequence[LazySigner]:
        """Who signs what is published of a source collection; the first for old clients, too."""
        for source in (f"{bucket}/{collection}", bucket):
            if source in self._assigned:
                return self._assigned[source]
        return self._default

    def all(self) -> list[LazySigner]:
        """Every signer that signs anything."""
        used = [*self._default, *(signer for signers in self._assigned.values() for signer in signers)]
        return list(dict.fromkeys(used))

    def elsewhere(self) -> Elsewhere:
        """The chains of these signers that others serve."""
        from kintoun.signatures import chain
        from kintoun.signatures.elsewhere import Elsewhere, Place

        found = []
        for signer in self.all():
            declared = signer.declared
            if isinstance(declared, Autograph):
                root = chain.pin(declared.root_hash) if declared.root_hash else None
                found.append(Place(declared.chains_url or declared.server_url, root))
            elif declared.x5u is not None:
                found.append(Place(declared.x5u))
        return Elsewhere(found)

    async def outdated(
        self, bucket: str, collection: str, signatures: Sequence[Mapping[str, Any]], signed: datetime
    ) -> bool:
        """Whether what was signed at that time is to be signed again.

        It is when other signers sign the collection by now, when one of them has another chain, and when a
        signing service has signed it too long ago. A signer that is unavailable tells nothing.
        """
        signers = self.for_collection(bucket, collection)
        if len(signers) != len(signatures):
            return True
        for signer, signature in zip(signers, signatures, strict=True):
            if isinstance(signer.declared, Autograph):
                if datetime.now(UTC) - signed > timedelta(days=signer.declared.renew_days):
                    return True
                continue
            try:
                believed = await signer.vouched()
            except SignerUnavailable as error:
                log.error("a signer is unavailable", signer=error.signer, reason=error.reason)
                continue
            x5u = believed.x5u if believed is not None else signer.declared.x5u or ""
            if signature.get("x5u", "") != x5u:
                return True
        return False

    async def check(self) -> bool:
        """For the heartbeat: whether every signer could sign now."""
        healthy = True
        for signer in self.all():
            try:
                await signer.check()
            except SignerUnavailable as error:
                log.error("a signer is unavailable", signer=error.signer, reason=error.reason)
                healthy = False
        return healthy

    def _named(self, names: Sequence[str], setting: str) -> list[LazySigner]:
        unknown = [name for name in names if name not in self._by_name]
        if unknown:
            raise ValueError(f"signing.{setting}: no signer is called {', '.join(unknown)}")
        return [signer for name in names for signer in self._by_name[name]]

    def _check_installed(self) -> None:
        needs = {Local: "cryptography", Pkcs11: "pkcs11", Autograph: "httpx"}
        extras = {"cryptography": "signing", "httpx": "signing", "pkcs11": "pkcs11"}
        for signer in self.all():
            module = needs[type(signer.declared)]
            if find_spec(module) is None:
                raise ValueError(
                    f"the signer `{signer.id}` needs more: pip install 'kintoun[{extras[module]}]'"
                )


def elsewhere_of(settings: Settings) -> Elsewhere:
    """The chains that others serve for a configuration. Raises ValueError for one that contradicts itself."""

    async def never(_pem: bytes, _expires: int) -> str:
        raise AssertionError("nothing is signed")

    return Signers(settings.sections.get("signing") or SignersSection(), never).elsewhere()


def _declared(section: SignersSection) -> list[Declared]:
    return [*section.local, *section.pkcs11, *section.autograph]


def _by_name(section: SignersSection, publish: Publish) -> dict[str, list[LazySigner]]:
    by_name: dict[str, list[LazySigner]] = {}
    for declared in _declared(section):
        if declared.name in by_name:
            raise ValueError(f"signing: two signers are called {declared.name}")
        if isinstance(declared, Autograph):
            by_name[declared.name] = [
                LazySigner(f"{declared.name}/{key_id}", declared, key_id, publish)
                for key_id in declared.key_ids
            ]
        else:
            by_name[declared.name] = [LazySigner(declared.name, declared, "", publish)]
    return by_name


def _only(section: SignersSection) -> list[str]:
    names = [declared.name for declared in _declared(section)]
    if len(names) > 1 and not section.sign_with_in:
        raise ValueError("signing.sign_with: with several signers, say which of them sign")
    return names if len(names) == 1 else []


def hold(declared: Local | Pkcs11, publish: Publish) -> LocalSigner | Pkcs11Signer:
    """The signer that holds the key which a section declares."""
    if isinstance(declared, Local):
        from kintoun.signatures.local import LocalSigner

        return LocalSigner(
            declared.name,
            Path(declared.private_key),
            publish,
            chain_file=_file(declared.chain),
            x5u=declared.x5u,
        )
    from kintoun.signatures.pkcs11 import Pkcs11Signer

    return Pkcs11Signer(
        declared.name,
        publish,
        module=declared.module,
        token=declared.token,
        pin=declared.pin_secret,
        label=declared.key,
        timeout=declared.timeout_seconds,
        chain_file=_file(declared.chain),
        x5u=declared.x5u,
    )


def _call(name: str, declared: Autograph, key_id: str) -> Signer:
    from kintoun.signatures.autograph import AutographSigner
    from kintoun.signatures.hawk import Credentials

    credentials = Credentials(declared.hawk_id, declared.hawk_secret)
    return AutographSigner(name, declared.server_url, key_id, credentials, declared.timeout_seconds)


def _file(name: str | None) -> Path | None:
    return Path(name) if name is not None else None
