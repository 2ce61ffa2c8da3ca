"""What a reader may see of a list, asked as a request for the list would be."""

from __future__ import annotations

from typing import NamedTuple

from kintoun.http.requests import Request
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import GROUP
from kintoun.model.paths import ACCOUNTS, CREDENTIALS, ListPath, Path
from kintoun.resources.context import Context
from kintoun.resources.identity import Claim
from kintoun.resources.listing import look
from kintoun.resources.service import Service
from kintoun.storage.rows import Clock

_GROUPS = f"/{GROUP.plural}/"


class Rights(NamedTuple):
    """Who a reader is and whether it sees all of a list, as of a clock of the list."""

    user: str | None
    principals: frozenset[str]
    whole: bool
    clock: Clock
    claim: Claim | None

    def same(self, other: Rights) -> bool:
        """Whether the reader still sees what it saw."""
        return self.whole == other.whole and (self.whole or self.principals == other.principals)


async def rights_of(
    service: Service, request: Request, path: ListPath, context: Context | None = None
) -> Rights:
    """The rights of a request's sender to a list now. Raises the refusal, Unavailable or Conflict.

    Without a `context` its credentials are looked at anew.
    """
    if context is None:
        context = Context(service, request)
        await context.identify()
    claim = context.claim
    if claim is not None and claim.scope is not None and not claim.scope.covers("GET", str(path)):
        raise ProtocolError(403, FORBIDDEN, "These credentials may not be used for this request.")
    found, whole = await look(context, path, None, head=False)
    assert found.clock is not None, "a list has a clock while its parent exists"
    return Rights(context.user, context.principals, whole, found.clock, context.claim)


def grounds(path: ListPath, rights: Rights) -> set[str]:
    """The lists whose changes can change these rights, but for those that are rechecked in time anyway."""
    lists = {str(parent.list) for parent in path.lineage}
    buckets = {parent.ids[0] for parent in path.lineage[:1]}
    # Where the reader is in groups, and where it may come to be in one that counts here.
    buckets.update(name.split("/")[2] for name in rights.principals if _GROUPS in name)
    lists.update(f"/buckets/{bucket}/{GROUP.plural}" for bucket in buckets)
    if rights.claim is not None and rights.claim.witness is not None:
        lists.update((str(ACCOUNTS), str(CREDENTIALS)))
    return lists


def witness_of(rights: Rights) -> tuple[Path, int] | None:
    """The object on which a reader's credentials rest, and the timestamp that it has to have."""
    claim = rights.claim
    return (claim.witness, claim.timestamp) if claim is not None and claim.witness is not None else None
