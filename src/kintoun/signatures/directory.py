"""The directory of a PKI: who issues leaves here, and which leaves were issued.

`root.pem` is what clients pin; `root.key` is needed to make another intermediate, and may be kept elsewhere.
`intermediate.pem` has the key that issues leaves, and the chain up to the root. Each leaf is a file
`NAME.pem` with its key and its whole chain.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from kintoun.signatures import chain, key_files, pki
from kintoun.signatures.key_files import Unusable
from kintoun.signatures.pki import Authority, Leaf

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

RENEWED_AFTER = 0.45
"""The share of its life after which a leaf is renewed: before the half of it is over."""


class Directory:
    """The files of a PKI. Whatever changes them holds `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root_key = path / "root.key"
        self.root_pem = path / "root.pem"
        self.intermediate = path / "intermediate.pem"

    def leaf_file(self, name: str) -> Path:
        """Where the leaf of a signer is kept; `name` is the first label of its DNS name.

        Raises ValueError for a name that cannot be one.
        """
        if not _LABEL.fullmatch(name) or name in ("root", "intermediate"):
            raise ValueError(f"{name!r} cannot be the name of a signer")
        return self.path / f"{name}.pem"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the files meanwhile; the lock ends with the process."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def root(self) -> Authority:
        """The root, with its key. Raises Unusable."""
        return key_files.read_authority(self.root_key, self.root_pem)

    def issuer(self) -> Authority:
        """The intermediate that issues leaves. Raises Unusable."""
        return key_files.read_authority(self.intermediate)

    def write_root(self, root: Authority) -> None:
        """Keep a root, its key apart from its certificate."""
        key_files.write_public(self.root_pem, root.chain)
        key_files.write_private(self.root_key, key_files.key_pem(root.key))

    def write_issuer(self, issuer: Authority) -> None:
        """Let an intermediate issue leaves from now on; its root is the one to pin."""
        key_files.write_holder(self.intermediate, issuer)
        key_files.write_public(self.root_pem, issuer.chain[-1:])

    def keep_old(self, *files: Path) -> list[Path]:
        """Give files that are about to be replaced another name besides; returns the new names."""
        kept = []
        for file in filter(Path.exists, files):
            old = file.with_name(f"{file.name}.{sha256(file.read_bytes()).hexdigest()[:16]}.old")
            with suppress(FileExistsError):
                os.link(file, old)
            kept.append(old)
        return kept

    def leaf_files(self) -> list[Path]:
        """The files of all leaves."""
        authorities = (self.root_pem, self.intermediate)
        return sorted(file for file in self.path.glob("[!.]*.pem") if file not in authorities)


def due(leaf: Leaf, skew: timedelta) -> datetime:
    """When a leaf is to be renewed; `skew` is how long before it was issued it began to be valid."""
    certificate = leaf.chain[0]
    end = certificate.not_valid_after_utc
    issued = min(certificate.not_valid_before_utc + skew, end)
    return issued + (end - issued) * RENEWED_AFTER


def renew(
    directory: Directory, file: Path, lifetime: timedelta, skew: timedelta, *, now: bool = False
) -> bool:
    """Renew the leaf in a file when it is due, or in any case (`now`), and say whether it was.

    Raises Unusable when there is nothing to renew it with. Killed at any moment, it leaves the leaf that was
    there or the new one.
    """
    if not now and datetime.now(UTC) < due(key_files.read_leaf(file), skew):
        return False  # seen without waiting for anybody
    with directory.locked():
        leaf = key_files.read_leaf(file)
        if not now and datetime.now(UTC) < due(leaf, skew):
            return False
        issuer = directory.issuer()
        if issuer.chain[-1] != leaf.chain[-1]:
            raise Unusable(f"{file}: the intermediate beside it is below another root than clients know")
        try:
            names = chain.names_of(leaf.chain[0])
            successor = pki.new_leaf(issuer, names, datetime.now(UTC), lifetime, skew)
        except ValueError as error:
            raise Unusable(f"{file}: cannot be renewed: {error}") from error
        key_files.write_holder(file, successor)
        return True
