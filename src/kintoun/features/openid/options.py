"""The options of an OpenID policy: `[[policies]]` with `use = "openid"` (protocol section 9.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from kintoun.features.openid.callbacks import LOCAL, is_pattern
from kintoun.settings import Policy

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_ISSUER = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?", re.ASCII)

Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Seconds = Annotated[int, Meta(ge=1, le=366 * 86_400)]


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the deployment says of one provider."""

    issuer: Annotated[Text, Meta(description="URL of the provider, as its discovery document names it.")]
    client_id: Annotated[Text, Meta(description="Id under which the provider knows this server.")]
    client_secret: Annotated[
        str, Meta(description="Secret that goes with it; a public client has none, and relies on PKCE.")
    ] = ""
    audience: Annotated[
        str,
        Meta(
            description="Only tokens that are signed for this audience count; it is asked for at the login. "
            "Without it a signed token has to be for `client_id`, and opaque ones are taken to the provider."
        ),
    ] = ""
    header_type: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$", description="First word of the `Authorization` header."
        ),
    ] = "Bearer"
    realm: Annotated[str, Meta(pattern=r"^[ !#-\[\]-~]*$", description="Realm in `WWW-Authenticate`.")] = (
        "Realm"
    )
    userid_field: Annotated[Text, Meta(description="Claim that becomes the user's id, `NAME:VALUE`.")] = "sub"
    groups_claim: Annotated[
        str,
        Meta(
            description="Claim whose values become principals, `NAME:group:VALUE`; dots descend into objects."
        ),
    ] = ""
    allowed_scopes: Annotated[list[Text], Meta(description="Scopes that a login may ask for.")] = field(
        default_factory=lambda: ["openid", "email", "profile"]
    )
    trusted_callback_urls: Annotated[
        list[Text],
        Meta(
            description="Where tokens may be sent: URLs in which `*` stands for anything within host, port "
            "or path. Without any: this machine, and the admin console if this server has one."
        ),
    ] = field(default_factory=list)
    verification_ttl_seconds: Annotated[
        int,
        Meta(
            ge=0, le=366 * 86_400, description="How long a verified token is remembered; never past its end."
        ),
    ] = 86_400
    state_ttl_seconds: Annotated[Seconds, Meta(description="How long a login may take.")] = 3600
    state_length: Annotated[
        int, Meta(ge=16, le=128, description="Random bytes of the state that a login carries.")
    ] = 32
    pending_logins: Annotated[
        int, Meta(ge=1, description="Logins under way at once; beyond it the oldest are given up.")
    ] = 10_000
    remembered_tokens: Annotated[
        int, Meta(ge=1, description="Verified tokens that one worker remembers.")
    ] = 10_000
    clock_skew_seconds: Annotated[
        int, Meta(ge=0, le=3600, description="How far the provider's clock may be from ours.")
    ] = 60
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long one answer of the provider may take.")
    ] = 5.0
    keys_ttl_seconds: Annotated[
        Seconds, Meta(description="After how long the provider's keys are fetched again.")
    ] = 3600
    keys_refetch_seconds: Annotated[
        Seconds, Meta(description="Least time between two fetches for the sake of a key that is not known.")
    ] = 10

    @property
    def callbacks(self) -> tuple[str, ...]:
        """The trusted callbacks that are the same for every request."""
        return tuple(self.trusted_callback_urls) or LOCAL


def decode(policy: Policy) -> Options:
    """The options of a policy, from TOML or from the texts of a Kinto ini.

    Raises ValueError with a message that names the policy and the option.
    """
    where = f"policies: {policy.name}"
    if not NAME.fullmatch(policy.name):
        raise ValueError(f"{where}: the name of an OpenID policy is letters, digits, `-` and `_`")
    values = {name: _as_declared(name, value) for name, value in policy.options.items()}
    try:
        options = msgspec.convert(values, Options, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: options: {error}") from error
    if options.header_type.lower() == "basic":
        raise ValueError(f"{where}: options: header_type: `Basic` is for passwords, which are no provider's")
    if not _ISSUER.fullmatch(options.issuer):
        raise ValueError(f"{where}: options: issuer: must be an http or https URL without a query")
    for pattern in options.trusted_callback_urls:
        if not is_pattern(pattern):
            rule = "must be an http or https URL, in which `*` may stand for anything"
            raise ValueError(f"{where}: options: trusted_callback_urls: {pattern!r} {rule}")
    return options


_LISTS = frozenset(("allowed_scopes", "trusted_callback_urls"))


def _as_declared(name: str, value: Any) -> Any:
    """An ini has no lists, and an id that consists of digits is read as a number there."""
    if name in _LISTS and isinstance(value, str):
        return value.split()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def claim_at(claims: Mapping[str, Any], name: str) -> Any:
    """The value of a claim: of that very name, else of the path that its dots describe; None without."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value
