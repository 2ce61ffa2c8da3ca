"""Who the bearer of a token is, remembered by the token's digest."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import structlog

from kintoun.features.openid import tokens
from kintoun.features.openid.options import claim_at
from kintoun.features.openid.provider import Provider
from kintoun.features.openid.wire import Unavailable
from kintoun.http.credentials import OF_ACCOUNTS
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.errors import BACKEND, ProtocolError
from kintoun.resources.identity import Claim
from kintoun.storage import Store

log = structlog.get_logger()

GROUP = "group:"
"""Between the provider's name and a group's, where no user's id begins so."""

MOST_GROUPS = 200
LONGEST_NAME = 512
REMEMBERED_BYTES = 16 * 1024 * 1024
"""Profiles that one worker remembers of one provider."""

REFUSED_SECONDS = 30.0
REFUSED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Bearer(Claim):
    """The claim of a verified token, and what the provider says of the user: the JSON of an object."""

    profile: bytes = b"{}"


class _Verified(NamedTuple):
    claim: Bearer
    until: float
    generation: int


class OpenIdPolicy:
    """Recognises the users of one provider by their tokens (protocol section 9.4)."""

    def __init__(self, provider: Provider, retry_after: int) -> None:
        self.name = provider.name
        self.provider = provider
        options = provider.options
        self.challenge = f'{options.header_type} realm="{options.realm}"'
        self._scheme = options.header_type.lower()
        self._retry_after = str(retry_after)
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._bytes = 0
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._verifying: dict[bytes, asyncio.Task[Bearer | None]] = {}

    async def identify(self, request: Request, store: Store) -> Claim | None:
        """Who the bearer of the request's token is; raises ProtocolError (503) when nobody can tell."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != self._scheme:
            return None
        digest = hashlib.blake2b(token.encode(), key=self._key, digest_size=16).digest()
        found = self._verified.get(digest)
        if found is not None and found.generation == self.provider.generation and time.time() < found.until:
            return found.claim
        return await self._looked_into(digest, token.strip())

    def forget(self, request: Request) -> None:
        """A token says the same until it ends."""

    async def _looked_into(self, digest: bytes, token: str) -> Bearer | None:
        if not token or len(token) > tokens.MOST_CHARACTERS or not _printable(token):
            return None
        if token.startswith(OF_ACCOUNTS):
            return None
        if time.time() < self._refused.get(digest, 0.0):
            return None
        # Requests that come at once with the same token wait for one verification.
        task = self._verifying.get(digest)
        if task is None:
            task = self._verifying[digest] = asyncio.ensure_future(self._verify(digest, token))
            task.add_done_callback(lambda done: self._ended(digest, done))
        try:
            return await asyncio.shield(task)
        except Unavailable as error:
            message = f"The OpenID provider {self.name} cannot be asked, please retry later."
            headers = (("Retry-After", self._retry_after),)
            raise ProtocolError(503, BACKEND, message, headers=headers) from error

    def _ended(self, digest: bytes, task: asyncio.Task[Bearer | None]) -> None:
        del self._verifying[digest]
        if not task.cancelled() and task.exception() is not None:
            log.warning("a token cannot be verified", provider=self.name, error=str(task.exception()))

    async def _verify(self, digest: bytes, token: str) -> Bearer | None:
        generation = self.provider.generation
        try:
            claims, end = await self._claims(token)
        except tokens.Refused as error:
            log.debug("a token is refused", provider=self.name, reason=str(error))
            return None
        if claims is None:
            self._refused[digest] = time.time() + REFUSED_SECONDS
            if len(self._refused) > REFUSED_TOKENS:
                self._refused.popitem(last=False)
            return None
        claim = self._claim(claims)
        if claim is not None:
            until = min(end, time.time() + self.provider.options.verification_ttl_seconds)
            self._remember(digest, _Verified(claim, until, generation))
        return claim

    async def _claims(self, token: str) -> tuple[dict[str, Any] | None, float]:
        """What is known of the bearer, None when the provider refuses the token; and until when."""
        options = self.provider.options
        peeked = tokens.peek(token)
        if peeked is None:
            if options.audience:
                raise tokens.Refused("opaque, and so for no audience")
            return await self.provider.profile(token), float("inf")
        if not self.provider.issued(peeked.issuer):
            raise tokens.Refused("of another issuer")
        claims = await self.provider.verified(token)
        end = claims["exp"] + options.clock_skew_seconds
        if self._tells_enough(claims):
            return claims, end
        profile = await self.provider.profile(token)
        if profile is None or profile.get("sub") != claims["sub"]:
            # An access token for another audience opens no profile: what it says itself is all there is.
            return claims, end
        return {**claims, **profile}, end

    def _tells_enough(self, claims: Mapping[str, Any]) -> bool:
        options = self.provider.options
        return options.userid_field in claims and (
            not options.groups_claim or claim_at(claims, options.groups_claim) is not None
        )

    def _claim(self, claims: Mapping[str, Any]) -> Bearer | None:
        options = self.provider.options
        user = claims.get(options.userid_field)
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if not isinstance(user, str) or not _is_name(user) or user.startswith(GROUP):
            log.warning("a token names no user", provider=self.name, field=options.userid_field)
            return None
        if options.userid_field == "email" and claims.get("email_verified", True) is not True:
            log.warning("the provider has not verified an e-mail address", provider=self.name)
            return None
        groups = _names(claim_at(claims, options.groups_claim)) if options.groups_claim else ()
        return Bearer(
            f"{self.name}:{user}",
            groups=tuple(f"{self.name}:{GROUP}{name}" for name in groups),
            profile=json.encode(claims),
        )

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        before = self._verified.pop(digest, None)
        if before is not None:
            self._bytes -= len(before.claim.profile)
        self._verified[digest] = verified
        self._bytes += len(verified.claim.profile)
        while self._bytes > REMEMBERED_BYTES or len(self._verified) > self.provider.options.remembered_tokens:
            _, oldest = self._verified.popitem(last=False)
            self._bytes -= len(oldest.claim.profile)


def profile_of(claim: Claim | None) -> dict[str, Any]:
    """What the root view tells the bearer of a token about itself."""
    return {"profile": msgspec.Raw(claim.profile)} if isinstance(claim, Bearer) else {}


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _names(value: Any) -> tuple[str, ...]:
    """The groups that a claim lists; what is no name is passed over."""
    listed = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(name for name in listed if _is_name(name)))[:MOST_GROUPS]
