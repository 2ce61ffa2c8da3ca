"""Issuing certificates, the files they are kept in, and their renewal."""

from __future__ import annotations

import multiprocessing
import signal
import stat
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kintoun.signatures import chain, directory, key_files, pki
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.key_files import Unusable
from tests.signing.worlds import DAY, NAME, SUFFIX, directory_with, new_issuer, now

LIFE, SKEW = 90 * DAY, 30 * DAY


def test_a_leaf_is_believed_by_who_pins_the_root() -> None:
    issuer = new_issuer()
    leaf = pki.new_leaf(issuer, [NAME], now(), LIFE, SKEW)
    assert len(leaf.chain) == 3
    root = chain.fingerprint(issuer.chain[-1])
    chain.verify(leaf.chain, NAME, {root}, now())
    chain.verify(leaf.chain, NAME, {root}, now() - 29 * DAY)
    for moment, reason in ((now() - 31 * DAY, "not-yet-valid"), (now() + 91 * DAY, "expired")):
        with pytest.raises(InvalidSignature) as refused:
            chain.verify(leaf.chain, NAME, {root}, moment)
        assert refused.value.reason == reason


def test_no_leaf_outlives_its_issuer() -> None:
    issuer = new_issuer(now() - 10 * 365.25 * DAY + 5 * DAY)
    [leaf, intermediate, _] = pki.new_leaf(issuer, [NAME], now(), LIFE, SKEW).chain
    assert leaf.not_valid_after_utc == intermediate.not_valid_after_utc
    assert leaf.not_valid_before_utc > intermediate.not_valid_before_utc


