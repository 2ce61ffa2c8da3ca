"""Whether the entries by which permissions are found are those of the ACLs that objects have."""

from __future__ import annotations

from typing import Protocol

import msgspec

from kintoun.model.permissions import NO_GRANTS, parse_acl
from kintoun.storage import Fetch

PAGE = 2000
_ACLS = "SELECT acl, min(grants) FROM object WHERE acl > $1 GROUP BY acl ORDER BY acl LIMIT $2"
_ENTRIES = "SELECT acl, permission, principal FROM acl_entry WHERE acl > $1 AND acl <= $2"


class Fetches(Protocol):
    """A store, or a transaction of one."""

    @property
    def fetch(self) -> Fetch: ...


async def missing_entries(database: Fetches) -> list[str]:
    """The ACLs that objects have and whose entries are not there, as their texts."""
    last, wrong = b"", []
    while acls := await database.fetch(_ACLS, (last, PAGE)):
        after, last = last, bytes(acls[-1][0])
        present: dict[bytes, set[tuple[str, str]]] = {}
        for name, permission, principal in await database.fetch(_ENTRIES, (after, last)):
            present.setdefault(bytes(name), set()).add((permission, principal))
        for name, grants in acls:
            try:
                named = parse_acl(grants)
            except msgspec.MsgspecError:
                wrong.append(grants)
                continue
            expected = {(each, principal) for each, principals in named.items() for principal in principals}
            if grants != NO_GRANTS and not expected <= present.get(bytes(name), set()):
                wrong.append(grants)
    return wrong
