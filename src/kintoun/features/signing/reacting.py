"""What follows from a client's change of a source: its status falls back, or moves on and publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from kintoun.features.signing import applying, events
from kintoun.features.signing.publishing import Publisher
from kintoun.features.signing.resources import Resources, Workflow
from kintoun.features.signing.review import Caller, Config, Step, edited, step_of
from kintoun.features.signing.state import state_in, state_path, states_of
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import GROUP, RECORD
from kintoun.model.paths import bucket_path
from kintoun.model.permissions import acl_text
from kintoun.resources.context import Context, Work
from kintoun.resources.writing import body_of
from kintoun.storage.needs import Needs
from kintoun.storage.unit import Unit

COMMENT = "last_editor_comment"
NO_GROUPS = "The permission group:create on {} is needed to create the groups of the review."


class Reactions:
    """Does what the workflow says in answer to changes of sources."""

    def __init__(self, resources: Resources, publisher: Publisher, *, hard: bool) -> None:
        """`hard` is whether targets are deleted with their source."""
        self._resources = resources
        self._publisher = publisher
        self._hard = hard
        self._dates: WeakKeyDictionary[Unit, datetime] = WeakKeyDictionary()

    def widen(self, needs: Needs) -> Needs:
        """Lock and fetch what a change of a source's records will write besides."""
        more: list[Workflow] = []
        for path in needs.lists:
            if path.kind is RECORD and path.parents[0] in self._resources.source_buckets:
                workflow = self._resources.source(*path.parents)
                if workflow is not None:
                    more.append(workflow)
        if not more:
            return needs
        lists = [place for each in more for place in (each.source.list, states_of(each.source.ids[0]))]
        points = [place for each in more for place in (each.source, state_path(each.source))]
        return needs._replace(lists=(*needs.lists, *lists), points=(*needs.points, *points))

    async def react(self, work: Work, change: Change) -> None:
        """Do what follows from a change."""
        kind, ids = change.path
        if ids[0] not in self._resources.source_buckets or applying.is_the_signer(work.context):
            return
        workflow = self._resources.source(ids[0], ids[1])
        if workflow is None:
            return
        if kind is RECORD:
            with applying.as_the_signer(work.context):
                await self._edited(work, workflow, change)
        elif change.action == "delete":
            await self._deleted(work, workflow, change)
        else:
            await self._changed(work, workflow, change)

    async def _edited(self, work: Work, workflow: Workflow, change: Change) -> None:
        """Let a source be in progress, once for what one transaction changes in one user's name."""
        unit, user = work.unit, work.context.author
        row = await unit.object(workflow.source)
        assert row is not None, "records stand in a collection"
        date = self._dates.setdefault(unit, datetime.now(UTC))
        fields = edited(user, date)
        metadata: dict[str, Any] = json.decode(row.body.encode())
        if any(metadata.get(name) != value for name, value in fields.items()):
            await applying.update_source(work, workflow.source, fields)
        state = state_in(await unit.object(state_path(workflow.source)))
        dated_back = change.since is None or change.timestamp <= change.since
        if user in state.editors and state.review is None and not dated_back:
            return
        editors = state.editors if user in state.editors else (*state.editors, user)
        editions = state.editions
        if dated_back:
            # What is found by its timestamp would be missed.
            editions = {path: edition._replace(until=0) for path, edition in editions.items()}
        state = state._replace(editors=editors, review=None, editions=editions)
        await state.save(unit, workflow.source)

    async def _changed(self, work: Work, workflow: Workflow, change: Change) -> None:
        """Take the step that a client asks for by a source's status, or by creating it."""
        context = work.context
        state = state_in(await work.unit.object(state_path(workflow.source)))
        editors, reviewers = workflow.groups
        caller = Caller(context.user, editors in context.principals, reviewers in context.principals)
        config = Config(workflow.review, workflow.editors.id, workflow.reviewers.id, frozenset(state.editors))
        step = step_of(change.old, change.new, caller, config)
        if step is Step.NOTHING:
            return
        if step is Step.DECLINE:
            await events.announce_rejection(work, workflow.source, change.new)
            return
        if step is Step.CREATE:
            await _create_groups(work, workflow)
        commented = step is Step.REQUEST and _mentions(context, context.request, COMMENT)
        await self._publisher.publish(work, workflow, step, change, commented=commented)

    async def _deleted(self, work: Work, workflow: Workflow, change: Change) -> None:
        """Take away what came with a source, and publish that it holds nothing, or delete its targets."""
        with applying.as_the_signer(work.context):
            for group in (workflow.editors, workflow.reviewers):
                if await applying.is_there(work, group):
                    await applying.delete(work, group)
            if self._hard:
                for target in workflow.targets:
                    if await applying.is_there(work, target):
                        await applying.delete(work, target)
        if not self._hard:
            await self._publisher.publish(work, workflow, Step.DELETE, change)


async def _create_groups(work: Work, workflow: Workflow) -> None:
    """Create the groups of a source that are missing (signing section 8.4). Raises ProtocolError."""
    context = work.context
    bucket = bucket_path(workflow.source.ids[0])
    missing = [
        group for group in (workflow.editors, workflow.reviewers) if not await applying.is_there(work, group)
    ]
    above = [await work.unit.object(bucket)]
    if not context.service.access.may_create(GROUP, above, context.principals):
        raise ProtocolError(403, FORBIDDEN, NO_GROUPS.format(bucket))
    creator = [] if context.anonymous else [context.author]
    with applying.as_the_signer(context):
        for group in missing:
            members = creator if group == workflow.editors else []
            await applying.write(work, group, {"members": members}, acl_text({"write": creator}))


def _mentions(context: Context, request: Request, field: str) -> bool:
    """Whether the body of a PUT or PATCH says something of an attribute."""
    body = body_of(context, request)
    if isinstance(body, list):
        return any(isinstance(each, dict) and each.get("path") == f"/data/{field}" for each in body)
    data = body.get("data")
    return isinstance(data, dict) and field in data
