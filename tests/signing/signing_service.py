"""A signing service for tests: its keys, its configuration, and callers that use another Hawk than ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mohawk

from kintoun.features.signing.settings import Local, Pkcs11, SignersSection
from kintoun.settings import Caller, Settings, SigningService
from kintoun.signatures import chain, key_files, pki
from kintoun.signatures.directory import Directory

SUFFIX = ".content-signature.example.org"
NAME = f"remote-settings{SUFFIX}"
SECRET = "the key that only both know"
MONITOR_SECRET = "the key of who looks on"
OTHER_SECRET = "a key of another caller"


def make_pki(directory: Path, lifetime: timedelta = timedelta(days=90)) -> bytes:
    """A root, an intermediate, one leaf and a key without a chain; returns the hash of the root."""
    files = Directory(directory)
    now = datetime.now(UTC)
    directory.mkdir(parents=True, exist_ok=True)
    root = pki.new_root("Test root", now)
    files.write_root(root)
    issuer = pki.new_intermediate(root, "Test intermediate", SUFFIX, now)
    files.write_issuer(issuer)
    leaf = pki.new_leaf(issuer, [NAME], now, lifetime, timedelta(days=30))
    key_files.write_holder(files.leaf_file("remote-settings"), leaf)
    key_files.write_private(directory / "bare.key", key_files.key_pem(pki.new_key()))
    return chain.fingerprint(root.certificate)


def settings(directory: Path, *hardware: Pkcs11, **own: Any) -> Settings:
    """The settings of a service whose keys are in a directory, and in hardware."""
    section = SignersSection(
        local=[
            Local(name="remote-settings", private_key=str(directory / "remote-settings.pem")),
            Local(name="bare", private_key=str(directory / "bare.key")),
        ],
        pkcs11=list(hardware),
        pki=str(directory),
    )
    callers = [
        Caller(id="kinto", secret=SECRET, keys=["remote-settings", "bare"]),
        Caller(id="other", secret=OTHER_SECRET, keys=["bare"]),
    ]
    fields = {
        "callers": callers,
        "monitor_secret": MONITOR_SECRET,
        "data": str(directory / "signer"),
        **own,
    }
    return Settings(signer=SigningService(**fields), sections={"signing": section})


def hawk(
    url: str,
    method: str = "POST",
    body: bytes = b"",
    content_type: str = "application/json",
    *,
    caller: str = "kinto",
    key: str = SECRET,
    **more: Any,
) -> str:
    """The `Authorization` of a request, made by another implementation."""
    sender = mohawk.Sender(
        {"id": caller, "key": key, "algorithm": "sha256"},
        url,
        method,
        content=body,
        content_type=content_type,
        **more,
    )
    header: str = sender.request_header
    return header
