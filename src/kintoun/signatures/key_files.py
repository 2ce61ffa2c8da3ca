"""Files of keys and certificates: PEM, readable by their owner alone, replaced as a whole or not at all.

A file holds a private key and, behind it, the chain. So one rename replaces both, and whoever reads it while
it is replaced gets the old ones or the new ones.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from kintoun.signatures import chain
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.pki import Authority, Leaf

_BEGIN, _END = b"-----BEGIN ", b"PRIVATE KEY-----"


class Unusable(ValueError):
    """A file that does not hold what it should; the message names it."""


def read_key(file: Path) -> PrivateKeyTypes:
    """The private key in a PEM file, whatever stands around it. Raises Unusable."""
    for block in _read(file).split(_BEGIN)[1:]:
        if block.partition(b"\n")[0].strip().endswith(_END):
            try:
                return serialization.load_pem_private_key(_BEGIN + block, None)
            except (ValueError, TypeError, UnsupportedAlgorithm) as error:
                raise Unusable(f"{file}: the private key cannot be read: {error}") from error
    raise Unusable(f"{file}: there is no private key in it")


def read_signing_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """The private key in a PEM file, when it can make content signatures. Raises Unusable."""
    key = read_key(file)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise Unusable(f"{file}: the private key is not on P-384")
    return key


def read_public_key(file: Path) -> ec.EllipticCurvePublicKey:
    """The public key in a PEM or DER file, when it can be one of content signatures. Raises Unusable."""
    content = _read(file)
    in_pem = content.lstrip().startswith(_BEGIN)
    load = serialization.load_pem_public_key if in_pem else serialization.load_der_public_key
    try:
        key = load(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unusable(f"{file}: the public key cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise Unusable(f"{file}: the public key is not on P-384")
    return key


def has_key(file: Path) -> bool:
    """Whether there is a private key in a PEM file. Raises Unusable."""
    return _END in _read(file)


def has_chain(file: Path) -> bool:
    """Whether there are certificates in a PEM file. Raises Unusable."""
    return b"-----BEGIN CERTIFICATE-----" in _read(file)


def read_chain(*files: Path) -> chain.Chain:
    """The certificates of PEM files, in their order. Raises Unusable."""
    try:
        return chain.parse(b"\n".join(map(_read, files)))
    except InvalidSignature as error:
        raise Unusable(f"{', '.join(map(str, files))}: {error}") from error


def read_leaf(file: Path, chain_file: Path | None = None) -> Leaf:
    """A leaf: its key, and the chain that stands in the same file or in another. Raises Unusable."""
    key, certificates = read_signing_key(file), read_chain(chain_file or file)
    try:
        return Leaf(key, certificates)
    except ValueError as error:
        raise Unusable(f"{chain_file or file}: {error}") from error


def read_authority(key_file: Path, *chain_files: Path) -> Authority:
    """An authority: its key, and its chain, from the same file or from others. Raises Unusable."""
    key = read_key(key_file)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Unusable(f"{key_file}: the private key is neither on a curve nor RSA")
    try:
        return Authority(key, read_chain(*(chain_files or (key_file,))))
    except Unusable:
        raise
    except ValueError as error:
        raise Unusable(f"{key_file}: {error}") from error


def write_holder(file: Path, holder: Leaf | Authority) -> None:
    """Put a key and its chain in the place of what the file holds; after a crash it is one or the other."""
    write_private(file, key_pem(holder.key) + chain.to_pem(holder.chain))


def write_public(file: Path, certificates: Sequence[x509.Certificate]) -> None:
    """Write certificates for everybody to read."""
    _replace(file, chain.to_pem(certificates), 0o644)


def write_private(file: Path, content: bytes) -> None:
    """Write what nobody but the owner may read."""
    _replace(file, content, 0o600)


def key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A private key in PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(chain.MOST_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{file}: cannot be read: {error.strerror}") from error
    if len(content) > chain.MOST_BYTES:
        raise Unusable(f"{file}: is larger than {chain.MOST_BYTES} bytes")
    return content


def _replace(file: Path, content: bytes, mode: int) -> None:
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
