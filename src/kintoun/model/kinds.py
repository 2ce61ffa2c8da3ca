"""The kinds of objects, described by data: their names, their place, what may be granted on them."""

from __future__ import annotations

import os
import re
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

NAME_PATTERN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")
ACCOUNT_PATTERN = re.compile(r"[a-zA-Z0-9][+.@a-zA-Z0-9_-]*")

_FIRST = string.ascii_letters + string.digits
_REST = _FIRST + "_-"


def random_name() -> str:
    """Eight characters that no other object of the list is likely to have (protocol section 3.2)."""
    return secrets.choice(_FIRST) + "".join(secrets.choice(_REST) for _ in range(7))


_unused: list[str] = []
"""Random hexadecimal digits from the system, which is asked for many at once."""

os.register_at_fork(after_in_child=_unused.clear)


def _random_digits() -> str:
    """Twenty-four digits that were never given before."""
    if not _unused:
        block = os.urandom(12 * 256).hex()
        _unused.extend([block[n : n + 24] for n in range(0, len(block), 24)])
    return _unused.pop()


_VARIANTS = dict(zip(string.hexdigits[:16], "89ab" * 4, strict=True))


def random_uuid() -> str:
    """An id in the form of a version 4 UUID, which clients know (protocol section 3.2).

    The first digits are the time in seconds, and the 90 bits that follow are random: what is added together
    stands together in the index of a list, so that adding it touches one page and not one for each object.
    """
    digits = _random_digits()
    variant = _VARIANTS[digits[8]]
    return f"{int(time.time()):08x}-{digits[:4]}-4{digits[5:8]}-{variant}{digits[9:12]}-{digits[12:]}"


def random_uuids(count: int) -> list[str]:
    """Ids in the form of `random_uuid` for what is made at once: their last digits follow each other."""
    first = random_uuid()
    common, start = first[:-12], int(first[-12:], 16) >> 1
    return [f"{common}{n:012x}" for n in range(start, start + count)]


@dataclass(frozen=True, eq=False, slots=True)
class Kind:
    """One kind of object.

    `permissions` are the names that its objects' ACLs may use; `new_id` makes the id of an object posted
    without one, and is None where the client must choose it. `shared` tells of lists that are written
    whenever something else is written below the same parent.
    """

    name: str
    plural: str
    parent: Kind | None = None
    permissions: tuple[str, ...] = ("read", "write")
    id_pattern: re.Pattern[str] = NAME_PATTERN
    new_id: Callable[[], str] | None = random_name
    shared: bool = False
    lineage: tuple[Kind, ...] = field(init=False)
    """This kind and those above it, the topmost first."""
    object_form: str = field(init=False)
    list_form: str = field(init=False)
    """The paths of objects and lists, to be filled with ids."""

    def __post_init__(self) -> None:
        above = self.parent.lineage if self.parent else ()
        prefix = self.parent.object_form if self.parent else ""
        object.__setattr__(self, "lineage", (*above, self))
        object.__setattr__(self, "list_form", f"{prefix}/{self.plural}")
        object.__setattr__(self, "object_form", f"{prefix}/{self.plural}/%s")

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def create(self) -> str:
        """The permission on a parent that lets its holder create objects of this kind."""
        return f"{self.name}:create"

    def accepts(self, object_id: object) -> bool:
        """Whether `object_id` is well formed for this kind (protocol section 3.2)."""
        return isinstance(object_id, str) and self.id_pattern.fullmatch(object_id) is not None


BUCKET = Kind("bucket", "buckets", None, ("read", "write", "collection:create", "group:create"))
COLLECTION = Kind("collection", "collections", BUCKET, ("read", "write", "record:create"))
GROUP = Kind("group", "groups", BUCKET)
RECORD = Kind("record", "records", COLLECTION, new_id=random_uuid)

ACCOUNT = Kind("account", "accounts", None, id_pattern=ACCOUNT_PATTERN, new_id=None)

CREDENTIAL = Kind("credential", "credentials", None, (), ACCOUNT_PATTERN, None)
"""What an account is recognised by. No URL leads to these objects, so nothing can show a password's hash."""

TOKEN = Kind("token", "tokens", ACCOUNT, ())
"""What an account can be used by in place of its password. The id is a digest of the secret."""

KINDS = [BUCKET, COLLECTION, GROUP, RECORD, ACCOUNT, CREDENTIAL, TOKEN]
BY_PLURAL = {kind.plural: kind for kind in KINDS}
CHILDREN: dict[Kind, tuple[Kind, ...]] = {
    BUCKET: (COLLECTION, GROUP),
    COLLECTION: (RECORD,),
    ACCOUNT: (TOKEN,),
}
"""The kinds of the lists that come and go with an object."""


def register(kind: Kind) -> None:
    """Make a kind of a feature known; once more is as good as once.

    Raises ValueError when another kind has its plural, or its parent is not known.
    """
    known = BY_PLURAL.get(kind.plural)
    if known is kind:
        return
    if known is not None or kind.name in {each.name for each in KINDS}:
        raise ValueError(f"there are {kind.plural} already: {known or kind.name} is another kind")
    if kind.parent is not None and kind.parent not in KINDS:
        raise ValueError(f"the parent of {kind} is not known")
    KINDS.append(kind)
    BY_PLURAL[kind.plural] = kind
    if kind.parent is not None:
        CHILDREN[kind.parent] = (*CHILDREN.get(kind.parent, ()), kind)


@cache
def foreign(plurals: tuple[str, ...]) -> Kind:
    """The kind of lists that a feature left behind which is switched off: buckets still take them along."""
    *above, plural = plurals
    parent = (BY_PLURAL.get(above[-1]) or foreign(tuple(above))) if above else None
    return Kind(plural, plural, parent)
