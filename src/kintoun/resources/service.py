"""What the requests of a server share: the store, the rules, and the hooks of the features."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from kintoun.http.answers import Answer
from kintoun.http.cors import Cors
from kintoun.http.ready import Ready
from kintoun.http.requests import Request
from kintoun.http.routing import Router
from kintoun.http.wire import Wire
from kintoun.measures import Measures
from kintoun.model.changes import Change, Event
from kintoun.model.kinds import Kind
from kintoun.model.parameters import DEFAULT_LIMITS, QueryLimits
from kintoun.model.paths import ListPath
from kintoun.resources.access import Access
from kintoun.resources.cache import ListCache
from kintoun.resources.identity import Policy
from kintoun.resources.observing import Observer
from kintoun.resources.rules import RulesByKind
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.needs import Needs

if TYPE_CHECKING:
    from kintoun.resources.aliases import Alias
    from kintoun.resources.context import Context, Work

log = structlog.get_logger()

Kinds = frozenset[Kind]

BeforeCommit = Callable[["Work", Change], Awaitable[None]]
"""Called in the transaction for every change; may write more through the unit, or veto by raising."""

BeforeCommitTogether = Callable[["Work", Sequence[Change]], Awaitable[None]]
"""Called in the place of a `BeforeCommit` for changes of one list's objects that were written at once."""

Widen = Callable[[Needs], Needs]
"""Adds to what a write locks and fetches."""

Erase = Callable[["Work", str], Awaitable[None]]
"""Called in the transaction that forgets a user, with the principal: removes what a feature knows of it."""

PastList = Callable[["Context", Request, ListPath], Awaitable[Answer]]
"""Answers a request for a list as it was at the time that the query string names in `_at`."""

Listener = Callable[["Work", Event], Awaitable[None]]
"""Called in the transaction for what a feature announces; as a hook before the commit."""

AfterCommit = Callable[[Sequence[Change]], Awaitable[None]]
"""Called once for each request with all its changes, after they are on disk."""

Gate = Callable[["Context", Request], Awaitable[None]]
"""Called before a request is dispatched, also for each of a batch; may refuse it by raising ProtocolError."""


class ChangeHook(NamedTuple):
    """What is called for changes in their transaction: for those of `kinds`, all when there are none.

    With `together` that is called for changes that were made at once.
    """

    run: BeforeCommit
    kinds: Kinds
    together: BeforeCommitTogether | None = None


@dataclass(slots=True)
class Service:
    """What the requests of a server share."""

    settings: Settings
    store: Store
    router: Router
    wire: Wire
    access: Access
    pages: ListCache
    ready: Ready
    policies: tuple[Policy, ...] = ()
    """In the order in which they are asked."""
    challenges: tuple[str, ...] = ()
    rules: RulesByKind = field(default_factory=RulesByKind)
    before_commit: list[ChangeHook] = field(default_factory=list)
    reactions: list[ChangeHook] = field(default_factory=list)
    after_commit: list[AfterCommit] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)
    widen: list[Widen] = field(default_factory=list)
    erase: list[Erase] = field(default_factory=list)
    past_list: PastList | None = None
    stream_list: PastList | None = None
    batch_observers: list[Observer] = field(default_factory=list)
    measures: Measures = field(default_factory=Measures)
    capabilities: dict[str, dict[str, Any]] = field(default_factory=dict)
    heartbeats: dict[str, Callable[[], Awaitable[bool | None]]] = field(default_factory=dict)
    root_settings: dict[str, Any] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    user_info: list[Callable[[Context], Mapping[str, Any]]] = field(default_factory=list)
    dispatch: Callable[[Context, Request], Awaitable[Answer]] | None = None
    shared: dict[type[Any], Any] = field(default_factory=dict)
    """What one feature brings and others look for, by its type: see the rooms below the features."""
    query_limits: QueryLimits = DEFAULT_LIMITS
    token_key: bytes = b""

    @property
    def cors(self) -> Cors:
        return self.wire.cors

    async def committed(self, changes: Sequence[Change]) -> None:
        """Tell the hooks of changes that are on disk: the client's write has succeeded, whatever they do."""
        for hook in self.after_commit:
            try:
                await hook(changes)
            except Exception:
                log.exception(
                    "a hook after the commit failed", hook=getattr(hook, "__qualname__", repr(hook))
                )
