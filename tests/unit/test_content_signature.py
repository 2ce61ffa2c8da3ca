"""Content signatures and their chains: the vectors, and what the vectors leave out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kintoun.model.canonical import canonical_text, envelope
from kintoun.signatures import chain, content_signature, message
from kintoun.signatures.content_signature import InvalidSignature
from tests.signing.vectors import SIGNING

LEAF = serialization.load_pem_public_key(SIGNING["keys"]["leaf_public_pem"].encode())
ENCODED_OTHERWISE = {"n08-der-encoded", "n09-truncated"}


def signed(vector: dict[str, Any]) -> bytes:
    alive = sorted(
        (record for record in vector["records"] if not record.get("deleted")), key=lambda one: one["id"]
    )
    return envelope((canonical_text(record).encode() for record in alive), vector["timestamp"])


def test_the_prefix_is_the_one_that_clients_hash() -> None:
    assert message.PREFIX.hex() == SIGNING["prefix_hex"]


@pytest.mark.parametrize("vector", SIGNING["vectors"], ids=lambda vector: vector["id"])
def test_signatures_of_the_vectors(vector: dict[str, Any]) -> None:
    assert isinstance(LEAF, ec.EllipticCurvePublicKey)
    if vector["expect"] == "valid":
        content_signature.verify(LEAF, signed(vector), vector["signature"])
        assert content_signature.digest(signed(vector)).hex() == vector["message_sha384"]
        return
    with pytest.raises(InvalidSignature) as refused:
        content_signature.verify(LEAF, signed(vector), vector["signature"])
    assert refused.value.reason == ("encoding" if vector["id"] in ENCODED_OTHERWISE else "signature")


@pytest.mark.parametrize("vector", SIGNING["chain_vectors"], ids=lambda vector: vector["id"])
def test_chains_of_the_vectors(vector: dict[str, Any]) -> None:
    def believe() -> None:
        certificates = chain.parse(vector["x5u_body"].encode())
        roots = {chain.pin(vector["expected_root_sha256"])}
        key = chain.verify(
            certificates, vector["expected_hostname"], roots, datetime.fromisoformat(vector["now"])
        )
        content_signature.verify(key, signed(vector), vector["signature"])

    if vector["expect"] == "valid":
        believe()
        return
    with pytest.raises(InvalidSignature) as refused:
        believe()
    assert refused.value.reason == vector["reason"]


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"<html>404</html>",
        SIGNING["certs"]["leaf"].encode()[:-60],
        b"x" * (chain.MOST_BYTES + 1),
        SIGNING["certs"]["root"].encode() * (chain.MOST_CERTIFICATES + 1),
    ],
    ids=["empty", "page", "truncated", "long", "many"],
)
def test_what_is_no_chain(pem: bytes) -> None:
    with pytest.raises(InvalidSignature) as refused:
        chain.parse(pem)
    assert refused.value.reason == "malformed"


def test_a_chain_with_other_line_ends_and_a_preamble() -> None:
    [valid] = [each for each in SIGNING["chain_vectors"] if each["id"] == "c01-valid"]
    pem = b"leaf first\r\n" + valid["x5u_body"].replace("\n", "\r\n").encode()
    chain.verify_issued(chain.parse(pem), datetime.fromisoformat(valid["now"]))


def test_a_signature_verifies_with_its_own_key_alone() -> None:
    key, other = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    signature = content_signature.sign(key, b"data")
    assert len(signature) == 128
    content_signature.verify(key.public_key(), b"data", signature)
    for public, data in ((other.public_key(), b"data"), (key.public_key(), b"date")):
        with pytest.raises(InvalidSignature):
            content_signature.verify(public, data, signature)


@pytest.mark.parametrize(
    "signature", ["", "é" * 128, "A" * 127, "A" * 127 + "=", "+/" * 64, "A" * 128 + "\n"]
)
def test_what_is_no_signature(signature: str) -> None:
    with pytest.raises(InvalidSignature) as refused:
        content_signature.decode(signature)
    assert refused.value.reason == "encoding"


def test_a_pin_in_either_notation() -> None:
    root = chain.parse(SIGNING["certs"]["root"].encode())[0]
    plain = SIGNING["certs"]["root_sha256"].replace(":", "").lower()
    with_colons = ":".join(plain[at : at + 2] for at in range(0, 64, 2)).upper()
    assert chain.pin(plain) == chain.pin(with_colons) == chain.fingerprint(root)
    for wrong in ("", "ab" * 20, "no hash"):
        with pytest.raises(ValueError, match=r"SHA-256|hexadecimal"):
            chain.pin(wrong)


def test_a_moment_has_a_zone() -> None:
    [valid] = [each for each in SIGNING["chain_vectors"] if each["id"] == "c01-valid"]
    with pytest.raises(InvalidSignature, match="expired"):
        chain.verify_issued(chain.parse(valid["x5u_body"].encode()), datetime(2999, 1, 1, tzinfo=UTC))
