"""What the requests of a server share, and what one request carries through its handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from kintoun.http import request_ids
from kintoun.http.answers import Answer
from kintoun.http.cors import Cors
from kintoun.http.ready import Ready
from kintoun.http.requests import Request
from kintoun.http.routing import Router
from kintoun.http.wire import Wire
from kintoun.measures import Measures
from kintoun.model.changes import Change, Event
from kintoun.model.errors import ProtocolError
from kintoun.model.kinds import Kind
from kintoun.model.parameters import DEFAULT_LIMITS, QueryLimits
from kintoun.model.paths import ListPath, Path
from kintoun.model.permissions import EVERYONE
from kintoun.resources.access import Access, refusal
from kintoun.resources.cache import ListCache
from kintoun.resources.errors import collect as collect
from kintoun.resources.identity import Claim, Policy
from kintoun.resources.observing import Observer
from kintoun.resources.rules import Rules as Rules
from kintoun.resources.rules import RulesByKind
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.rows import Found, Stored, Wanted
from kintoun.storage.unit import Needs, Unit

if TYPE_CHECKING:
    from kintoun.resources.aliases import Alias

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


class Work(NamedTuple):
    """A write under way: the unit it writes to, and the request it belongs to."""

    unit: Unit
    context: Context


class Awaited(Exception):
    """What a write lacks and no transaction may wait for, as a signature.

    It is raised in the transaction, which is given up; what is missing is obtained outside of any, and the
    write is run again.
    """

    async def obtain(self) -> Needs:
        """Get what is missing, and say what the write will touch besides.

        Raises ProtocolError when it cannot be had, or was asked for too often.
        """
        raise NotImplementedError


class _Job:
    """A write as the lanes take it."""

    __slots__ = ("_action", "_context", "needs")

    def __init__(self, context: Context, needs: Needs, action: Callable[[Work], Awaitable[Answer]]) -> None:
        self._context = context
        self.needs = needs
        self._action = action

    async def run(self, unit: Unit) -> Answer:
        context = self._context
        context.changes.clear()
        context.confirmed.clear()
        work = Work(unit, context)
        if context.request.id is not None:
            # The requests of a group share a task: what is logged now is of this one.
            request_ids.current.set(context.request.id)
        await context.enter(work)
        try:
            return await self._action(work)
        finally:
            context.work = None


class Context:
    """One request's way through the server: who asks, and the transaction it runs in, if it runs in one."""

    __slots__ = (
        "_claims",
        "changes",
        "claim",
        "confirmed",
        "floor",
        "needs",
        "notes",
        "principals",
        "replica",
        "request",
        "service",
        "user",
        "work",
    )

    def __init__(self, service: Service, request: Request) -> None:
        self.service = service
        self.request = request
        self.work: Work | None = None
        self.needs: Needs | None = None
        """What the request will touch, when the batch that it is in has it locked and fetched already."""
        self.changes: list[Change] = []
        self.claim: Claim | None = None
        self.user: str | None = None
        self.principals: frozenset[str] = _ANYBODY
        self._claims: dict[str | None, Claim | ProtocolError | None] = {}
        self.confirmed: list[Claim] = []
        """What this transaction has confirmed: a batch that changes a password goes on as whom it began."""
        self.notes: dict[str, Any] = {}
        self.replica: Callable[[Wanted], Awaitable[Found]] | None = None
        self.floor = 0

    @property
    def anonymous(self) -> bool:
        return self.user is None

    @property
    def author(self) -> str:
        """The principal in whose name objects are written."""
        return self.user or EVERYONE

    def refusal(self) -> Exception:
        """The answer to a caller who may not."""
        return refusal(self.anonymous, self.service.challenges)

    def child(self, request: Request) -> Context:
        """The context of a request within this one's batch: the same transaction, its own caller."""
        child = Context(self.service, request)
        if self.work is not None:
            child.work = Work(self.work.unit, child)
        child.changes = self.changes
        child._claims = self._claims
        child.confirmed = self.confirmed
        return child

    async def identify(self) -> None:
        """Find out whose credentials the request carries; what they are worth the next storage call says."""
        request = self.request
        header = request.headers.get("authorization")
        if header is None:
            self.claim = self.user = None
            self.principals = _ANYBODY
            return
        if header in self._claims:
            claim = self._claims[header]
        else:
            claim = self._claims[header] = await self._recognised(request)
        if isinstance(claim, ProtocolError):
            raise claim
        self.claim = claim
        self.user = claim.user if claim is not None else None
        self.principals = _ANYBODY

    async def _recognised(self, request: Request) -> Claim | ProtocolError | None:
        """What the first policy that knows the request's credentials says of them."""
        unavailable = None
        for policy in self.service.policies:
            try:
                claim = await policy.identify(request, self.service.store)
            except ProtocolError as error:
                if error.status != 503:
                    return error
                unavailable = error
                continue
            if claim is not None:
                return claim if isinstance(claim, Claim) else None
        return unavailable

    async def load(self, wanted: Wanted) -> Found:
        """The answer to a question; the caller's groups come with it, and its credentials are confirmed."""
        claim = self.claim
        if claim is None:
            if self.work is None and self.replica is None:
                return await self.service.store.read(wanted)
            return await self._read(wanted)
        witness = self._witness(claim)
        points = wanted.points if witness is None else (*wanted.points, witness)
        _, _, clock, page, total = wanted
        found = await self._read(Wanted(points, claim.principals, clock, page, total))
        if witness is not None:
            if not confirmed(claim, found.points.pop()):
                if self.replica is not None:
                    raise Behind
                await self._doubt(claim)
                return await self.load(wanted)
            if self.work is not None:
                self.confirmed.append(claim)
        self.principals = principals_of(claim, {group for _, group in found.groups})
        return found

    async def _read(self, wanted: Wanted) -> Found:
        if self.work is not None:
            return await self.work.unit.read(wanted)
        if self.replica is None:
            return await self.service.store.read(wanted)
        found = await self.replica(wanted)
        if self.floor and (found.clock is None or found.clock.timestamp < self.floor):
            raise Behind
        return found

    def _witness(self, claim: Claim) -> Path | None:
        """What has to be looked at before the claim is believed."""
        return None if self.confirmed and claim in self.confirmed else claim.witness

    async def _doubt(self, claim: Claim) -> None:
        """Find out anew who the request acts as: its credentials are not what they were."""
        await self._identify_again(self.request)
        if self.work is not None and self.claim == claim:
            # They still are in the database; so it is this transaction that changed them.
            self._claims[self.request.headers.get("authorization")] = None
            await self.identify()

    async def _identify_again(self, request: Request) -> None:
        for policy in self.service.policies:
            policy.forget(request)
        self._claims.pop(request.headers.get("authorization"), None)
        await self.identify()

    async def write(self, needs: Needs, action: Callable[[Work], Awaitable[Answer]]) -> Answer:
        """Run a write in a transaction: that of the batch it is in, or one of its own."""
        if self.work is not None:
            work = self.work
            if needs is not self.needs and not work.unit.knows(needs):
                await work.unit.prepare([needs])
            while True:
                try:
                    await self.enter(work)
                    break
                except StaleClaim:
                    assert self.claim is not None, "nobody has no credentials"
                    await self._doubt(self.claim)
            return await action(work)
        needs = self._widened(needs)
        while True:
            try:
                answer: Answer = await self.service.store.write(
                    _Job(self, self._with_identity(needs), action)
                )
                break
            except StaleClaim as stale:
                await self._identify_again(stale.request)
            except Awaited as missing:
                needs = self._widened(Needs.union((needs, await missing.obtain())))
        if self.changes:
            await self.service.committed(self.changes)
        return answer

    def _widened(self, needs: Needs) -> Needs:
        for widen in self.service.widen:
            needs = widen(needs)
        return needs

    def _with_identity(self, needs: Needs) -> Needs:
        claim = self.claim
        if claim is None:
            return needs
        points = needs.points if claim.witness is None else (*needs.points, claim.witness)
        return needs._replace(points=points, principals=claim.principals)

    async def enter(self, work: Work) -> None:
        """Take part in a transaction: the caller's credentials and groups are those it sees."""
        self.work = work
        claim = self.claim
        if claim is None:
            self.principals = _ANYBODY
            return
        known = work.unit.conclusions.get(claim)
        if known is None:
            witness = self._witness(claim)
            if witness is not None:
                if not confirmed(claim, await work.unit.object(witness)):
                    raise StaleClaim(self.request)
                self.confirmed.append(claim)
            groups = await work.unit.groups(claim.principals)
            known = work.unit.conclusions[claim] = principals_of(claim, groups)
        self.principals = known

    async def changed(self, change: Change) -> None:
        """Tell the hooks of a change, in its transaction."""
        assert self.work is not None, "changes happen in transactions"
        self.changes.append(change)
        for hook, kinds, _ in self.service.before_commit:
            if not kinds or change.path.kind in kinds:
                await hook(self.work, change)
        for hook, kinds, _ in self.service.reactions:
            if not kinds or change.path.kind in kinds:
                await hook(self.work, change)

    async def changed_together(self, changes: Sequence[Change]) -> None:
        """Tell the hooks of changes of one list's objects, in their order, which were all written before."""
        assert self.work is not None, "changes happen in transactions"
        self.changes += changes
        for hook, kinds, together in (*self.service.before_commit, *self.service.reactions):
            if kinds and changes[0].path.kind not in kinds:
                continue
            if together is not None:
                await together(self.work, changes)
                continue
            for change in changes:
                await hook(self.work, change)

    async def announce(self, event: Event) -> None:
        """Tell those who listen of what a feature did, in its transaction."""
        assert self.work is not None, "events happen in transactions"
        for listener in self.service.listeners:
            await listener(self.work, event)


class StaleClaim(Exception):
    """The credentials of a request changed since they were verified."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request


class Behind(Exception):
    """A replica knows less than the request that it was asked to answer."""


_ANYBODY = frozenset((EVERYONE,))


def principals_of(claim: Claim, groups: set[str]) -> frozenset[str]:
    return frozenset((*claim.principals, EVERYONE, *groups))


def confirmed(claim: Claim, row: Stored | None) -> bool:
    """Whether what the claim rests on is still what it was."""
    return row is not None and not row.deleted and row.timestamp == claim.timestamp
