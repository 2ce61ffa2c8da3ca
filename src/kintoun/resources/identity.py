"""Who a request acts as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kintoun.http.requests import Request
from kintoun.model.paths import Path
from kintoun.model.permissions import AUTHENTICATED

if TYPE_CHECKING:
    from kintoun.storage import Store


@dataclass(frozen=True, slots=True)
class Claim:
    """What a policy made of a request's credentials: the user's id, such as `account:alice`.

    When the credentials are those of an object that may have changed since they were verified, `witness` is
    its path and `timestamp` the one it had: the request's own storage call confirms it, so that a warm
    request needs no call of its own and a change counts at once in every worker.

    `groups` are principals that the credentials bring along, as `google:group:staff`.
    """

    user: str
    witness: Path | None = None
    timestamp: int = 0
    groups: tuple[str, ...] = ()

    @property
    def principals(self) -> tuple[str, ...]:
        """What the caller is, but for the groups of buckets that it is a member of."""
        return (self.user, AUTHENTICATED, *self.groups)


class Policy(Protocol):
    """One way for requests to say who they act as."""

    name: str
    challenge: str
    """The value of `WWW-Authenticate` that asks for these credentials."""

    async def identify(self, request: Request, store: Store) -> Claim | None:
        """Who the request acts as; None when it has no credentials that this policy recognises.

        Raises ProtocolError with status 503 when that cannot be told now; other policies are asked first.
        """
        ...

    def forget(self, request: Request) -> None:
        """The claim made for this request turned out to be stale: verify it anew."""
        ...
