"""Looking at what is published as a client does: does it verify, since when, and for how long will it?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kintoun.features.signing.canonical_list import CanonicalList
from kintoun.features.signing.chains import PATH, Chains, base_url
from kintoun.features.signing.published import published
from kintoun.features.signing.reading import Position, content, position_of, records_of
from kintoun.features.signing.resources import Resources, resources_of
from kintoun.features.signing.settings import Local
from kintoun.features.signing.signers import LazySigner, Signers
from kintoun.features.signing.workflow import SigningSettings
from kintoun.model import json, timestamps
from kintoun.model.canonical import NotCanonical, canonical, envelope
from kintoun.model.paths import Path
from kintoun.settings import Settings
from kintoun.signatures.manifest import ATTRIBUTE, Manifest, Refused, read, verify
from kintoun.signatures.signer import SignerUnavailable
from kintoun.storage import Store
from kintoun.storage.rows import Stored, Wanted

if TYPE_CHECKING:
    from kintoun.signatures.elsewhere import Elsewhere
    from kintoun.signatures.trust import Trust

ATTEMPTS = 3

State = Literal["good", "bad", "unchecked"]

Bodies = Mapping[str, str | None]
"""The bodies of records by their ids."""


class Condition(NamedTuple):
    """How a published collection stands; times are in milliseconds.

    `unchecked` is one whose chain is not to be had. `signed` is when it was signed last, `expires` when
    its manifest does, None where it has none.
    """

    target: Path
    state: State
    reason: str
    signed: int
    expires: int | None


class Inspector:
    """Looks at everything that is published."""

    def __init__(self, store: Store, resources: Resources, signers: Signers, chains: Chains) -> None:
        self._store = store
        self._resources = resources
        self.signers = signers
        self._chains = chains
        self._elsewhere: Elsewhere | None = None

    async def targets(self) -> list[Path]:
        """The previews and destinations that are there."""
        paths = [target for each in await published(self._store, self._resources) for target in each.targets]
        found = [(await self._store.read(Wanted(points=(path,)))).points[0] for path in paths]
        return [path for path, row in zip(paths, found, strict=True) if row is not None and not row.deleted]

    async def inspect(self, target: Path) -> Condition | None:
        """How a target stands; None when it is gone, or was never signed."""
        for _ in range(ATTEMPTS):
            row, position = await self._position(target)
            bodies = await content(self._store, position) if position.number else {}
            if await self._position(target) == (row, position):  # nobody published meanwhile
                break
        if row is None or row.deleted:
            return None
        metadata = json.decode(row.body.encode())
        signatures = metadata.get("signatures")
        if not isinstance(signatures, list) or not signatures:
            return None
        manifest = _manifest(metadata)
        signed = manifest.version if manifest is not None else row.timestamp
        expires = manifest.expires if manifest is not None else None
        trust = await self.trust(_urls(metadata))
        state, reason = await asyncio.to_thread(_verdict, target, metadata, bodies, position.timestamp, trust)
        return Condition(target, state, reason, signed, expires)

    async def trust(self, urls: Sequence[str]) -> Trust:
        """The chains at URLs, and the keys of the signers that have none."""
        from kintoun.signatures import key_files
        from kintoun.signatures.content_signature import InvalidSignature
        from kintoun.signatures.trust import Trust, Unchecked, roots_of

        chains: dict[str, bytes] = {}
        troubles: dict[str, Exception] = {}
        for url in urls:
            try:
                chains[url] = await self._chain(url)
            except (InvalidSignature, Unchecked) as error:  # told of what was signed with it
                troubles[url] = error
        keys = []
        for signer in self.signers.all():
            declared = signer.declared
            if isinstance(declared, Local) and declared.chain is None:
                try:
                    keys.append(key_files.read_signing_key(File(declared.private_key)).public_key())
                except key_files.Unusable:
                    continue  # the signer's own check tells of it

        def chain_at(url: str) -> bytes:
            if url in troubles:
                raise troubles[url]
            return chains[url]

        return Trust(chain_at, roots_of(list(chains.values())), keys=keys)

    async def expiry(self, signer: LazySigner) -> float | None:
        """When the chain of a signer expires, in seconds since 1970; None where it is not to be had."""
        from kintoun.signatures import chain
        from kintoun.signatures.content_signature import InvalidSignature
        from kintoun.signatures.trust import Unchecked

        try:
            believed = await signer.vouched()
            if believed is not None:
                return believed.expires.timestamp()
            if not signer.x5u:
                return None
            certificates = chain.parse(await self._chain(signer.x5u))
        except (SignerUnavailable, InvalidSignature, Unchecked):
            return None  # its own check, and that of what it has signed, tell of it
        return min(each.not_valid_after_utc for each in certificates).timestamp()

    async def _chain(self, url: str) -> bytes:
        """The chain at a URL, of this server or of others. Raises InvalidSignature or Unchecked."""
        pem = await self._chains.read(url.rpartition("/")[2]) if PATH in url else None
        if pem is not None:
            return pem
        if self._elsewhere is None:
            self._elsewhere = self.signers.elsewhere()
        return await self._elsewhere.read(url)

    async def _position(self, target: Path) -> tuple[Stored | None, Position]:
        place = records_of(target)
        found = await self._store.read(Wanted(points=(target,), clock=place))
        return found.points[0], position_of(place, found.clock)


def inspector_of(settings: Settings, store: Store) -> Inspector:
    """The inspector of a configuration. Raises ValueError for one that contradicts itself."""
    section = settings.sections.get("signing") or SigningSettings()
    chains = Chains(store, base_url(section.chains_url, settings))
    return Inspector(store, resources_of(settings), Signers(section, chains.keep), chains)


def _urls(metadata: Mapping[str, Any]) -> list[str]:
    attested = metadata.get(ATTRIBUTE)
    more = attested.get("signatures", []) if isinstance(attested, dict) else []
    found = [each for each in (*metadata["signatures"], *more) if isinstance(each, dict)]
    return list(dict.fromkeys(str(each.get("x5u", "")) for each in found if each.get("x5u")))


def _manifest(metadata: Mapping[str, Any]) -> Manifest | None:
    try:
        return read(metadata.get(ATTRIBUTE))[0]
    except Refused:
        return None


def _verdict(
    target: Path, metadata: Mapping[str, Any], bodies: Bodies, timestamp: int, trust: Trust
) -> tuple[State, str]:
    """Whether what is signed is what the records are stored as, or else what clients make of them."""
    stored = bytes(CanonicalList().changed(bodies).message(timestamp))
    verdict = _verdict_on(target, metadata, stored, trust)
    if verdict[0] != "bad":
        return verdict
    made = envelope(map(_as_clients_do, map(itemgetter(1), sorted(bodies.items()))), timestamp)
    return verdict if made == stored else _verdict_on(target, metadata, made, trust)


def _as_clients_do(body: str | None) -> bytes:
    try:
        return canonical(json.decode_stored(body or ""))
    except NotCanonical:
        return b"null"  # no signature is of this


def _verdict_on(target: Path, metadata: Mapping[str, Any], content: bytes, trust: Trust) -> tuple[State, str]:
    from kintoun.signatures.content_signature import InvalidSignature
    from kintoun.signatures.elsewhere import Missing
    from kintoun.signatures.trust import Unchecked

    now = timestamps.now()
    try:
        for signature in metadata["signatures"]:
            trust.believe_one(content, str(signature.get("x5u", "")), str(signature.get("signature")), now)
    except (InvalidSignature, Missing) as error:
        return "bad", f"signature: {error}"
    except Unchecked as error:
        return "unchecked", str(error)
    manifest = _manifest(metadata)
    if ATTRIBUTE not in metadata:
        return "good", ""
    timestamp = manifest.timestamp if manifest is not None else 0
    bucket, collection = target.ids
    try:
        verify(
            metadata[ATTRIBUTE],
            bucket,
            collection,
            timestamp=timestamp,
            content=content,
            known=None,
            now=now,
            believe=trust.believe,
        )
    except Refused as error:
        return "bad", f"manifest: {error}"
    return "good", ""
