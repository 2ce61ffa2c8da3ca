"""The review workflow as a function: which changes of a source's status there are (signing section 8.1)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, NamedTuple

from kintoun.model.errors import FORBIDDEN, INVALID_POSTED_DATA, ProtocolError

WORK_IN_PROGRESS = "work-in-progress"
TO_REVIEW = "to-review"
TO_SIGN = "to-sign"
SIGNED = "signed"
TO_RESIGN = "to-resign"
TO_ROLLBACK = "to-rollback"

TRACKING = (
    "last_edit_by",
    "last_edit_date",
    "last_review_request_by",
    "last_review_request_date",
    "last_review_by",
    "last_review_date",
    "last_signature_by",
    "last_signature_date",
)
"""The fields that tell who did what when; clients can only read them."""

Metadata = Mapping[str, Any]


class Step(Enum):
    """What a change of a source collection sets off."""

    NOTHING = auto()
    CREATE = auto()
    REQUEST = auto()
    DECLINE = auto()
    APPROVE = auto()
    RESIGN = auto()
    ROLL_BACK = auto()
    DELETE = auto()


class Caller(NamedTuple):
    """Who changes a source: the user id, None for anonymous, and the groups that count here."""

    user: str | None
    editor: bool
    reviewer: bool


class Config(NamedTuple):
    """How a source is reviewed: whether at all, its groups, and who edited it since the last approval."""

    review: bool
    editors_group: str
    reviewers_group: str
    edited_by: Set[str] = frozenset()


def step_of(old: Metadata | None, new: Metadata, caller: Caller, config: Config) -> Step:
    """What becomes of a source that a client creates (`old` is None) or changes.

    Raises ProtocolError for what the workflow has no step for, or not for this caller.
    """
    before = (old or {}).get("status")
    status = new.get("status")
    if before != status:
        _check_status(before, status, old or {}, caller, config)
    for field in TRACKING:
        if (old or {}).get(field) != new.get(field):
            raise _invalid(f"Cannot change {field!r}")
    if old is None:
        return Step.CREATE
    if before == status:
        return Step.NOTHING
    if status == WORK_IN_PROGRESS:
        return Step.DECLINE if before == TO_REVIEW else Step.NOTHING
    return _STEPS[str(status)]


_STEPS = {
    TO_REVIEW: Step.REQUEST,
    TO_SIGN: Step.APPROVE,
    TO_RESIGN: Step.RESIGN,
    TO_ROLLBACK: Step.ROLL_BACK,
}


def _check_status(before: Any, status: Any, old: Metadata, caller: Caller, config: Config) -> None:
    if status is None:
        raise _invalid("Cannot remove status")
    if status == SIGNED:
        raise _invalid(f"Cannot set status to {SIGNED!r}")
    if status == TO_REVIEW:
        if config.review and not caller.editor:
            raise _forbidden(f"Not in {config.editors_group} group")
    elif status == TO_SIGN:
        _check_approval(before, old, caller, config)
    elif status == TO_ROLLBACK:
        if before == SIGNED:
            raise _invalid("Collection has no work-in-progress")
    elif status not in (WORK_IN_PROGRESS, TO_RESIGN):
        raise _invalid(f"Invalid status {str(status)[:100]!r}")


def _check_approval(before: Any, old: Metadata, caller: Caller, config: Config) -> None:
    if before == SIGNED:
        raise _invalid("Collection already signed")
    if not config.review:
        return
    if not caller.reviewer:
        raise _forbidden(f"Not in {config.reviewers_group} group")
    if before != TO_REVIEW:
        raise _invalid("Collection not under review")
    # Whoever wrote any of it does not review it, even when somebody else asked for the review.
    if caller.user == old.get("last_review_request_by") or caller.user in config.edited_by:
        raise _forbidden("Last editor cannot review")


def outcome(
    step: Step, old: Metadata, new: Metadata, user: str, now: datetime, *, preview: bool, commented: bool
) -> dict[str, Any]:
    """The fields of a source that a step sets (signing section 8.2).

    `commented` is whether the client gave `last_editor_comment` with this change.
    """
    date = iso(now)
    signature = {"last_signature_by": user, "last_signature_date": date}
    if step is Step.CREATE:
        return {"status": SIGNED, **signature}
    if step is Step.REQUEST:
        fields = {"status": TO_REVIEW, "last_review_request_by": user, "last_review_request_date": date}
        return {**fields, "last_editor_comment": ""} if preview and not commented else fields
    if step is Step.APPROVE:
        return {"status": SIGNED, "last_review_by": user, "last_review_date": date, **signature}
    if step is Step.RESIGN:
        before = old.get("status") or (WORK_IN_PROGRESS if "status" in new else None)
        return signature if before is None else {"status": before, **signature}
    if step is Step.ROLL_BACK:
        edit = {"last_edit_by": user, "last_edit_date": date}
        return {"status": SIGNED, "last_editor_comment": "", "last_reviewer_comment": "", **edit}
    return {}


def edited(user: str, now: datetime) -> dict[str, Any]:
    """The fields of a source that a change of a record sets."""
    return {"status": WORK_IN_PROGRESS, "last_edit_by": user, "last_edit_date": iso(now)}


def iso(moment: datetime) -> str:
    """A moment as the tracking fields have it, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _invalid(message: str) -> ProtocolError:
    return ProtocolError(400, INVALID_POSTED_DATA, message)


def _forbidden(message: str) -> ProtocolError:
    return ProtocolError(403, FORBIDDEN, message)
