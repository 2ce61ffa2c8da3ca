"""`kintoun pki`, as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization

from kintoun.cli import main
from kintoun.cli.exits import Exit
from kintoun.signatures import chain, key_files, pki
from kintoun.signatures.directory import Directory
from tests.signing.worlds import DAY, NAME, SUFFIX, new_issuer, now

MOZILLA = ".content-signature.mozilla.org"


def run(*arguments: object, code: int = Exit.OK) -> str:
    done = CliRunner().invoke(main, ["pki", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "pki")


def shown(directory: Directory) -> dict[str, Any]:
    entries = json.loads(run("show", "-d", directory.path, "--json"))
    return {entry["file"]: entry for entry in entries}


def believed(directory: Directory, name: str, suffix: str) -> chain.Chain:
    """The chain of a leaf, as who knows the root believes it."""
    root = chain.fingerprint(key_files.read_chain(directory.root_pem)[0])
    certificates = key_files.read_leaf(directory.leaf_file(name)).chain
    chain.verify(certificates, f"{name}{suffix}", {root}, now())
    return certificates


def test_a_new_pki_signs_for_the_clients_that_there_are(directory: Directory) -> None:
    output = run("init", "-d", directory.path)
    root = chain.fingerprint(key_files.read_chain(directory.root_pem)[0]).hex(":").upper()
    assert f"SHA-256 of the root: {root}" in output
    for name in ("remote-settings", "onecrl"):
        assert len(believed(directory, name, MOZILLA)) == 3
    found = shown(directory)
    assert list(found) == ["root.pem", "intermediate.pem", "onecrl.pem", "remote-settings.pem"]
    assert {entry["root"] for entry in found.values()} == {root}
    assert found["onecrl.pem"]["names"] == [f"onecrl{MOZILLA}"]
    before = {file.name: file.read_bytes() for file in directory.path.iterdir()}
    assert "already" in run("init", "-d", directory.path, code=Exit.FAILED)
    assert {file.name: file.read_bytes() for file in directory.path.iterdir()} == before


def test_names_of_ones_own(directory: Directory) -> None:
    run("init", "-d", directory.path, "--suffix", SUFFIX, "--name", "news", "--days", 10, "--skew-days", 1)
    [leaf, *_] = believed(directory, "news", SUFFIX)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == 11 * DAY
    assert set(shown(directory)) == {"root.pem", "intermediate.pem", "news.pem"}
    run("leaf", "-d", directory.path, "sports")
    believed(directory, "sports", SUFFIX)
    assert "already" in run("leaf", "-d", directory.path, "sports", code=Exit.FAILED)
    assert "cannot be the name" in run("leaf", "-d", directory.path, "a/b", code=Exit.FAILED)


def test_renewing(directory: Directory) -> None:
    run("init", "-d", directory.path)
    before = believed(directory, "onecrl", MOZILLA)
    assert "onecrl: not due" in run("renew", "-d", directory.path)
    assert run("renew", "-d", directory.path, "onecrl", "--now").strip() == "onecrl: renewed"
    after = believed(directory, "onecrl", MOZILLA)
    assert after[0] != before[0]
    assert after[1:] == before[1:]
    run("renew", "-d", directory.path, "--intermediate")
    latest = believed(directory, "onecrl", MOZILLA)
    assert latest[1] != after[1]
    assert latest[2] == after[2]
    directory.root_key.unlink()
    assert "root.key" in run("renew", "-d", directory.path, "--intermediate", code=Exit.FAILED)
    assert believed(directory, "onecrl", MOZILLA) == latest


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_a_key_that_is_kept_elsewhere(
    directory: Directory, tmp_path: Path, encoding: serialization.Encoding
) -> None:
    run("init", "-d", directory.path, "--name", "remote-settings")
    key = pki.new_key()
    public = tmp_path / "onecrl.pub"
    public.write_bytes(
        key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    run("leaf", "-d", directory.path, "onecrl", "--public-key", public)
    certificates = key_files.read_chain(directory.leaf_file("onecrl"))
    assert certificates[0].public_key() == key.public_key()
    assert not key_files.has_key(directory.leaf_file("onecrl"))
    assert "kept elsewhere" in run("renew", "-d", directory.path, "--now")
    assert "renewed" not in shown(directory)["onecrl.pem"]


def given(tmp_path: Path, holder: pki.Authority | pki.Leaf) -> tuple[Path, list[Path]]:
    """What somebody else sends: a key, and each certificate in a file of its own."""
    key = tmp_path / "given.key"
    key.write_bytes(key_files.key_pem(holder.key))
    files = []
    for at, certificate in enumerate(holder.chain):
        files.append(tmp_path / f"given-{at}.pem")
        files[-1].write_bytes(chain.to_pem([certificate]))
    return key, files


def test_an_intermediate_from_somebody_else(directory: Directory, tmp_path: Path) -> None:
    issuer = new_issuer()
    key, files = given(tmp_path, issuer)
    run("import", "-d", directory.path, "--key", key, *files)
    for name in ("remote-settings", "onecrl"):
        assert believed(directory, name, SUFFIX)[1:] == issuer.chain
    run("renew", "-d", directory.path, "--now")
    assert key_files.read_chain(directory.root_pem) == issuer.chain[1:]


def test_what_is_replaced_is_kept(directory: Directory, tmp_path: Path) -> None:
    run("init", "-d", directory.path)
    before = {file.read_bytes() for file in directory.path.glob("*.pem")}
    key, files = given(tmp_path, new_issuer())
    output = run("import", "-d", directory.path, "--key", key, *files)
    kept = list(directory.path.glob("*.old"))
    assert {file.read_bytes() for file in kept} == before
    assert all(f"Kept what was there as {file.name}." in output for file in kept)
    assert len(kept) == len(before) == 4
    believed(directory, "onecrl", SUFFIX)


def test_a_leaf_from_somebody_else(directory: Directory, tmp_path: Path) -> None:
    leaf = pki.new_leaf(new_issuer(), [NAME], now(), 90 * DAY, DAY)
    key, files = given(tmp_path, leaf)
    run("import", "-d", directory.path, "--key", key, *files)
    assert key_files.read_leaf(directory.leaf_file("remote-settings")).chain == leaf.chain


def test_what_no_client_would_believe_is_not_taken(directory: Directory, tmp_path: Path) -> None:
    issuer = new_issuer()
    key, files = given(tmp_path, issuer)

    def refused(*arguments: object) -> str:
        output = run("import", "-d", directory.path, "--key", key, *arguments, code=Exit.FAILED)
        assert not list(directory.path.glob("*.pem"))
        return output

    assert "not issued by" in refused(files[0])
    assert "may not vouch" in refused(*files, "--suffix", "example.com")
    assert "not issued by" in refused(files[0], *given_root(tmp_path))
    assert "not the one of the certificate" in refused(*reversed(files))
    key.write_bytes(key_files.key_pem(pki.new_key()))
    assert "not the one of the certificate" in refused(*files)
    old = new_issuer(now() - 20 * 365 * DAY)
    key, files = given(tmp_path, old)
    assert "expires at" in refused(*files)


def given_root(tmp_path: Path) -> list[Path]:
    other = tmp_path / "other.pem"
    other.write_bytes(chain.to_pem(new_issuer().chain[1:]))
    return [other]
