"""Plans of publications: what targets will hold, to the byte and to the timestamp, before it is signed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kintoun.features.signing.canonical_list import CanonicalList
from kintoun.features.signing.comparing import Difference, differences, review_digest
from kintoun.features.signing.holding import Holdings, Known
from kintoun.features.signing.reading import (
    Candidate,
    Position,
    Role,
    aside,
    candidates,
    positions,
    records_of,
)
from kintoun.features.signing.resources import Workflow
from kintoun.features.signing.review import Step
from kintoun.features.signing.signable import TIMESTAMP, Content
from kintoun.features.signing.state import Edition, State, state_in, state_path
from kintoun.model import json, timestamps
from kintoun.model.errors import INVALID_POSTED_DATA, ProtocolError
from kintoun.model.paths import Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.model.tuples import made
from kintoun.signatures.message import Message
from kintoun.storage import Store
from kintoun.storage.rows import Stored, Wanted

LOOKS = 2
"""How often a refusal is looked into again when something moved meanwhile."""

CHANGED_SINCE = "Collection has changed since the review was requested"
UNSIGNABLE = "{}/records/{} cannot be signed: correct it in the source"
NOT_OURS = "{} does not hold what was signed last: it has to be published again"


# Ids are letters, digits, `_` and `-`: nothing in them needs to be escaped.
TOMBSTONE = '{"id":"%s","last_modified":%d,"deleted":true}'
"""The body of a record that is deleted, of its id and its timestamp."""


class Placed(NamedTuple):
    """Rows that a list will have, with consecutive timestamps, and what stands `before` in their places."""

    rows: Sequence[Stored] = ()
    before: Sequence[Stored | None] = ()


class Target(NamedTuple):
    """What a target will hold, and the message of it that is signed."""

    path: Path
    position: Position
    before: Edition | None
    placed: Placed
    timestamp: int
    content: Known
    message: Message


class Plan(NamedTuple):
    """A publication. It holds as long as its positions and the version of the source's state do.

    `restored` is what becomes of the source's own records when it is rolled back. `changes` counts the
    records that differ, `size` is that of those that are written, in bytes.
    """

    workflow: Workflow
    step: Step
    version: int
    positions: Sequence[Position]
    targets: Sequence[Target]
    restored: Placed = Placed()
    review: str | None = None
    changes: int = 0
    size: int = 0


class Ground(NamedTuple):
    """What a plan begins with."""

    workflow: Workflow
    state: State
    stands: dict[Path, Position]

    @property
    def numbers(self) -> tuple[int, int]:
        """The numbers of the lists of preview and destination."""
        workflow = self.workflow
        preview = self.stands[workflow.preview].number if workflow.preview is not None else 0
        return preview, self.stands[workflow.destination].number

    def edition(self, target: Path) -> Edition | None:
        """What is known of the present content of a target's list."""
        edition, position = self.state.edition(target), self.stands[target]
        if edition is None or (edition.list, edition.timestamp) != (position.number, position.timestamp):
            return None
        return edition

    def since(self) -> int:
        """The timestamp of the source up to which all targets have its changes, 0 if that is not known."""
        source = self.stands[self.workflow.source]
        known = []
        for target in self.workflow.targets:
            edition = self.edition(target)
            if edition is None or edition.source != source.number:
                return 0
            if not source.watermark <= edition.until <= source.timestamp:
                return 0
            known.append(edition.until)
        return min(known)


