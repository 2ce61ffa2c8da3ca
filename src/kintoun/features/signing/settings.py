"""The settings of signing: who signs what, and where keys and chains are."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from kintoun.settings import BESIDE_FILE, Section

SignerName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Name, once among all signers.")
]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")]
RootHash = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2}:?){32}$")]
ChainUrl = Annotated[
    Url | None,
    Meta(description="Where clients get the chain, when it is not this server that serves it."),
]


class Local(Section, frozen=True):
    """A signer whose private key is in a file."""

    name: SignerName
    private_key: Annotated[
        str,
        Meta(
            extra=BESIDE_FILE,
            description="PEM file with a private key on P-384, and the chain behind it as `kintoun pki` "
            "writes it. It is read again when it changes.",
        ),
    ]
    chain: Annotated[
        str | None,
        Meta(
            extra=BESIDE_FILE,
            description="PEM file with the chain, leaf first; default: the certificates in the file of the "
            "key. Without any, signatures have no `x5u`.",
        ),
    ] = None
    x5u: ChainUrl = None


class Pkcs11(Section, frozen=True):
    """A signer whose private key is in a hardware security module, reached by PKCS#11."""

    name: SignerName
    module: Annotated[str, Meta(description="The PKCS#11 library of the module's maker.")]
    token: Annotated[str, Meta(description="Label of the token.")]
    pin_secret: Annotated[str, Meta(description="PIN of the token's user.")]
    key: Annotated[str, Meta(description="Label of the private key, on P-384.")]
    chain: Annotated[
        str | None,
        Meta(
            extra=BESIDE_FILE,
            description="PEM file with the chain, leaf first. It is read again when it changes.",
        ),
    ] = None
    x5u: ChainUrl = None
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=300, description="How long the module may take for one signature.")
    ] = 10.0


class Autograph(Section, frozen=True):
    """Signers of a signing service that speaks autograph's API: one for each of its keys."""

    name: SignerName
    server_url: Annotated[Url, Meta(description="Base URL of the service.")]
    hawk_id: Annotated[str, Meta(description="Id by which the service knows this server.")]
    hawk_secret: Annotated[str, Meta(description="The key that only both know.")]
    key_ids: Annotated[
        list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]],
        Meta(
            min_length=1,
            description="Keys of the service; with several there are as many signatures, in this order.",
        ),
    ] = field(default_factory=lambda: ["remote-settings"])
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=300, description="How long the service may take for one signature.")
    ] = 10.0
    renew_days: Annotated[
        float,
        Meta(gt=0, le=3650, description="After how long what the service signed is given to it again."),
    ] = 7.0
    chains_url: Annotated[
        Url | None,
        Meta(
            description="Below which URL the chains of the service are, for this server's own check of what "
            "it has published; default: `server_url`. Nowhere else are they asked for."
        ),
    ] = None
    root_hash: Annotated[
        RootHash | None,
        Meta(
            description="SHA-256 digest of the root that its chains must end in, in hexadecimal, with or "
            "without colons, as clients pin it; default: any.",
        ),
    ] = None


class SignersSection(Section, frozen=True):
    """Who signs."""

    local: Annotated[list[Local], Meta(description="Signers whose keys are in files.")] = field(
        default_factory=list
    )
    pkcs11: Annotated[list[Pkcs11], Meta(description="Signers whose keys are in hardware.")] = field(
        default_factory=list
    )
    autograph: Annotated[list[Autograph], Meta(description="Signing services.")] = field(default_factory=list)
    sign_with: Annotated[
        list[str],
        Meta(
            description="Names of the signers who sign what `sign_with_in` says nothing of; default: the "
            "only one there is. The first makes the signature that old clients read."
        ),
    ] = field(default_factory=list)
    sign_with_in: Annotated[
        dict[str, list[str]],
        Meta(
            description="Names of the signers by source: `BUCKET`, or `BUCKET/COLLECTION`, which goes first."
        ),
    ] = field(default_factory=dict)
    overrides: Annotated[
        dict[str, Any],
        Meta(
            description="Signers as a Kinto's configuration names them: `signer_backend`, "
            "`ecdsa.private_key`, `autograph.server_url`, …, of all sources, of `BUCKET.` or of "
            "`BUCKET.COLLECTION.`"
        ),
    ] = field(default_factory=dict)
    chains_url: Annotated[
        Url | None,
        Meta(
            description="URL of this server's API, as `https://example.org/v1`, below which clients fetch "
            "chains; default: made from `[http] public_scheme` and `public_host`, or the address listened on."
        ),
    ] = None
    pki: Annotated[
        str | None,
        Meta(
            extra=BESIDE_FILE,
            description="Directory with the `intermediate.pem` that renews leaves; default: the one in which "
            "the leaf is.",
        ),
    ] = None
    leaf_days: Annotated[
        float, Meta(ge=1, le=3650, description="How long a leaf is valid from when it is issued.")
    ] = 90.0
    skew_days: Annotated[
        float,
        Meta(ge=0, le=60, description="How long before that it is valid too, for clocks that are late."),
    ] = 30.0


KINTO_NAMES = (
    "signer_backend",
    "ecdsa.private_key",
    "ecdsa.public_key",
    "autograph.server_url",
    "autograph.hawk_id",
    "autograph.hawk_secret",
    "autograph.key_ids",
)
"""The settings of a Kinto that say who signs: for all, or behind `BUCKET.` or `BUCKET.COLLECTION.`"""

KINTO_KEYS = {f"signer.{name}": f"overrides.{name}" for name in KINTO_NAMES}
"""The keys of a Kinto ini that say who signs what has no signer of its own."""
