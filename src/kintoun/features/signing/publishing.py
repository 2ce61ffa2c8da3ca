"""Publication: planned and signed outside of any transaction, then committed in one, or not at all.

A write that publishes finds in its transaction that a signature is missing, and gives the transaction up. So
no lock is held while a signer is asked. The plan says where every list stood that it was made from; once the
signatures are there the write runs again, and takes the plan only if all of them stand there still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from kintoun.features.signing import applying, events
from kintoun.features.signing.planning import Plan, Planner, Target
from kintoun.features.signing.reading import records_of
from kintoun.features.signing.resources import Workflow
from kintoun.features.signing.review import Metadata, Step, outcome
from kintoun.features.signing.state import Edition, state_in, state_path, states_of
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX
from kintoun.model.changes import Change
from kintoun.model.errors import CONSTRAINT_VIOLATED, INVALID_POSTED_DATA, ProtocolError
from kintoun.model.kinds import RECORD
from kintoun.model.paths import BUCKETS, Path
from kintoun.resources.context import Awaited, Context, Work
from kintoun.resources.service import Service
from kintoun.signatures.message import Message
from kintoun.storage.needs import Needs

ATTEMPTS = 3
"""How often a publication is planned when what it was made from goes on changing."""

MIXED = "A batch cannot change the records of a collection and then publish them"
BUSY = "The collection is being written, please retry."

_WITHOUT_SOURCE = (Step.CREATE, Step.DELETE, Step.RESIGN)
"""Steps to which it does not matter what records the source has: so edits do not keep them waiting."""

Sign = Callable[[Path, Message], Awaitable[Sequence[Mapping[str, Any]]]]
"""Signs data for a source, as the `signatures` of metadata. Raises ProtocolError when it cannot be signed."""


class Published(NamedTuple):
    """A target as it is being published, for whoever adds to that.

    `timestamp` (milliseconds) is that of its records, `digest` SHA-256 of what is signed, in hexadecimal;
    `before` is its last edition, and `number` that of this one.
    """

    source: Path
    target: Path
    step: Step
    timestamp: int
    digest: str
    before: Edition | None
    number: int


class Extension(Protocol):
    """What adds to publications. `fields` are the attributes of metadata that nobody else may write."""

    fields: Sequence[str]

    async def attest(self, published: Published) -> Mapping[str, Any]:
        """More attributes for the metadata, made outside of any transaction. Raises ProtocolError."""
        ...

    async def record(self, work: Work, published: Published, metadata: Metadata) -> None:
        """Write more, in the transaction that publishes."""
        ...

    def outdated(self, metadata: Metadata) -> bool:
        """Whether what is published is to be attested, and signed, again."""
        ...


class Signed(NamedTuple):
    """A plan with what was obtained for its targets: the attributes of their metadata, in their order."""

    plan: Plan
    attributes: Sequence[dict[str, Any]]

    async def holds(self, work: Work) -> bool:
        """Whether nothing that the plan was made from has changed."""
        unit = work.unit
        row = await unit.object(state_path(self.plan.workflow.source))
        if state_in(row).version != self.plan.version:
            return False
        positions = self.plan.positions
        if self.plan.step in _WITHOUT_SOURCE:
            positions = positions[1:]
        return all([position.holds(await unit.clock(position.path)) for position in positions])


class Publisher:
    """Publishes sources. `extensions` add to it."""

    def __init__(self, service: Service, sign: Sign, room: int) -> None:
        self._service = service
        self._sign = sign
        self.planner = Planner(service.store, room)
        self.extensions: list[Extension] = []
        self._approved = service.measures.counter(
            "signing_approved_changes_total", "Records whose changes were approved.", ("bucket", "collection")
        )
        self._seconds = service.measures.histogram(
            "signing_publication_seconds", "How long planning and signing a publication took.", ("step",)
        )

    async def publish(
        self, work: Work, workflow: Workflow, step: Step, change: Change, *, commented: bool = False
    ) -> None:
        """Do a step of a source that `change` asks for, in the change's transaction.

        Raises Awaited while there is no signed plan that holds, and ProtocolError for a step that cannot be.
        """
        context = work.context
        _refuse_mixture(context, workflow, change)
        signed: Signed | None = context.notes.get(_note(workflow, step))
        if signed is None or not await signed.holds(work):
            raise Unsigned(self, context, workflow, step)
        with applying.as_the_signer(context):
            await self._commit(work, signed, change, commented=commented)

    async def prepare(self, workflow: Workflow, step: Step) -> Signed:
        """A plan for a step with its signatures. Raises ProtocolError."""
        began = asyncio.get_running_loop().time()
        plan = await self.planner.plan(workflow, step)
        attributes = await asyncio.gather(*(self._attested(plan, target) for target in plan.targets))
        self._seconds.observe(asyncio.get_running_loop().time() - began, step.name.lower())
        return Signed(plan, attributes)

    async def _attested(self, plan: Plan, target: Target) -> dict[str, Any]:
        signatures = [dict(each) for each in await self._sign(plan.workflow.source, target.message)]
        attributes: dict[str, Any] = {"signatures": signatures, "signature": signatures[0]}
        for extension in self.extensions:
            attributes |= await extension.attest(published_of(plan, target))
        return attributes

    async def _commit(self, work: Work, signed: Signed, change: Change, *, commented: bool) -> None:
        plan = signed.plan
        step, workflow = plan.step, plan.workflow
        old, new = change.old or {}, change.new
        metadata = old if step is Step.DELETE else new
        await applying.place(work, records_of(workflow.source), plan.restored)
        for target, attributes in zip(plan.targets, signed.attributes, strict=True):
            if step is Step.DELETE and not await applying.is_there(work, target.path):
                continue
            await applying.apply(work, target)
            written = await applying.describe(work, target.path, metadata, attributes)
            for extension in self.extensions:
                await extension.record(work, published_of(plan, target), written)
        if step is Step.APPROVE and workflow.preview is not None and len(plan.targets) == 1:
            await applying.describe(work, workflow.preview, metadata, {})
        editions = await applying.remember(work, plan)
        for target in plan.targets:
            if (edition := editions.get(str(target.path))) is not None:
                self.planner.holdings.remember(edition.list, target.content)
        if step is not Step.DELETE:
            preview = workflow.preview is not None
            now = datetime.now(UTC)
            fields = outcome(step, old, new, work.context.author, now, preview=preview, commented=commented)
            writers = workflow.groups if step is Step.CREATE else ()
            await applying.update_source(work, workflow.source, fields, writers)
        if step is Step.APPROVE:
            self._approved.add(plan.changes, *workflow.destination.ids)
        await events.announce(work, plan, new)

    async def resign(self, workflow: Workflow) -> None:
        """Sign again what is published of a source: its metadata changes, no record and no timestamp of one.

        Raises ProtocolError when that cannot be, or a signer is unavailable.
        """
        path = workflow.source
        context = Context(self._service, Request("PATCH", f"{PREFIX}{path}"))
        context.user = applying.SIGNER_USER
        context.unattended = True

        async def act(work: Work) -> Any:
            row = await work.unit.object(path)
            body = row.body if row is not None and not row.deleted else "{}"
            change = Change("update", path, body, body, "{}", 0, context.user)
            await self.publish(work, workflow, Step.RESIGN, change)

        await context.write(Needs((path.list,), (), path.lineage), act)


class Unsigned(Awaited):
    """A write that publishes, and has no signatures yet or none that still fit."""

    def __init__(self, publisher: Publisher, context: Context, workflow: Workflow, step: Step) -> None:
        super().__init__(f"{workflow.source} is to be signed")
        self._publisher = publisher
        self._context = context
        self._workflow = workflow
        self._step = step

    async def obtain(self) -> Needs:
        notes, note = self._context.notes, _note(self._workflow, self._step)
        attempts = notes[f"{note} attempts"] = notes.get(f"{note} attempts", 0) + 1
        if attempts > ATTEMPTS:
            retry = str(self._context.service.settings.http.retry_after_seconds)
            raise ProtocolError(409, CONSTRAINT_VIOLATED, BUSY, headers=(("Retry-After", retry),))
        signed = notes[note] = await self._publisher.prepare(self._workflow, self._step)
        return needs_of(signed.plan)


def _note(workflow: Workflow, step: Step) -> str:
    """Under which name a request keeps what was signed for it."""
    return f"{step.name} {workflow.source}"


def published_of(plan: Plan, target: Target) -> Published:
    number = target.before.number + 1 if target.before is not None else 1
    source = plan.workflow.source
    digest = target.message.name
    return Published(source, target.path, plan.step, target.timestamp, digest, target.before, number)


def needs_of(plan: Plan) -> Needs:
    """What committing a plan locks and looks at."""
    workflow = plan.workflow
    paths = (workflow.source, *workflow.targets)
    lists = [BUCKETS, states_of(workflow.source.ids[0])]
    for path in paths:
        lists += (path.list, records_of(path))
    points = [state_path(workflow.source), *(step for path in paths for step in path.lineage)]
    return Needs(tuple(dict.fromkeys(lists)), (), tuple(dict.fromkeys(points)))


def _refuse_mixture(context: Context, workflow: Workflow, change: Change) -> None:
    """Refuse a batch that has changed what it now publishes: nobody could have signed that."""
    lists = {records_of(path) for path in (workflow.source, *workflow.targets)}
    for earlier in context.changes:
        if earlier is change:
            return
        path = earlier.path
        made = path == workflow.source and earlier.action != "update"
        if made or (path.kind is RECORD and path.list in lists):
            raise ProtocolError(400, INVALID_POSTED_DATA, MIXED)
