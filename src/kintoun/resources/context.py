"""What one request carries through its handlers: who asks, and the transaction that it is in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from kintoun.http import request_ids
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model.changes import Change, Event
from kintoun.model.errors import ProtocolError
from kintoun.model.paths import Path
from kintoun.model.permissions import EVERYONE
from kintoun.resources.access import refusal
from kintoun.resources.identity import Claim
from kintoun.resources.service import Service
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Found, Stored, Wanted
from kintoun.storage.unit import Unit


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
        "unattended",
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
        self.unattended = False
        """The server does it by itself: nobody is there who could be told to make room for it first."""

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
