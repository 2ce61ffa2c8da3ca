"""One provider: what its discovery document says, its keys, and what can be asked of it."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import quote_plus

import msgspec
import structlog
from msgspec import Meta

from kintoun.features.openid import keys, tokens
from kintoun.features.openid.keys import KeySet
from kintoun.features.openid.options import Options
from kintoun.features.openid.remembered import Remembered
from kintoun.features.openid.wire import Reply, Unavailable, Wire
from kintoun.model import json

DISCOVERY = "/.well-known/openid-configuration"
METADATA_TTL_SECONDS = 86_400.0
DOCUMENT_BYTES = 256 * 1024
"""Most that a discovery document or a set of keys may have."""

ANSWER_BYTES = 32 * 1024
"""Most that tokens or a profile may have: tokens travel in a URL, and profiles are remembered."""

PROFILE_DEPTH = 32

log = structlog.get_logger()

Url = Annotated[str, Meta(pattern=r"^https?://[^\s#@]+$", max_length=2048)]


class Metadata(msgspec.Struct, frozen=True):
    """What a discovery document says (OpenID Connect Discovery section 3), as far as it is used."""

    issuer: str
    authorization_endpoint: Url
    token_endpoint: Url
    jwks_uri: Url
    userinfo_endpoint: Url | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    code_challenge_methods_supported: list[str] | None = None

    @property
    def endpoints(self) -> tuple[str | None, ...]:
        return (self.authorization_endpoint, self.token_endpoint, self.jwks_uri, self.userinfo_endpoint)


class Provider:
    """A provider of the settings. Every method that asks it raises Unavailable when there is no answer."""

    def __init__(self, name: str, options: Options, wire: Wire) -> None:
        self.name = name
        self.options = options
        self._wire = wire
        pause = float(options.keys_refetch_seconds)
        self.metadata = Remembered(self._fetch_metadata, METADATA_TTL_SECONDS, pause)
        self.keys = Remembered(self._fetch_keys, float(options.keys_ttl_seconds), pause)
        self.generation = 0
        """Rises when a key is withdrawn: what was verified before has to be verified again."""
        self._missed = False
        self.described: dict[str, Any] = {
            "name": name,
            "issuer": options.issuer,
            "auth_path": f"/openid/{name}/login",
            "client_id": options.client_id,
            "audience": options.audience,
            "header_type": options.header_type,
            "userinfo_endpoint": None,
        }
        """What clients read of it in the root view; the last is known when the provider has answered."""

    def issued(self, issuer: str) -> bool:
        """Whether that is the issuer of the settings, as far as can be told without asking anybody."""
        return issuer.rstrip("/") == self.options.issuer.rstrip("/")

    async def verified(self, token: str, nonce: str | None = None) -> dict[str, Any]:
        """The claims of a token that this provider signed; raises tokens.Refused.

        With `nonce` it is the ID token of a login, which is for the client and not for the audience.
        """
        metadata = await self.metadata.get()
        known = await self.keys.get()
        expected = tokens.Expected(
            metadata.issuer,
            self.options.client_id,
            self.options.audience if nonce is None else self.options.client_id,
            time.time(),
            self.options.clock_skew_seconds,
            nonce,
        )
        try:
            return tokens.verified(token, known, expected)
        except tokens.UnknownKey:
            return tokens.verified(token, await self.keys.renewed(), expected)

    async def profile(self, token: str) -> dict[str, Any] | None:
        """What the provider tells the bearer of a token about its user; None when it refuses the token."""
        endpoint = (await self.metadata.get()).userinfo_endpoint
        if endpoint is None:
            return None
        headers = {"Authorization": f"Bearer {token}"}
        reply = await self._ask("GET", endpoint, ANSWER_BYTES, headers=headers)
        if reply.status in (408, 429):
            raise Unavailable(f"answers {reply.status}")
        return _object(reply.body) if reply.status == 200 else None

    async def trade(self, code: str, verifier: str, redirect_uri: str) -> Reply:
        """The answer to a code of a login: tokens, or the provider's refusal, as a JSON object."""
        metadata = await self.metadata.get()
        options = self.options
        form = {"code": code, "redirect_uri": redirect_uri, "grant_type": "authorization_code"}
        form["code_verifier"] = verifier
        basic = None
        methods = metadata.token_endpoint_auth_methods_supported
        if options.client_secret and methods is not None and "client_secret_post" not in methods:
            basic = (form_encoded(options.client_id), form_encoded(options.client_secret))
        else:
            form["client_id"] = options.client_id
            if options.client_secret:
                form["client_secret"] = options.client_secret
        reply = await self._ask("POST", metadata.token_endpoint, ANSWER_BYTES, form=form, basic=basic)
        _object(reply.body)
        return reply

    async def close(self) -> None:
        """Close the connections to it, and to the other providers of this worker."""
        await self._wire.close()

    async def maintain(self) -> None:
        """Fetch again what is too old, so that no request has to wait for it."""
        try:
            await self.metadata.get()
            await self.keys.get()
            self._missed = False
        except Unavailable as error:
            if not self._missed:
                log.warning("the OpenID provider is not there", provider=self.name, error=str(error))
            self._missed = True

    async def _fetch_metadata(self) -> Metadata:
        url = self.options.issuer.rstrip("/") + DISCOVERY
        reply = await self._ask("GET", url, DOCUMENT_BYTES)
        if reply.status != 200:
            raise Unavailable(f"{url} answers {reply.status}")
        try:
            metadata = msgspec.convert(json.decode(reply.body), Metadata)
        except (json.InvalidJSON, msgspec.ValidationError) as error:
            raise Unavailable(f"{url} is no discovery document: {error}") from error
        if not self.issued(metadata.issuer):
            raise Unavailable(f"{url} is the document of another issuer, {metadata.issuer[:200]!r}")
        if self.options.issuer.startswith("https:"):
            for endpoint in metadata.endpoints:
                if endpoint is not None and not endpoint.startswith("https:"):
                    raise Unavailable(f"{url} names an endpoint that is not https, {endpoint[:200]!r}")
        self.described["issuer"] = metadata.issuer
        self.described["userinfo_endpoint"] = metadata.userinfo_endpoint
        return metadata

    async def _fetch_keys(self) -> KeySet:
        url = (await self.metadata.get()).jwks_uri
        reply = await self._ask("GET", url, DOCUMENT_BYTES)
        if reply.status != 200:
            raise Unavailable(f"{url} answers {reply.status}")
        try:
            fetched = keys.parse(reply.body)
        except ValueError as error:
            raise Unavailable(f"{url} is no set of keys: {error}") from error
        before = self.keys.value
        if before is not None and not fetched.keeps(before):
            self.generation += 1
        return fetched

    async def _ask(self, method: str, url: str, most: int, **arguments: Any) -> Reply:
        return await self._wire.ask(method, url, seconds=self.options.timeout_seconds, most=most, **arguments)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.decode(body, max_depth=PROFILE_DEPTH)
    except json.InvalidJSON as error:
        raise Unavailable(f"answers what is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unavailable("answers what is no JSON object")
    return value


def form_encoded(text: str) -> str:
    """A client's id or secret as it stands in HTTP Basic credentials (RFC 6749 section 2.3.1)."""
    return quote_plus(text)
