"""Who a request acts as, and what its credentials may be used for."""

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
    scope: Scope | None = None
    """What these credentials may be used for; None when they stand for all that the user may do."""

    @property
    def principals(self) -> tuple[str, ...]:
        """What the caller is, but for the groups of buckets that it is a member of."""
        return (self.user, AUTHENTICATED, *self.groups)


class Scope(Protocol):
    """A restriction of credentials to a part of what their user may do."""

    def covers(self, method: str, path: str) -> bool:
        """Whether a request may be made at all; `path` is decoded and without the version prefix."""
        ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """The credentials are of the kind that a policy knows, and wrong.

    No other policy is asked, so that whoever mistypes a password does not become somebody else; the request
    is anonymous.
    """


REJECTED = Rejected()


class Policy(Protocol):
    """One way for requests to say who they act as."""

    name: str
    challenge: str
    """The value of `WWW-Authenticate` that asks for these credentials."""

    async def identify(self, request: Request, store: Store) -> Claim | Rejected | None:
        """Who the request acts as; None when it has no credentials that this policy recognises.

        Raises ProtocolError when the request is not to be answered, as after too many wrong passwords; with
        status 503 when it cannot be told now whose the credentials are: other policies are asked first.
        """
        ...

    def forget(self, request: Request) -> None:
        """The claim made for this request turned out to be stale: verify it anew."""
        ...
