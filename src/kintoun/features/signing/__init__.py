"""Signing: what is edited in one place is reviewed, signed, and published in another.

`review` is the workflow as a function; `resources` says which collections take part. `reacting` follows what
clients do to sources, `guarding` keeps them from what is published. `planning` and `publishing` make what is
signed outside of transactions, `applying` commits it; `holding` knows what is published, `anticipating` looks
ahead for that; `attesting` adds a manifest, and an entry in the log.
`signers` sign, `chains` vouch for them, `renewal` and `resigning` see to it that what is published never
expires, `inspecting` and `watching` that it verifies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import kintoun
from kintoun.features.signing import publication_log
from kintoun.features.signing.anticipating import Anticipation
from kintoun.features.signing.applying import SIGNER_USER
from kintoun.features.signing.attesting import Attestation
from kintoun.features.signing.chains import MIGRATIONS, Chains, base_url
from kintoun.features.signing.creating import creator
from kintoun.features.signing.forgetting import forget_user
from kintoun.features.signing.guarding import Guard
from kintoun.features.signing.inspecting import Inspector
from kintoun.features.signing.naming import Naming
from kintoun.features.signing.publishing import Publisher, Sign
from kintoun.features.signing.reacting import Reactions
from kintoun.features.signing.renewal import LEASE, Renewal
from kintoun.features.signing.resigning import Resigning
from kintoun.features.signing.resources import EDITORS, REVIEWERS, Resources, kinto_names
from kintoun.features.signing.signers import Signers, sign_all
from kintoun.features.signing.state import WORKSPACE
from kintoun.features.signing.watching import Watch, can_sign
from kintoun.features.signing.workflow import DEFAULT_RESOURCES, KINTO_KEYS, SigningSettings
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD, register
from kintoun.model.paths import Path
from kintoun.plugin import Plugin, Registry
from kintoun.signatures.message import Message

CAPABILITY = "signer"


class Signing(Plugin):
    """The feature."""

    name = "signing"
    settings = SigningSettings
    migrations = (*MIGRATIONS, *publication_log.STEPS)
    kinto_includes = ("kinto_signer", "kinto_remote_settings", "kinto_remote_settings.signer")
    kinto_keys: ClassVar[Mapping[str, str]] = KINTO_KEYS

    @classmethod
    def kinto_names(cls, texts: Mapping[str, str]) -> Iterable[str]:
        return kinto_names(texts.get("signer.resources", DEFAULT_RESOURCES))

    def setup(self, registry: Registry, settings: Any) -> None:
        settings = settings or SigningSettings()
        service = registry.service
        try:
            resources = Resources(settings)
        except ValueError as error:
            raise ValueError(f"signing: {error}") from error
        register(WORKSPACE)
        chains = Chains(service.store, base_url(settings.chains_url, registry.settings))
        registry.endpoint(chains.endpoint())
        signers = Signers(settings, chains.keep)
        self.publisher = Publisher(service, signing_with(signers), settings.cache_bytes)
        if settings.manifest_days:
            attestation = Attestation(service.store, signing_with(signers), settings.manifest_days)
            self.publisher.extensions.append(attestation)
            registry.closing(publication_log.seal)
        guard = Guard(resources, self.publisher.extensions)
        reactions = Reactions(
            resources, self.publisher, hard=settings.hard_delete_destination_on_source_deletion
        )
        registry.before_commit(guard.check, BUCKET, COLLECTION, RECORD)
        registry.react(reactions.react, COLLECTION, RECORD)
        # Before the others, who may have to say more of what this one adds.
        service.widen.insert(0, reactions.widen)
        service.erase.insert(0, forget_user)
        registry.heartbeat(CAPABILITY, signers.check)
        self._watch(registry, signers, Inspector(service.store, resources, signers, chains))
        registry.background(Renewal(settings).renew, lease=LEASE)
        registry.background(Resigning(service.store, resources, signers, self.publisher).run, lease="signing")
        registry.background(Anticipation(service.store, resources, self.publisher.planner).run)
        if settings.auto_create_resources:
            principals = settings.auto_create_resources_principals
            registry.background(creator(service, resources, principals), lease="signing-resources")
        self._tell(registry, resources)

    @staticmethod
    def _watch(registry: Registry, signers: Signers, inspector: Inspector) -> None:
        every = signers.all()
        for signer in every if len(every) > 1 else ():
            registry.heartbeat(f"{CAPABILITY}.{signer.id}", partial(can_sign, signer))
        watch = Watch(inspector, signers, registry.service.measures)
        registry.background(watch.run, lease="signing-watch")

    @staticmethod
    def _tell(registry: Registry, resources: Resources) -> None:
        registry.capability(
            CAPABILITY,
            "Digital signatures for integrity and authenticity of records.",
            f"{registry.settings.project.docs}concepts/review/",
            version=kintoun.__version__,
            plugin_userid=SIGNER_USER,
            plugin_user_id=SIGNER_USER,  # what kinto-admin looks for
            group_check_enabled=True,
            editors_group=EDITORS,
            reviewers_group=REVIEWERS,
            to_review_enabled=resources.review,
            resources=resources.as_json(),
        )
        if resources.has_patterns:
            naming = Naming(registry.service, resources, registry.service.capabilities[CAPABILITY])
            registry.after_commit(naming.committed)
            registry.background(naming.refresh)


def signing_with(signers: Signers) -> Sign:
    """How publications are signed."""

    async def sign(source: Path, message: Message) -> Sequence[Mapping[str, Any]]:
        return await sign_all(signers.for_collection(*source.ids), message)

    return sign
