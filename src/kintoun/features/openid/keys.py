"""The keys of a provider (JWKS, RFC 7517), of which only public ones that can sign are taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from kintoun.model import json

MOST_KEYS = 100
MOST_DEPTH = 8
RSA_BITS = range(2048, 8192 + 1)

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
_EDWARDS = {"Ed25519": ("EdDSA",), "Ed448": ("EdDSA",)}

ALGORITHMS = frozenset((*_RSA, "ES256", "ES384", "ES512", "EdDSA"))
"""What a signature can be made with: nothing but public keys, never `none`, never a shared secret."""


class KeySet:
    """The keys of a provider, by id and algorithm."""

    def __init__(self, keys: Mapping[tuple[str | None, str], jwt.PyJWK]) -> None:
        self._keys = dict(keys)

    @property
    def names(self) -> frozenset[tuple[str | None, str]]:
        return frozenset(self._keys)

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key for a token; one that names none is signed by the only one of its algorithm."""
        if kid is not None:
            return self._keys.get((kid, algorithm))
        fitting = [key for (_, name), key in self._keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def keeps(self, other: KeySet) -> bool:
        """Whether every key of `other` is here, unchanged."""
        return all(
            name in self._keys and _material(self._keys[name]) == _material(key)
            for name, key in other._keys.items()
        )


def _material(key: jwt.PyJWK) -> dict[str, Any]:
    return {name: value for name, value in key._jwk_data.items() if name in _PUBLIC}


_PUBLIC = ("kty", "n", "e", "crv", "x", "y")


def parse(raw: bytes) -> KeySet:
    """The keys of a JWKS document; raises ValueError when it is none. What is of no use in it is left out."""
    document = json.decode(raw, max_depth=MOST_DEPTH)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("the document has no list of keys")
    keys: dict[tuple[str | None, str], jwt.PyJWK] = {}
    for item in listed[:MOST_KEYS]:
        if isinstance(item, dict) and _can_verify(item):
            kid = item.get("kid")
            for algorithm in _algorithms(item):
                key = _key(item, algorithm)
                if key is not None:
                    keys.setdefault((kid, algorithm), key)
    return KeySet(keys)


def _can_verify(item: Mapping[str, Any]) -> bool:
    operations = item.get("key_ops")
    return (
        item.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
        and isinstance(item.get("kid"), str | None)
    )


def _algorithms(item: Mapping[str, Any]) -> tuple[str, ...]:
    """What a key may be used with: the algorithms of its type, or the one of them that it names."""
    curve = item.get("crv")
    match item.get("kty"):
        case "RSA":
            possible: tuple[str, ...] = _RSA
        case "EC" if isinstance(curve, str):
            possible = _CURVES.get(curve, ())
        case "OKP" if isinstance(curve, str):
            possible = _EDWARDS.get(curve, ())
        case _:
            possible = ()
    named = item.get("alg")
    return possible if named is None else tuple(name for name in possible if name == named)


def _key(item: Mapping[str, Any], algorithm: str) -> jwt.PyJWK | None:
    public = {name: item[name] for name in _PUBLIC if isinstance(item.get(name), str)}
    try:
        key = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, UnsupportedAlgorithm):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size not in RSA_BITS:
        return None
    return key
