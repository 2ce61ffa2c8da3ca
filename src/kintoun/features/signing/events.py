"""What is announced of reviews (signing section 8.5), for those that mail, post and call."""

from __future__ import annotations

from typing import Any

from kintoun.features.signing.planning import Plan
from kintoun.features.signing.review import Metadata, Step
from kintoun.model.changes import Event
from kintoun.model.paths import Path
from kintoun.resources.context import Work

PREFIX = "kinto_remote_settings.signer.events."
REQUESTED = f"{PREFIX}ReviewRequested"
APPROVED = f"{PREFIX}ReviewApproved"
REJECTED = f"{PREFIX}ReviewRejected"
CANCELED = f"{PREFIX}ReviewCanceled"


async def announce(work: Work, plan: Plan, source: Metadata) -> None:
    """Tell of a step that was taken."""
    values: dict[str, Any] = {"changes_count": plan.changes}
    if plan.step is Step.REQUEST:
        values |= {"changes_size_bytes": plan.size, "comment": source.get("last_editor_comment", "")}
        await _announce(work, REQUESTED, plan.workflow.source, values)
    elif plan.step is Step.APPROVE:
        await _announce(work, APPROVED, plan.workflow.source, {**values, "changes_size_bytes": plan.size})
    elif plan.step is Step.ROLL_BACK and plan.changes:
        await _announce(work, CANCELED, plan.workflow.source, values)


async def announce_rejection(work: Work, path: Path, source: Metadata) -> None:
    """Tell that a review was declined."""
    await _announce(work, REJECTED, path, {"comment": source.get("last_reviewer_comment", "")})


async def _announce(work: Work, name: str, path: Path, values: dict[str, Any]) -> None:
    row = await work.unit.object(path)
    timestamp = row.timestamp if row is not None else 0
    await work.context.announce(Event(name, path, timestamp, work.context.user, values))