class Planner:
    """Makes plans. `room` is for what was published last, in bytes."""

    def __init__(self, store: Store, room: int) -> None:
        self._store = store
        self.holdings = Holdings(store, room)

    async def plan(self, workflow: Workflow, step: Step) -> Plan:
        """What a step will publish. Raises ProtocolError when it cannot be signed, or must not be."""
        ground = await self._survey(workflow)
        for _ in range(LOOKS):
            try:
                return await self._plan(ground, step)
            except ProtocolError:
                # Not all was read at once: a refusal counts only of what stands still.
                before, ground = ground, await self._survey(workflow)
                if ground == before:
                    raise
        return await self._plan(ground, step)

    async def _plan(self, ground: Ground, step: Step) -> Plan:
        workflow = ground.workflow
        if step is Step.RESIGN:
            targets = [await self._as_it_is(ground, path) for path in workflow.targets]
            return Plan(workflow, step, ground.state.version, tuple(ground.stands.values()), targets)
        since = ground.since()
        changes = await self._changes(ground, step, since)
        if since and not _complete(ground, step, changes):
            # Records came into the source past this feature, under timestamps of the past.
            since, changes = 0, await self._changes(ground, step, 0)
        published = targets_of(step, workflow, changes if since else {})
        held = await asyncio.gather(
            *(self.holdings.of(ground.stands[path], ground.edition(path)) for path in published)
        )
        if since and not all(known for _, known in held):
            changes = await self._changes(ground, step, 0)
        plan = await aside(sum(map(len, changes.values())), lambda: _planned(ground, step, changes))
        targets = await asyncio.gather(
            *(
                self._target(ground, path, changes[path], records)
                for path, (records, _) in zip(published, held, strict=True)
            )
        )
        size = sum(len(row.body) for row in targets[-1].placed.rows if not row.deleted) if targets else 0
        return plan._replace(targets=targets, size=size)

    async def _changes(self, ground: Ground, step: Step, since: int) -> dict[Path, list[Difference]]:
        found = await self._candidates(ground, step, since)
        return await aside(len(found), lambda: _differing(ground, step, found))

    async def _survey(self, workflow: Workflow) -> Ground:
        row = (await self._store.read(Wanted(points=(state_path(workflow.source),)))).points[0]
        paths = (workflow.source, *workflow.targets)
        stands = await positions(self._store, [records_of(path) for path in paths])
        return Ground(workflow, state_in(row), dict(zip(paths, stands, strict=True)))

    async def _candidates(self, ground: Ground, step: Step, since: int) -> list[Candidate]:
        if step in (Step.CREATE, Step.DELETE):
            return await candidates(self._store, None, *ground.numbers, 0)
        source = ground.stands[ground.workflow.source]
        return await candidates(self._store, source, *ground.numbers, since)

    async def look_ahead(self, workflow: Workflow) -> None:
        """Read what targets hold before it is asked for, where that takes long and there is room for it."""
        ground = await self._survey(workflow)
        for path in workflow.targets:
            edition = ground.edition(path)
            if edition is not None:
                await self.holdings.look_ahead(ground.stands[path], edition)

    async def _as_it_is(self, ground: Ground, path: Path) -> Target:
        """What a target holds, to be signed again: only what was signed before, or is what the source has."""
        position, edition = ground.stands[path], ground.edition(path)
        if edition is not None:
            known = await self.holdings.signed(position, edition)
            if known is not None:
                return await self._target(ground, path, (), known.records)
        target = await self._target(ground, path, (), await self.holdings.decoded(position))
        if edition is not None and target.message.name == edition.digest:
            return target
        if ground.state.edition(path) is None and await self._is_source(ground, path):
            return target
        raise ProtocolError(400, INVALID_POSTED_DATA, NOT_OURS.format(path))

    async def _is_source(self, ground: Ground, path: Path) -> bool:
        """Whether a target holds what the source does."""
        if not ground.stands[path].live:
            return True
        found = await self._candidates(ground, Step.APPROVE, 0)
        role = role_of(ground.workflow, path)
        return await aside(len(found), lambda: differences(found, "source", role)) == [[]]

    async def _target(
        self, ground: Ground, path: Path, changes: Sequence[Difference], held: CanonicalList
    ) -> Target:
        position = ground.stands[path]

        def make() -> Target:
            placed = _placed(position, changes, _published)
            timestamp = position.timestamp
            if placed.rows:
                timestamp = placed.rows[-1].timestamp
            elif not position.number:
                timestamp = timestamps.following(position.timestamp, timestamps.now())
            bodies = {row.id: None if row.deleted else row.body for row in placed.rows}
            holds = held.changed(bodies) if bodies else held
            if (unsignable := holds.gap()) is not None:
                raise ProtocolError(400, INVALID_POSTED_DATA, UNSIGNABLE.format(path, unsignable))
            message = holds.message(timestamp)
            known = Known(message.name, timestamp, holds)  # it is hashed now, in this thread
            before = ground.state.edition(path)
            return Target(path, position, before, placed, timestamp, known, message)

        return await aside(len(held) + len(changes), make)


