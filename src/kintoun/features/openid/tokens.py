"""Signed tokens (JWT, RFC 7519; OpenID Connect Core section 3.1.3.7): what they say, once it is proved."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from typing import Annotated, Any, NamedTuple

import jwt
import msgspec
from msgspec import Meta

from kintoun.features.openid.keys import ALGORITHMS, KeySet
from kintoun.model import json

MOST_CHARACTERS = 16_384
MOST_DEPTH = 32
TYPES = frozenset(("", "jwt", "at+jwt", "application/jwt", "application/at+jwt"))
"""What `typ` says of an ID token or an access token. A logout token, for one, proves no login."""

_jws = jwt.PyJWS(algorithms=sorted(ALGORITHMS))

Moment = Annotated[float, Meta(ge=0, le=1e12)]


class Refused(Exception):
    """The token proves nothing; the message says why, for the log and not for whoever sent it."""


class UnknownKey(Refused):
    """The token names a key that is not known (yet)."""


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: Annotated[str, Meta(max_length=512)] | None = None
    typ: str = ""


class _Registered(msgspec.Struct, frozen=True):
    """The claims that decide whether a token counts; times are in seconds since the epoch."""

    iss: str
    sub: Annotated[str, Meta(min_length=1, max_length=512)]
    exp: Moment
    aud: str | list[str] = []
    nbf: Moment | None = None
    iat: Moment | None = None
    azp: str | None = None
    client_id: str | None = None
    nonce: str | None = None
    events: Any = None


_header = msgspec.json.Decoder(_Header).decode


class Peeked(NamedTuple):
    """What an unverified token says of itself: worth nothing but to choose who verifies it."""

    issuer: str
    algorithm: str
    kid: str | None


def peek(token: str) -> Peeked | None:
    """What a signed token says of itself; None when it is opaque: no JWT, or one that names no issuer."""
    if token.count(".") != 2:
        return None
    head, payload, _ = token.split(".")
    try:
        header = _header(_decoded(head))
        claims = json.decode(_decoded(payload), max_depth=MOST_DEPTH)
    except (ValueError, msgspec.MsgspecError, json.InvalidJSON):
        return None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return Peeked(issuer, header.alg, header.kid) if isinstance(issuer, str) else None


def _decoded(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error as error:
        raise ValueError("no base64") from error


class Expected(NamedTuple):
    """What a token has to be to count: whose, for whom, and when (seconds since the epoch)."""

    issuer: str
    client_id: str
    audience: str
    now: float
    skew: float
    nonce: str | None = None


def verified(token: str, keys: KeySet, expected: Expected) -> dict[str, Any]:
    """All claims of a token whose signature and registered claims are right.

    Raises Refused, and UnknownKey when it is signed by a key that is not among `keys`.
    """
    if len(token) > MOST_CHARACTERS:
        raise Refused("too long")
    payload = _signed(token, keys)
    try:
        claims = json.decode(payload, max_depth=MOST_DEPTH)
        registered = msgspec.convert(claims, _Registered)
    except (json.InvalidJSON, msgspec.ValidationError) as error:
        raise Refused(str(error)) from error
    _check(registered, expected)
    decoded: dict[str, Any] = claims
    return decoded


def _signed(token: str, keys: KeySet) -> bytes:
    try:
        header = _header(_decoded(token.partition(".")[0]))
    except (ValueError, msgspec.MsgspecError) as error:
        raise Refused("no header") from error
    if header.alg not in ALGORITHMS:
        raise Refused(f"algorithm {header.alg[:20]!r}")
    if header.typ.lower() not in TYPES:
        raise Refused(f"type {header.typ[:20]!r}")
    key = keys.find(header.kid, header.alg)
    if key is None:
        raise UnknownKey("no such key")
    try:
        parts = _jws.decode_complete(token, key, algorithms=[header.alg])
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise Refused(str(error)) from error
    if "crit" in parts["header"]:
        raise Refused("a header that has to be understood")
    payload: bytes = parts["payload"]
    return payload


def _check(claims: _Registered, expected: Expected) -> None:
    now, skew = expected.now, expected.skew
    if claims.iss != expected.issuer:
        raise Refused("of another issuer")
    if claims.exp <= now - skew:
        raise Refused("expired")
    if claims.nbf is not None and claims.nbf > now + skew:
        raise Refused("not valid yet")
    if claims.iat is not None and claims.iat > now + skew:
        raise Refused("issued in the future")
    if claims.events is not None:
        raise Refused("tells of an event, not of a login")
    if not _is_for(claims, expected):
        raise Refused("for another audience")
    if expected.nonce is not None and (claims.nonce, claims.azp or expected.client_id) != (
        expected.nonce,
        expected.client_id,
    ):
        raise Refused("of another login")


def _is_for(claims: _Registered, expected: Expected) -> bool:
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if expected.audience:
        return expected.audience in audiences
    # Whom it was issued to is in `azp` (OpenID Connect) or `client_id` (RFC 9068).
    return expected.client_id in (*audiences, claims.azp, claims.client_id)
