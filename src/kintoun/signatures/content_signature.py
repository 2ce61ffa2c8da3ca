"""Content signatures: what is hashed, and how r and s are written (signing section 2)."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal

from cryptography.exceptions import InvalidSignature as Refuted
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from kintoun.signatures.message import Message

SIZE = 48
"""Bytes of r, and of s, on P-384."""

Reason = Literal[
    "signature",  # it is not by this key, over these bytes
    "encoding",  # it is not r‖s in base64url
    "malformed",  # no certificates can be read
    "expired",
    "not-yet-valid",
    "root",  # the chain ends in another root than those that are trusted
    "chain",  # a certificate is not issued by the next
    "order",  # the leaf does not come first
    "ca",  # an authority's certificate is none, or may not sign so far below it
    "eku",  # not for the signing of code
    "name-constraints",
    "subject",  # the leaf has another name
    "key",  # a key that is too weak, or no P-384
    "algorithm",  # a signature made with a broken hash
    "extension",  # a critical extension that nobody here knows
]
"""Why something signed is not believed."""

_SCHEMES = {each.digest_size: ec.ECDSA(utils.Prehashed(each)) for each in (SHA256(), SHA384(), SHA512())}
DIGESTS = tuple(_SCHEMES)
"""Bytes of the digests that can be signed: of SHA-256, SHA-384 and SHA-512."""


class InvalidSignature(Exception):
    """Something signed that is not to be believed."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def digest(data: bytes) -> bytes:
    """The SHA-384 digest that is signed for `data`."""
    return Message(data).digest


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> str:
    """The content signature of `data` by a key on P-384."""
    return sign_digest(key, digest(data))


def sign_digest(key: ec.EllipticCurvePrivateKey, hashed: bytes) -> str:
    """The signature of what has this digest, by a key on P-384.

    A content signature is one of a SHA-384 digest. Of a longer one ECDSA takes the first 384 bits.
    """
    r, s = utils.decode_dss_signature(key.sign(hashed, _SCHEMES[len(hashed)]))
    return encode(r.to_bytes(SIZE, "big") + s.to_bytes(SIZE, "big"))


def verify(key: ec.EllipticCurvePublicKey, data: bytes, signature: str) -> None:
    """Raise InvalidSignature unless `signature` is of `data`, by a key on P-384."""
    verify_digest(key, digest(data), signature)


def verify_digest(key: ec.EllipticCurvePublicKey, hashed: bytes, signature: str) -> None:
    """Raise InvalidSignature unless `signature` is of what has this digest, by a key on P-384."""
    raw = decode(signature)
    der = utils.encode_dss_signature(int.from_bytes(raw[:SIZE], "big"), int.from_bytes(raw[SIZE:], "big"))
    try:
        key.verify(der, hashed, _SCHEMES[len(hashed)])
    except Refuted:
        raise InvalidSignature("signature", "the signature is not of this data by this key") from None


def encode(raw: bytes) -> str:
    """r‖s in base64url; 96 bytes need no padding."""
    return urlsafe_b64encode(raw).decode()


def decode(signature: str) -> bytes:
    """r‖s of a signature. Raises InvalidSignature unless it is base64url of 96 bytes."""
    try:
        raw = urlsafe_b64decode(signature.encode("ascii"))
    except ValueError:
        raw = b""
    if len(raw) != 2 * SIZE or encode(raw) != signature:
        raise InvalidSignature("encoding", f"the signature is not {2 * SIZE} bytes in base64url")
    return raw
