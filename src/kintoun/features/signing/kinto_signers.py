"""The signers of a Kinto's configuration (signing section 7), as signers of ours.

There a source has one backend, and settings of it are looked up for its collection, its bucket, then for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from kintoun.features.signing.settings import KINTO_NAMES, Autograph, Local, SignersSection

BACKEND = "signer_backend"
NAME = "kinto"
"""The name of the signer for all; those of single sources have theirs behind it."""


def added(section: SignersSection) -> SignersSection:
    """The settings with the signers that their `overrides` name. Raises ValueError for incomplete ones."""
    places = sorted({_place(key) for key in section.overrides if _own(key)}, key=len)
    local, autograph = list(section.local), list(section.autograph)
    assigned = dict(section.sign_with_in)
    default = list(section.sign_with)
    for place in places:
        signer = _signer(place, section.overrides)
        if signer is None:
            continue
        if isinstance(signer, Local):
            local.append(signer)
        else:
            autograph.append(signer)
        if place:
            assigned.setdefault(place.replace(".", "/", 1), [signer.name])
        elif not default:
            default = [signer.name]
    return msgspec.structs.replace(
        section, local=local, autograph=autograph, sign_with=default, sign_with_in=assigned
    )


def _signer(place: str, overrides: Mapping[str, Any]) -> Local | Autograph | None:
    def found(name: str) -> Any:
        return next(
            (overrides[key] for key in (f"{above}{name}" for above in _above(place)) if key in overrides),
            None,
        )

    def needed(name: str) -> str:
        value = found(name)
        if value in (None, ""):
            raise ValueError(f"signing.overrides: `{name}` must be given{f' for {place}' if place else ''}")
        return str(value)

    name = f"{NAME}.{place}" if place else NAME
    if "autograph" in str(found(BACKEND)):
        keys = found("autograph.key_ids") or "remote-settings"
        key_ids = keys if isinstance(keys, list) else str(keys).split()
        return Autograph(
            name=name,
            server_url=needed("autograph.server_url"),
            hawk_id=needed("autograph.hawk_id"),
            hawk_secret=needed("autograph.hawk_secret"),
            key_ids=[str(key) for key in key_ids],
        )
    if found(BACKEND) is None and found("ecdsa.private_key") is None:
        return None
    return Local(name=name, private_key=needed("ecdsa.private_key"))


def _own(key: str) -> bool:
    return any(key == name or key.endswith(f".{name}") for name in KINTO_NAMES)


def _place(key: str) -> str:
    """`BUCKET`, `BUCKET.COLLECTION`, or nothing: whose setting a key is."""
    name = next(name for name in KINTO_NAMES if key == name or key.endswith(f".{name}"))
    return key.removesuffix(name).rstrip(".")


def _above(place: str) -> list[str]:
    """What keys of a place begin with, then those of what it is in."""
    bucket = place.partition(".")[0]
    return list(dict.fromkeys((f"{place}." if place else "", f"{bucket}." if place else "", "")))
