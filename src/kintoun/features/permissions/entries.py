"""The entries of the list: what a caller may do with one object, or at the root."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kintoun.model.kinds import BUCKET, CHILDREN, COLLECTION, GROUP, KINDS, Kind
from kintoun.model.permissions import parse_acl

KNOWN_FIELDS = frozenset(
    [
        "uri",
        "resource_name",
        "permissions",
        "id",
        "bucket_id",
        "collection_id",
        "group_id",
        "record_id",
        "last_modified",
        "deleted",
    ]
)
"""What entries can be filtered, sorted and cut to (protocol section 8.6)."""

ATTRIBUTES = "read:attributes"
"""Implied by every permission on an object that others stand below: its own attributes may be read."""

READ = frozenset(("read", "write"))

Given = Mapping[Kind | None, frozenset[str]]
"""Permissions by the kind of object they hold on, None for the root."""


class Entries:
    """The entries of one caller."""

    def __init__(self, principals: frozenset[str], given: Given) -> None:
        self._principals = principals
        self._given = given
        self._known: dict[tuple[Kind, str | None], list[str]] = {}

    def root(self) -> dict[str, Any] | None:
        """What the caller may do at the root; None for nothing."""
        permissions = self._given.get(None)
        if not permissions:
            return None
        return {"uri": "/", "resource_name": "root", "permissions": sorted(permissions)}

    def entry(
        self, kind: Kind, parents: Sequence[str], object_id: str, uri: str, acl: str | None
    ) -> dict[str, Any]:
        """What the caller may do with an object whose ACL has the text `acl`."""
        permissions = self._known.get((kind, acl))
        if permissions is None:
            permissions = self._known[kind, acl] = self._permissions(kind, acl)
        entry: dict[str, Any] = {
            "uri": uri,
            "resource_name": kind.name,
            "permissions": permissions,
            "id": object_id,
        }
        for step, above in zip(kind.lineage, (*parents, object_id), strict=True):
            entry[f"{step.name}_id"] = above
        return entry

    def _permissions(self, kind: Kind, acl: str | None) -> list[str]:
        grants = parse_acl(acl) if acl else {}
        held = {name for name, holders in grants.items() if not self._principals.isdisjoint(holders)}
        return expanded(kind, held, self._given.get(kind, frozenset()))


def expanded(kind: Kind, held: Collection[str], given: Collection[str] = frozenset()) -> list[str]:
    """The permissions that those of an ACL and those of settings come to, on the same object."""
    # `write` in an ACL reaches what is below, and rights to create show the object; by settings neither does.
    holds_others = any(child.create in kind.permissions for child in CHILDREN.get(kind, ()))
    implied = {ATTRIBUTES} if holds_others and (held or not READ.isdisjoint(given)) else set()
    if "write" in held:
        implied.update(kind.permissions)
    elif "write" in given:
        implied.update(READ)
    return sorted({*held, *given, *implied})


def given_by_settings(access: Mapping[str, Iterable[str]], principals: frozenset[str]) -> Given:
    """The permissions that settings such as `collection_create` give to one of the principals.

    A right to create is one on the parent. Records are never listed for what settings say of them, nor are
    accounts.
    """
    kinds = {kind.name: kind for kind in KINDS}
    given: dict[Kind | None, set[str]] = {}
    for setting, holders in access.items():
        name, _, permission = setting.rpartition("_")
        kind = kinds.get(name)
        if kind is None or principals.isdisjoint(holders):
            continue
        if permission == "create":
            given.setdefault(kind.parent, set()).add(kind.create)
        elif kind in (BUCKET, COLLECTION, GROUP):
            given.setdefault(kind, set()).add(permission)
    return {kind: frozenset(permissions) for kind, permissions in given.items()}
