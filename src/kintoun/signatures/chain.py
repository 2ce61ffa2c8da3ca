"""Certificate chains: reading them, and whether they vouch for who signed (signing section 5).

A chain begins with the leaf, whose key signs content, and ends with the root, which clients know by its hash.
What is refused here is what any client refuses; where clients differ, the strictest is followed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature as Refuted
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from kintoun.signatures.content_signature import InvalidSignature

MOST_BYTES = 64 * 1024
MOST_CERTIFICATES = 8
LEAST_RSA_BITS = 2048

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    )
)

Chain = tuple[x509.Certificate, ...]
Kind = TypeVar("Kind", bound=x509.ExtensionType)


def parse(pem: bytes) -> Chain:
    """The certificates of a PEM text, in its order; whatever else stands in it is passed over.

    Raises InvalidSignature (malformed) for what is none, too long, or has too many of them.
    """
    if len(pem) > MOST_BYTES:
        raise InvalidSignature("malformed", f"a chain of more than {MOST_BYTES} bytes")
    try:
        found = tuple(x509.load_pem_x509_certificates(pem))
        for certificate in found:  # what is read only when it is looked at
            certificate.extensions, certificate.public_key(), certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidSignature("malformed", f"no certificates in PEM: {error}") from error
    if len(found) > MOST_CERTIFICATES:
        raise InvalidSignature("malformed", f"a chain of more than {MOST_CERTIFICATES} certificates")
    return found


def to_pem(chain: Sequence[x509.Certificate]) -> bytes:
    """The chain as it is served."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)


def fingerprint(certificate: x509.Certificate) -> bytes:
    """The SHA-256 digest by which clients know a root."""
    return sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def pin(text: str) -> bytes:
    """A root's digest as clients are configured with it: hexadecimal, with or without colons.

    Raises ValueError for what is none.
    """
    digest = bytes.fromhex(text.replace(":", ""))
    if len(digest) != sha256().digest_size:
        raise ValueError(f"not the SHA-256 digest of a root: {text}")
    return digest


def names_of(certificate: x509.Certificate) -> list[str]:
    """The DNS names that a certificate is for."""
    found = _extension(certificate, x509.SubjectAlternativeName)
    return found.get_values_for_type(x509.DNSName) if found is not None else []


def common_name(certificate: x509.Certificate) -> str:
    """The common name of a certificate's subject, or all of the subject where there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def permitted_suffix(authority: x509.Certificate) -> str | None:
    """What the names end with for which an authority may issue; None when it may for any."""
    constraints = _extension(authority, x509.NameConstraints)
    return next(iter(_dns(constraints.permitted_subtrees)), None) if constraints is not None else None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate says that it may issue others."""
    found = _extension(certificate, x509.BasicConstraints)
    return found is not None and found.ca


def verify(chain: Chain, name: str, roots: Collection[bytes], now: datetime) -> ec.EllipticCurvePublicKey:
    """The key of the leaf, when the chain shows that it is the key of the signer `name`.

    `roots` are the SHA-256 digests of the roots that are trusted. Raises InvalidSignature with the reason.
    """
    key = verify_issued(chain, now)
    if fingerprint(chain[-1]) not in roots:
        raise InvalidSignature("root", "the chain ends in a root that is not trusted")
    if name.lower() not in (each.lower() for each in names_of(chain[0])):
        raise InvalidSignature("subject", f"the leaf is not of {name}")
    return key


def verify_issued(chain: Chain, now: datetime) -> ec.EllipticCurvePublicKey:
    """The key of the leaf, when each certificate is well issued by the next and the last by itself.

    Raises InvalidSignature with the reason.
    """
    leaf, *authorities = chain
    if not authorities:
        raise InvalidSignature("chain", "the chain has nothing but the leaf")
    if is_authority(leaf):
        raise InvalidSignature("order", "the chain does not begin with the leaf")
    for certificate in chain:
        _check_itself(certificate, now)
    for certificate, issuer in zip(chain, (*authorities, authorities[-1]), strict=True):
        _check_issued(certificate, issuer)
    for below, authority in enumerate(authorities):
        _check_authority(authority, below)
        _check_names(authority, names_of(leaf))
    _check_purpose(leaf)
    return leaf_key(leaf)


def leaf_key(leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key of a leaf. Raises InvalidSignature unless it is on P-384."""
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise InvalidSignature("key", "the key of the leaf is not on P-384")
    return key


def _check_itself(certificate: x509.Certificate, now: datetime) -> None:
    whose = certificate.subject.rfc4514_string()
    if now > certificate.not_valid_after_utc:
        raise InvalidSignature("expired", f"{whose} has expired: {certificate.not_valid_after_utc}")
    if now < certificate.not_valid_before_utc:
        raise InvalidSignature("not-yet-valid", f"{whose} begins at {certificate.not_valid_before_utc}")
    if not isinstance(certificate.signature_hash_algorithm, _HASHES):
        raise InvalidSignature("algorithm", f"{whose} is not signed with SHA-2")
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        strong = key.key_size >= LEAST_RSA_BITS
    else:
        strong = isinstance(key, ec.EllipticCurvePublicKey)
    if not strong:
        raise InvalidSignature("key", f"{whose} has a key that is not on a curve, and no RSA of enough bits")
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise InvalidSignature("extension", f"{whose} has a critical extension {extension.oid}")


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, Refuted):
        whose, by = certificate.subject.rfc4514_string(), issuer.subject.rfc4514_string()
        raise InvalidSignature("chain", f"{whose} is not issued by {by}") from None


def _check_authority(authority: x509.Certificate, below: int) -> None:
    """`below` is how many authorities stand between it and the leaf."""
    whose = authority.subject.rfc4514_string()
    constraints = _extension(authority, x509.BasicConstraints)
    usage = _extension(authority, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise InvalidSignature("ca", f"{whose} is not the certificate of an authority")
    if constraints.path_length is not None and below > constraints.path_length:
        raise InvalidSignature("ca", f"{whose} may not have {below} authorities below it")
    purposes = _extension(authority, x509.ExtendedKeyUsage)
    if purposes is not None and ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise InvalidSignature("eku", f"{whose} is not for the signing of code")


def _check_purpose(leaf: x509.Certificate) -> None:
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise InvalidSignature("eku", "the leaf is not for the signing of code")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise InvalidSignature("eku", "the leaf is not for signatures")


def _check_names(authority: x509.Certificate, names: Sequence[str]) -> None:
    constraints = _extension(authority, x509.NameConstraints)
    if constraints is None:
        return
    permitted = _dns(constraints.permitted_subtrees)
    excluded = _dns(constraints.excluded_subtrees)
    for name in names:
        outside = permitted and not any(_within(name, subtree) for subtree in permitted)
        if outside or any(_within(name, subtree) for subtree in excluded):
            raise InvalidSignature(
                "name-constraints", f"{authority.subject.rfc4514_string()} may not vouch for {name}"
            )


def _dns(subtrees: Sequence[x509.GeneralName] | None) -> list[str]:
    return [each.value for each in subtrees or () if isinstance(each, x509.DNSName)]


def _within(name: str, subtree: str) -> bool:
    name, subtree = name.lower(), subtree.lower()
    return name == subtree or name.endswith(subtree if subtree.startswith(".") else f".{subtree}")


def _extension(certificate: x509.Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
