"""The table of who may do what, written from protocol sections 8.3 to 8.5 and from nothing else.

The server has its own, in `resources/access.py`; that the two agree is what the matrix tests.
"""

from __future__ import annotations

from typing import NamedTuple

PARENT = {"bucket": None, "collection": "bucket", "group": "bucket", "record": "collection"}

PERMISSIONS = {
    "bucket": ("read", "write", "collection:create", "group:create"),
    "collection": ("read", "write", "record:create"),
    "group": ("read", "write"),
    "record": ("read", "write"),
}

# Which permission, on which object, lets its holder do it.
READ = {
    "bucket": {"bucket read", "bucket write", "bucket collection:create", "bucket group:create"},
    "collection": {
        "bucket read", "bucket write", "collection read", "collection write", "collection record:create",
    },
    "group": {"bucket read", "bucket write", "group read", "group write"},
    "record": {
        "bucket read", "bucket write", "collection read", "collection write", "record read", "record write",
    },
}  # fmt: skip
WRITE = {
    "bucket": {"bucket write"},
    "collection": {"bucket write", "collection write"},
    "group": {"bucket write", "group write"},
    "record": {"bucket write", "collection write", "record write"},
}
CREATE = {
    "bucket": set(),
    "collection": {"bucket write", "bucket collection:create"},
    "group": {"bucket write", "bucket group:create"},
    "record": {"bucket write", "collection write", "collection record:create"},
}


class Grant(NamedTuple):
    """A permission on an object (`on` is its kind), or what a setting gives (`on` is "setting")."""

    on: str
    permission: str

    def __str__(self) -> str:
        return f"{self.on} {self.permission}"


class Rights(NamedTuple):
    """What a caller may do with the objects of one kind, given one grant."""

    read: bool
    """Read the object."""
    write: bool
    create: bool
    read_all: bool
    """Read objects of the list that the grant is not on, and so learn which are missing."""
    write_all: bool
    list_all: bool
    """See the whole list."""


NOTHING = Rights(*[False] * 6)


def grants(kind: str) -> list[Grant]:
    """Every grant that could matter to a kind: on the object, above it, below it, and in the settings."""
    found = []
    step: str | None = kind
    while step is not None:
        found += [Grant(step, permission) for permission in PERMISSIONS[step]]
        step = PARENT[step]
    found += [Grant(below, "write") for below, above in PARENT.items() if above == kind]
    for name in PERMISSIONS:
        found += [Grant("setting", f"{name}_{permission}") for permission in ("create", "read", "write")]
    return found


def rights(kind: str, grant: Grant) -> Rights:
    """What the holder of a grant may do with objects of a kind."""
    if grant.on == "setting":
        # Settings look at the kind of the URL, never at those above it; write implies the rest, but at the
        # root it opens single objects alone: not the list, and no place in it.
        name, _, permission = grant.permission.rpartition("_")
        if name != kind:
            return NOTHING
        write = permission == "write"
        read = write or permission == "read"
        create = permission == "create" or (write and PARENT[kind] is not None)
        list_all = read if PARENT[kind] else permission == "read"
        return Rights(read, write, create, read, write, list_all)
    text, inherited = str(grant), grant.on != kind
    read, write = text in READ[kind], text in WRITE[kind]
    return Rights(
        read=read,
        write=write,
        create=text in CREATE[kind],
        read_all=read and inherited,
        write_all=write and inherited,
        list_all=read and inherited,
    )
