"""Issuing certificates: a root, an intermediate, and leaves that sign content (signing section 5.2).

The root is needed to make intermediates and nothing else, so that its key can be kept away from every
network. The intermediate issues leaves, for names below one suffix only.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kintoun.signatures import chain
from kintoun.signatures.content_signature import InvalidSignature

AuthorityKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

INTERMEDIATE_SKEW = timedelta(days=62)
ROOT_SKEW = timedelta(days=63)
"""How far in the past authorities begin to be valid: before every leaf, for clients whose clocks are late."""
SHORTEST_LEAF = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues: its key, and its certificate followed by those above it."""

    key: AuthorityKey
    chain: chain.Chain

    def __post_init__(self) -> None:
        if self.key.public_key() != self.chain[0].public_key():
            raise ValueError("the key is not the one of the certificate")

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Who signs content: its key, and its certificate followed by those above it."""

    key: ec.EllipticCurvePrivateKey
    chain: chain.Chain

    def __post_init__(self) -> None:
        if self.key.public_key() != self.chain[0].public_key():
            raise ValueError("the key is not the one of the certificate")


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new key on P-384, the curve of content signatures."""
    return ec.generate_private_key(ec.SECP384R1())


def new_root(name: str, now: datetime, years: int = 30) -> Authority:
    """A root, for clients to pin."""
    key, subject = new_key(), _subject(name)
    builder = _builder(subject, subject, key.public_key(), now - ROOT_SKEW, _after(now, years))
    return Authority(key, (_authority(builder).sign(key, hashes.SHA384()),))


def new_intermediate(root: Authority, name: str, suffix: str, now: datetime, years: int = 10) -> Authority:
    """An intermediate that may issue for names below `suffix`, as `.content-signature.example.org`."""
    key = new_key()
    until = min(_after(now, years), root.certificate.not_valid_after_utc)
    builder = _builder(
        root.certificate.subject, _subject(name), key.public_key(), now - INTERMEDIATE_SKEW, until
    )
    constraints = x509.NameConstraints([x509.DNSName(suffix)], None)
    builder = _authority(builder, path_length=0).add_extension(constraints, critical=True)
    return Authority(key, (_issued(builder, root), *root.chain))


def new_leaf(
    issuer: Authority,
    names: Sequence[str],
    now: datetime,
    lifetime: timedelta,
    skew: timedelta,
) -> Leaf:
    """A leaf with a new key, valid for `lifetime` from now, and for `skew` before: see `certify`."""
    key = new_key()
    return Leaf(key, certify(issuer, key.public_key(), names, now, lifetime, skew))


def certify(
    issuer: Authority,
    key: ec.EllipticCurvePublicKey,
    names: Sequence[str],
    now: datetime,
    lifetime: timedelta,
    skew: timedelta,
) -> chain.Chain:
    """The chain of a leaf for a key, wherever that is kept. The leaf does not outlive its issuer.

    Raises ValueError when no client would believe it: the issuer expires, or may not issue for the names.
    """
    until = min(now + lifetime, issuer.certificate.not_valid_after_utc)
    if until - now < min(SHORTEST_LEAF, lifetime):
        raise ValueError(f"the issuer expires at {issuer.certificate.not_valid_after_utc}")
    begin = max(now - skew, issuer.certificate.not_valid_before_utc)
    builder = _builder(issuer.certificate.subject, _subject(names[0]), key, begin, until)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    )
    issued = (_issued(builder, issuer), *issuer.chain)
    believed(issued, now)
    return issued


def believed(certificates: chain.Chain, now: datetime) -> None:
    """Raise ValueError when no client would believe what is signed by the leaf of a chain."""
    try:
        chain.verify_issued(certificates, now)
    except InvalidSignature as error:
        raise ValueError(str(error)) from error
    if not chain.names_of(certificates[0]):
        raise ValueError("the leaf has no DNS name")


def _after(now: datetime, years: int) -> datetime:
    return now + timedelta(days=365.25 * years)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(secrets.randbits(158) + 1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(builder: x509.CertificateBuilder, path_length: int | None = None) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _issued(builder: x509.CertificateBuilder, issuer: Authority) -> x509.Certificate:
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    algorithm = hashes.SHA256() if isinstance(issuer.key, rsa.RSAPrivateKey) else hashes.SHA384()
    return builder.add_extension(key_id, critical=False).sign(issuer.key, algorithm)