def targets_of(
    step: Step, workflow: Workflow, changes: Mapping[Path, Sequence[Difference]]
) -> tuple[Path, ...]:
    """The targets that a step publishes; of `changes` it is known that there are no others.

    A preview that was reviewed as it is need not be signed again when that is approved.
    """
    if step in (Step.REQUEST, Step.ROLL_BACK):
        return () if workflow.preview is None else (workflow.preview,)
    if step is Step.APPROVE and workflow.preview is not None and changes.get(workflow.preview) == []:
        return (workflow.destination,)
    return workflow.targets


def role_of(workflow: Workflow, target: Path) -> Role:
    return "destination" if target == workflow.destination else "preview"


def _differing(ground: Ground, step: Step, found: Sequence[Candidate]) -> dict[Path, list[Difference]]:
    """What has to happen in each target, and in the source when it is rolled back, for all to be alike."""
    workflow = ground.workflow
    wanted: Role = "source"
    roles: dict[Path, Role] = {path: role_of(workflow, path) for path in workflow.targets}
    if step is Step.ROLL_BACK:
        wanted = "destination"
        roles = {workflow.source: "source"}
        if workflow.preview is not None:
            roles[workflow.preview] = "preview"
    return dict(zip(roles, differences(found, wanted, *roles.values()), strict=True))


def _complete(ground: Ground, step: Step, changes: dict[Path, list[Difference]]) -> bool:
    """Whether all will have as many live records after the changes."""
    workflow, stands = ground.workflow, ground.stands
    if step in (Step.CREATE, Step.DELETE):
        return True
    live = stands[workflow.destination if step is Step.ROLL_BACK else workflow.source].live
    return all(
        stands[path].live + sum(each.more for each in differing) == live
        for path, differing in changes.items()
    )


def _planned(ground: Ground, step: Step, changes: dict[Path, list[Difference]]) -> Plan:
    """The plan as far as it follows from what differs. Raises ProtocolError for what nobody has reviewed."""
    workflow, stands = ground.workflow, tuple(ground.stands.values())
    plan = Plan(workflow, step, ground.state.version, stands, ())
    if step is Step.ROLL_BACK:
        restored = _placed(ground.stands[workflow.source], changes[workflow.source], _restored)
        return plan._replace(restored=restored, changes=sum(map(len, changes.values())))
    to_publish = changes[workflow.destination]
    if step is Step.REQUEST:
        return plan._replace(review=_reviewed(ground, to_publish), changes=len(next(iter(changes.values()))))
    if step is Step.APPROVE and workflow.review and _reviewed(ground, to_publish) != ground.state.review:
        raise ProtocolError(400, INVALID_POSTED_DATA, CHANGED_SINCE)
    return plan._replace(changes=len(to_publish))


def _reviewed(ground: Ground, to_publish: Sequence[Difference]) -> str:
    """What names the changes that are, or were, to be reviewed."""
    edition = ground.state.edition(ground.workflow.destination)
    return review_digest(edition.digest if edition is not None else "", to_publish)


def _placed(
    position: Position,
    changes: Sequence[Difference],
    live: Callable[[Content, int, Stored | None], tuple[str, str]],
) -> Placed:
    """Records with the timestamps that they will have; `live` makes the body and the ACL of one."""
    first = timestamps.following(position.timestamp, timestamps.now())
    rows = []
    for timestamp, (name, wanted, before, _) in enumerate(changes, first):
        if wanted is None:
            body, grants = TOMBSTONE % (name, timestamp), NO_GRANTS
        else:
            body, grants = live(wanted, timestamp, before)
        rows.append(made(Stored, (name, timestamp, wanted is None, body, grants)))
    return Placed(rows, [change.before for change in changes])


def _published(content: Content, timestamp: int, _before: Stored | None) -> tuple[str, str]:
    """A record as it is published: what is signed is what is stored."""
    return content.fragment(timestamp), NO_GRANTS


def _restored(content: Content, timestamp: int, before: Stored | None) -> tuple[str, str]:
    """A record of a source as it was published, with the ACL that it has."""
    grants = before.grants if before is not None and not before.deleted else NO_GRANTS
    return json.encode_text({**content.attributes, TIMESTAMP: timestamp}), grants
