"""The table of the workflow (signing section 8.1), row by row, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kintoun.features.signing.review import TRACKING, Caller, Config, Step, edited, outcome, step_of
from kintoun.model.errors import ProtocolError

ED = Caller("ed", editor=True, reviewer=False)
REV = Caller("rev", editor=False, reviewer=True)
BOTH = Caller("both", editor=True, reviewer=True)
NOBODY = Caller("joe", editor=False, reviewer=False)
ON = Config(True, "c1-editors", "c1-reviewers", frozenset(("ed",)))
OFF = ON._replace(review=False)

STATUSES = (None, "work-in-progress", "to-review", "signed")
NO_EDITORS = "403 Not in c1-editors group"
NO_REVIEWERS = "403 Not in c1-reviewers group"


def told(old: dict[str, Any] | None, new: dict[str, Any], caller: Caller, config: Config) -> str:
    """The step that is taken, or the refusal."""
    try:
        return step_of(old, new, caller, config).name
    except ProtocolError as error:
        errno = "" if (error.status, error.errno) in ((400, 109), (403, 121)) else f" ({error.errno})"
        return f"{error.status}{errno} {error.message}"


def of(status: str | None, **more: Any) -> dict[str, Any]:
    return more if status is None else {"status": status, **more}


TABLE = [
    # before, wanted, caller, review on, review off
    ("work-in-progress", "work-in-progress", NOBODY, "NOTHING", "NOTHING"),
    ("signed", "signed", NOBODY, "NOTHING", "NOTHING"),
    (None, None, NOBODY, "NOTHING", "NOTHING"),
    ("to-review", "to-review", NOBODY, "NOTHING", "NOTHING"),
    *[(status, None, BOTH, *["400 Cannot remove status"] * 2) for status in STATUSES[1:]],
    *[(status, "work-in-progress", NOBODY, "NOTHING", "NOTHING") for status in (None, "signed")],
    ("to-review", "work-in-progress", NOBODY, "DECLINE", "DECLINE"),
    *[(status, "to-review", ED, "REQUEST", "REQUEST") for status in (None, "work-in-progress", "signed")],
    *[(status, "to-review", REV, NO_EDITORS, "REQUEST") for status in (None, "work-in-progress", "signed")],
    *[("signed", "to-sign", caller, *["400 Collection already signed"] * 2) for caller in (ED, REV, NOBODY)],
    *[(status, "to-sign", ED, NO_REVIEWERS, "APPROVE") for status in STATUSES[:3]],
    *[(status, "to-sign", REV, "400 Collection not under review", "APPROVE") for status in STATUSES[:2]],
    ("to-review", "to-sign", REV, "APPROVE", "APPROVE"),
    *[(status, "signed", BOTH, *["400 Cannot set status to 'signed'"] * 2) for status in STATUSES[:3]],
    *[(status, "to-resign", NOBODY, "RESIGN", "RESIGN") for status in STATUSES],
    ("signed", "to-rollback", BOTH, *["400 Collection has no work-in-progress"] * 2),
    *[(status, "to-rollback", NOBODY, "ROLL_BACK", "ROLL_BACK") for status in STATUSES[:3]],
    *[(status, "x", BOTH, *["400 Invalid status 'x'"] * 2) for status in STATUSES],
    ("signed", "", BOTH, *["400 Invalid status ''"] * 2),
    ("signed", 3, BOTH, *["400 Invalid status '3'"] * 2),
    ("signed", ["to-sign"], BOTH, *["400 Invalid status \"['to-sign']\""] * 2),
]


@pytest.mark.parametrize(("before", "wanted", "caller", "on", "off"), TABLE)
def test_a_row_of_the_table(before: Any, wanted: Any, caller: Caller, on: str, off: str) -> None:
    assert told(of(before), of(wanted), caller, ON) == on
    assert told(of(before), of(wanted), caller, OFF) == off


def test_every_status_is_in_the_table_with_every_other() -> None:
    asked = {(before, wanted) for before, wanted, *_ in TABLE if isinstance(wanted, str | None)}
    wanted = {"to-review", "to-sign", "signed", "work-in-progress", "to-resign", "to-rollback", None}
    same = {(status, status) for status in STATUSES}
    assert {(one, other) for one in STATUSES for other in wanted} - same <= asked


CREATIONS = [
    (None, BOTH, "CREATE", "CREATE"),
    ("work-in-progress", NOBODY, "CREATE", "CREATE"),
    ("to-sign", NOBODY, NO_REVIEWERS, "CREATE"),
    ("to-review", NOBODY, NO_EDITORS, "CREATE"),
    ("to-resign", NOBODY, "CREATE", "CREATE"),
    ("to-rollback", NOBODY, "CREATE", "CREATE"),
    ("signed", BOTH, *["400 Cannot set status to 'signed'"] * 2),
    ("x", BOTH, *["400 Invalid status 'x'"] * 2),
]


@pytest.mark.parametrize(("wanted", "caller", "on", "off"), CREATIONS)
def test_a_source_is_created(wanted: Any, caller: Caller, on: str, off: str) -> None:
    assert told(None, of(wanted), caller, ON) == on
    assert told(None, of(wanted), caller, OFF) == off


def test_nobody_reviews_what_they_asked_for_or_wrote() -> None:
    asked = of("to-review", last_review_request_by="both")
    wanted = of("to-sign", last_review_request_by="both")
    assert told(asked, wanted, BOTH, ON) == "403 Last editor cannot review"
    assert told(asked, wanted, BOTH, OFF) == "APPROVE"
    assert told(asked, wanted, REV, ON) == "APPROVE"
    wrote = ON._replace(edited_by=frozenset(("ed", "rev")))
    assert told(asked, wanted, REV, wrote) == "403 Last editor cannot review"


@pytest.mark.parametrize("field", TRACKING)
def test_tracking_fields_are_read_only(field: str) -> None:
    refused = f"400 Cannot change '{field}'"
    for old, new in (({}, {field: "x"}), ({field: "x"}, {}), ({field: "x"}, {field: "y"})):
        assert told(of("signed", **old), of("signed", **new), BOTH, ON) == refused
    assert told(None, {field: "x"}, BOTH, ON) == refused
    assert told(of("signed", **{field: "x"}), of("signed", **{field: "x"}), BOTH, ON) == "NOTHING"


def test_a_status_is_looked_at_before_the_tracking_fields() -> None:
    assert told(of("signed"), of("x", last_edit_by="me"), BOTH, ON) == "400 Invalid status 'x'"


NOW = datetime(2026, 11, 22, 18, 34, 58, 494512, tzinfo=UTC)
DATE = "2026-11-22T18:34:58.494512+00:00"
SIGNATURE = {"last_signature_by": "me", "last_signature_date": DATE}
REQUEST = {"status": "to-review", "last_review_request_by": "me", "last_review_request_date": DATE}
NO_COMMENTS = {"last_editor_comment": "", "last_reviewer_comment": ""}

OUTCOMES = [
    (Step.CREATE, False, False, {"status": "signed", **SIGNATURE}),
    (Step.REQUEST, True, False, {**REQUEST, "last_editor_comment": ""}),
    (Step.REQUEST, True, True, REQUEST),
    (Step.REQUEST, False, False, REQUEST),
    (
        Step.APPROVE,
        True,
        False,
        {"status": "signed", "last_review_by": "me", "last_review_date": DATE, **SIGNATURE},
    ),
    (Step.RESIGN, True, False, {"status": "work-in-progress", **SIGNATURE}),
    (
        Step.ROLL_BACK,
        True,
        False,
        {"status": "signed", "last_edit_by": "me", "last_edit_date": DATE, **NO_COMMENTS},
    ),
    (Step.DECLINE, True, False, {}),
]


@pytest.mark.parametrize(("step", "preview", "commented", "fields"), OUTCOMES)
def test_what_a_step_sets(step: Step, preview: bool, commented: bool, fields: dict[str, Any]) -> None:
    old, new = of("work-in-progress"), of("to-resign")
    assert outcome(step, old, new, "me", NOW, preview=preview, commented=commented) == fields


def test_what_an_edit_sets() -> None:
    assert edited("me", NOW) == {"status": "work-in-progress", "last_edit_by": "me", "last_edit_date": DATE}