@pytest.mark.parametrize(
    ("names", "age", "reason"),
    [
        (["remote-settings.example.com"], 0 * DAY, "may not vouch for remote-settings.example.com"),
        ([NAME, "a.example.com"], 0 * DAY, "may not vouch"),
        ([NAME], 10.1 * 365.25 * DAY, "expires"),
    ],
)
def test_what_nobody_would_believe_is_not_issued(names: Sequence[str], age: timedelta, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        pki.new_leaf(new_issuer(now() - age), names, now(), LIFE, SKEW)


def test_an_intermediate_cannot_make_another() -> None:
    issuer = new_issuer()
    below = pki.new_intermediate(issuer, "below", SUFFIX, now())
    with pytest.raises(ValueError, match="may not have 1 authorities below it"):
        pki.new_leaf(below, [NAME], now(), LIFE, SKEW)


def test_a_root_with_an_rsa_key_issues_too() -> None:
    key = rsa.generate_private_key(65537, 2048)
    ours = pki.new_root("other", now()).certificate
    builder = x509.CertificateBuilder(ours.subject, ours.subject, key.public_key(), 7)
    builder = builder.not_valid_before(ours.not_valid_before_utc).not_valid_after(ours.not_valid_after_utc)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = pki.Authority(key, (builder.sign(key, hashes.SHA256()),))
    issuer = pki.new_intermediate(root, "intermediate", SUFFIX, now())
    chain.verify_issued(pki.new_leaf(issuer, [NAME], now(), LIFE, SKEW).chain, now())


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    files = directory.Directory(tmp_path / "pki")
    with files.locked():
        root = pki.new_root("root", now())
        files.write_root(root)
        files.write_issuer(pki.new_intermediate(root, "intermediate", SUFFIX, now()))
        leaf = pki.new_leaf(files.issuer(), [NAME], now(), LIFE, SKEW)
        key_files.write_holder(files.leaf_file("remote-settings"), leaf)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files.path.iterdir()}
    assert modes.pop("root.pem") == 0o644
    assert set(modes) == {"root.key", "intermediate.pem", "remote-settings.pem", ".lock"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(files.path.stat().st_mode) == 0o700
    assert files.root().chain == root.chain
    assert key_files.read_leaf(files.leaf_file("remote-settings")).chain == leaf.chain


@pytest.mark.parametrize("name", ["", ".", "../x", "root", "intermediate", "a.b", "*", "a" * 64])
def test_what_cannot_be_the_name_of_a_signer(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        directory.Directory(tmp_path).leaf_file(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (key_files.key_pem(ec.generate_private_key(ec.SECP256R1())), "not on P-384"),
        (key_files.key_pem(pki.new_key()), "no certificates"),
        (b"x" * (chain.MOST_BYTES + 1), "larger than"),
    ],
    ids=["empty", "broken", "p256", "no-chain", "long"],
)
def test_a_file_that_is_no_leaf(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "leaf.pem"
    file.write_bytes(content)
    with pytest.raises(Unusable, match=reason):
        key_files.read_leaf(file)


def test_a_chain_of_another_key(tmp_path: Path) -> None:
    leaf = pki.new_leaf(new_issuer(), [NAME], now(), LIFE, SKEW)
    file = tmp_path / "leaf.pem"
    file.write_bytes(key_files.key_pem(pki.new_key()) + chain.to_pem(leaf.chain))
    with pytest.raises(Unusable, match="not the one of the certificate"):
        key_files.read_leaf(file)


def issued_ago(path: Path, age: timedelta) -> tuple[directory.Directory, Path]:
    files = directory_with(path, new_issuer(now() - 100 * DAY))
    file = files.leaf_file("remote-settings")
    key_files.write_holder(file, pki.new_leaf(files.issuer(), [NAME], now() - age, LIFE, SKEW))
    return files, file


def test_a_leaf_is_renewed_before_half_of_its_life_is_over(tmp_path: Path) -> None:
    files, file = issued_ago(tmp_path, 40 * DAY)
    before = key_files.read_leaf(file)
    assert not directory.renew(files, file, LIFE, SKEW)
    assert directory.renew(files, file, LIFE, SKEW, now=True)
    files, file = issued_ago(tmp_path, 44 * DAY)
    assert directory.renew(files, file, LIFE, SKEW)
    after = key_files.read_leaf(file)
    assert chain.names_of(after.chain[0]) == [NAME]
    assert after.key.public_key() != before.key.public_key()
    assert directory.due(after, SKEW) > now() + 40 * DAY
    assert not directory.renew(files, file, LIFE, SKEW)


@pytest.mark.parametrize("skew", [0 * DAY, 60 * DAY])
def test_a_leaf_that_is_just_issued_is_not_due_whatever_the_skew(tmp_path: Path, skew: timedelta) -> None:
    leaf = pki.new_leaf(new_issuer(), [NAME], now(), DAY, skew)
    assert now() < directory.due(leaf, skew) < now() + DAY / 2


def test_what_cannot_be_renewed_stays(tmp_path: Path) -> None:
    files, file = issued_ago(tmp_path, 50 * DAY)
    before = file.read_bytes()
    past = now() - 100 * DAY
    root = pki.new_root("root", past)
    issuer = pki.new_intermediate(root, "one", SUFFIX, past)
    leaf = pki.new_leaf(issuer, [NAME], now() - 50 * DAY, LIFE, SKEW)
    key_files.write_holder(files.intermediate, pki.new_intermediate(root, "two", ".example.com", past))
    with pytest.raises(Unusable, match="below another root"):
        directory.renew(files, file, LIFE, SKEW)
    key_files.write_holder(file, leaf)
    before = file.read_bytes()
    with pytest.raises(Unusable, match="may not vouch"):
        directory.renew(files, file, LIFE, SKEW)
    files.intermediate.unlink()
    with pytest.raises(Unusable, match="cannot be read"):
        directory.renew(files, file, LIFE, SKEW)
    assert file.read_bytes() == before


def renew_for_ever(path: Path) -> None:
    while True:
        directory.renew(directory.Directory(path), path / "remote-settings.pem", LIFE, SKEW, now=True)


def test_killed_while_it_renews_it_leaves_a_leaf_that_is_believed(tmp_path: Path) -> None:
    files, file = issued_ago(tmp_path, 0 * DAY)
    root = chain.fingerprint(files.issuer().chain[-1])
    for _ in range(3):
        before = file.read_bytes()
        process = multiprocessing.get_context("spawn").Process(target=renew_for_ever, args=(tmp_path,))
        process.start()
        try:
            deadline = time.monotonic() + 60
            while file.read_bytes() == before:
                assert process.is_alive()
                assert time.monotonic() < deadline
        finally:
            process.kill()
            process.join(30)
        assert process.exitcode == -signal.SIGKILL
        chain.verify(key_files.read_leaf(file).chain, NAME, {root}, now())
        assert directory.renew(files, file, LIFE, SKEW, now=True)
