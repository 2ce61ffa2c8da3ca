"""Access-control lists: which principals hold which permissions on one object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

EVERYONE = "system.Everyone"
AUTHENTICATED = "system.Authenticated"

NO_GRANTS = "{}"
"""The text of an empty ACL."""

WRITE_ONLY = ("write",)

Grants = Mapping[str, frozenset[str]]

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, list[str]]).decode


def acl_text(grants: Mapping[str, Iterable[str]]) -> str:
    """The one text of an ACL: permissions and principals sorted, each once, empty permissions left out."""
    if not grants:
        return NO_GRANTS
    return _encode({name: sorted(set(grants[name])) for name in sorted(grants) if grants[name]}).decode()


@lru_cache(maxsize=8192)
def parse_acl(text: str) -> Grants:
    """The grants that an ACL's text spells."""
    return {name: frozenset(principals) for name, principals in _decode(text).items()}


@lru_cache(maxsize=8192)
def with_author(text: str, author: str) -> str:
    """The ACL with `author` among its writers."""
    grants = dict(parse_acl(text))
    grants["write"] = grants.get("write", frozenset()) | {author}
    return acl_text(grants)


def holds(text: str | None, permissions: Iterable[str], principals: frozenset[str]) -> bool:
    """Whether one of `principals` holds one of `permissions` in the ACL."""
    if not text or text == NO_GRANTS:
        return False
    grants = parse_acl(text)
    for name in permissions:
        holders = grants.get(name)
        if holders is not None and not principals.isdisjoint(holders):
            return True
    return False


def holds_any(text: str | None, principals: frozenset[str]) -> bool:
    """Whether one of `principals` holds anything at all in the ACL."""
    if not text or text == NO_GRANTS:
        return False
    for holders in parse_acl(text).values():  # noqa: SIM110 - a loop costs half of a generator here
        if not principals.isdisjoint(holders):
            return True
    return False
