"""What writes did: one after another on each object (S4, S6), batches whole (S2, S5), none refused (X1)."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.sync.history import NEVER
from tests.sync.steps import Step, sent_data
from tests.sync.versions import ListVersions, Version, Violation, written_items

if TYPE_CHECKING:
    from tests.sync.checker import Evidence

_OWN = ("id", "last_modified")


def _violation(clause: str, step: Step, text: str, other: Version | None = None) -> Violation:
    numbers = (step.op.number,) if other is None else (other.seen.number, step.op.number)
    return Violation(clause, step.list_path, text, numbers)


def succession(evidence: Evidence) -> Iterator[Violation]:
    """S4, S6, X2: each acknowledged write is what it says it is, done on the version before it."""
    for versions in evidence.versions.lists.values():
        for version in versions.ordered:
            if version.write is not None:
                yield from _check_content(version, version.write)
                before = versions.previous(version)
                since = before.began if before is not None else 0
                if not versions.may_have_changed(version.id, since, version.write.op.end):
                    yield from _check_predecessor(version, version.write, before)


def _check_content(version: Version, step: Step) -> Iterator[Violation]:
    content = {name: value for name, value in version.data.items() if name not in _OWN}
    if step.method == "DELETE":
        if not version.deleted or content != {"deleted": True}:
            yield _violation("S6", step, f"{step} answered {version.data!r}, not a tombstone")
    elif version.deleted:
        yield _violation("S6", step, f"{step} answered with a tombstone")
    elif step.method in ("PUT", "POST") and "data" in (step.sent or {}):
        wanted = {name: value for name, value in sent_data(step.sent).items() if name not in _OWN}
        if content != wanted:
            yield _violation("X2", step, f"{step} sent {wanted!r} and was answered {content!r}")


def _check_predecessor(version: Version, step: Step, before: Version | None) -> Iterator[Violation]:
    alive = before is not None and not before.deleted
    if step.status == 201 and alive:
        yield _violation("S6", step, f"{step} made {version}, though {before} was alive", before)
    elif step.status == 200 and not alive:
        yield _violation(
            "S6", step, f"{step} changed {version.id}, which did not exist: before it was {before}", before
        )
    if (
        step.if_match is not None
        and step.object is not None
        and (before is None or before.ts != step.if_match)
    ):
        yield _violation("S4", step, f"{step} If-Match {step.if_match} was done on top of {before}", before)
    if step.headers.get("if-none-match") == "*" and alive:
        yield _violation("S4", step, f"{step} If-None-Match * was done on top of {before}", before)
    if step.method == "PATCH" and before is not None and alive:
        merged = {**before.data, **sent_data(step.sent)}
        if _without_stamp(merged) != _without_stamp(version.data):
            text = f"{step} made {version.data!r} on top of {before.data!r}: a write between them was lost"
            yield _violation("S4", step, text, before)


def _without_stamp(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "last_modified"}


def preconditions(evidence: Evidence) -> Iterator[Violation]:
    """S4: with one ``If-Match`` at most one write is done, and none is refused without cause."""
    winners: defaultdict[tuple[str, str, int], list[Step]] = defaultdict(list)
    for step in evidence.steps:
        target = step.target
        if target is None:
            continue
        if step.done and step.if_match is not None and step.method in ("PUT", "PATCH", "DELETE"):
            winners[step.list_path, target, step.if_match].append(step)
        if step.status in (404, 412):
            yield from _check_refusal(evidence, step, target)
    for (name, target, etag), steps in winners.items():
        if len(steps) > 1:
            text = f'{len(steps)} writes of {target} with If-Match "{etag}" were done: ' + ", ".join(
                map(str, steps)
            )
            yield Violation("S4", name, text, tuple(step.op.number for step in steps))


def _check_refusal(evidence: Evidence, step: Step, target: str) -> Iterator[Violation]:
    versions = evidence.versions.of(step.list_path)
    if step.if_match is not None and step.status == 412:
        still = _certain(versions, target, step)
        if still is not None and not still.deleted and still.ts == step.if_match:
            yield _violation("S4", step, f"{step} was refused, though {still} was the current version", still)
    elif step.headers.get("if-none-match") == "*" and step.status == 412:
        if not versions.may_have_changed(target, 0, step.op.end) and not any(
            not version.deleted and version.began < step.op.end for version in versions.of.get(target, [])
        ):
            yield _violation("S4", step, f"{step} was refused, though {target} never existed")
    elif step.status == 404:
        still = _certain(versions, target, step)
        if still is not None and not still.deleted:
            yield _violation("S1", step, f"{step} did not find {still}", still)


def _certain(versions: ListVersions, target: str, step: Step) -> Version | None:
    """The version that was current during the whole of a step, when there certainly was one."""
    chain = versions.of.get(target, [])
    shown = [version for version in chain if version.seen.end < step.op.invoked]
    if not shown or versions.may_have_changed(target, shown[-1].began, step.op.end):
        return None
    place = bisect_right(chain, shown[-1].ts, key=lambda version: version.ts)
    return shown[-1] if all(version.began > step.op.end for version in chain[place:]) else None


def refusals(evidence: Evidence) -> Iterator[Violation]:
    """X1: while nothing fails, every request is answered, and a write without a precondition is done."""
    history = evidence.history
    for step in evidence.steps:
        last = step.op.answered or step.op.lost or step.op.invoked
        if history.fault_between(step.op.invoked, last) or step.op.labels.get("cut"):
            continue
        if step.status is None:
            if step.op.error is not None:
                yield _violation("X1", step, f"{step} was not answered: {step.op.error}")
        elif step.status >= 500 or step.status == 409:
            yield _violation("X1", step, f"{step} was refused: {step.answer!r}")
        elif step.status == 412 and not step.conditional:
            yield _violation("X1", step, f"{step} has no precondition and was refused")
        elif step.status >= 400 and not _expected(evidence, step):
            yield _violation("X1", step, f"{step} was refused: {step.answer!r}")


def _expected(evidence: Evidence, step: Step) -> bool:
    if step.status == 404:
        return step.method not in ("PUT", "POST")
    return step.status == 412 or evidence.history.owners.get(step.list_path, step.op.user) != step.op.user


def list_deletes(evidence: Evidence) -> Iterator[Violation]:
    """S6: deleting a whole list deletes everything that was certainly there and left alone meanwhile."""
    for step in evidence.steps:
        if step.method != "DELETE" or step.object is not None or step.query or step.status != 200:
            continue
        if step.op.next_page is not None or step.index is not None:
            continue
        versions = evidence.versions.of(step.list_path)
        gone = {item.get("id") for item in written_items(step)}
        for object_id in versions.of:
            still = _certain_but(versions, object_id, step)
            if object_id not in gone and still is not None and not still.deleted:
                yield _violation("S6", step, f"{step} left {still} alive", still)


def _certain_but(versions: ListVersions, object_id: str, step: Step) -> Version | None:
    """Like `_certain`, for a write whose own tombstone is not counted."""
    chain = [version for version in versions.of[object_id] if version.origin is not step]
    shown = [version for version in chain if version.seen.end < step.op.invoked]
    if not shown or versions.may_have_changed(object_id, shown[-1].began, step.op.end):
        return None
    if any(version.began <= step.op.end for version in chain if version.ts > shown[-1].ts):
        return None
    return shown[-1]


def batches(evidence: Evidence) -> Iterator[Violation]:
    """S2, S5: the writes of a batch follow one another, nobody else's among them, and are seen together."""
    groups: defaultdict[int, list[Step]] = defaultdict(list)
    for step in evidence.steps:
        if step.index is not None:
            groups[step.op.number].append(step)
    etags: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for listing in evidence.listings:
        if listing.etag is not None:
            etags[listing.list_path].append((listing.etag, listing.pages[0].op.number))
    for found in etags.values():
        found.sort()
    for steps in groups.values():
        if steps[0].op.status == 200:
            yield from _check_whole(evidence, steps, etags)
        else:
            yield from _check_half(evidence, steps)


def _check_whole(
    evidence: Evidence, steps: list[Step], etags: dict[str, list[tuple[int, int]]]
) -> Iterator[Violation]:
    stamps: defaultdict[str, list[int]] = defaultdict(list)
    for step in steps:
        if step.status is None or step.status >= 500 or step.status == 409:
            yield _violation("S5", step, f"{step} failed inside a batch that was answered 200")
        stamps[step.list_path] += sorted(item["last_modified"] for item in written_items(step))
    for name, taken in stamps.items():
        if not taken:
            continue
        between = evidence.versions.of(name).between(taken[0] - 1, max(taken))
        if [version.ts for version in between] != taken:
            others = [str(version) for version in between if version.ts not in taken]
            text = f"batch #{steps[0].op.number} took {taken}, in this order; among them are {others}"
            yield Violation("S2", name, text, (steps[0].op.number,))
        seen = etags.get(name, [])
        place = bisect_right(seen, (taken[0], -1))
        if place < len(seen) and seen[place][0] < taken[-1]:
            text = f"ETag {seen[place][0]} is inside batch #{steps[0].op.number} with the timestamps {taken}"
            yield Violation("S5", name, text, (steps[0].op.number, seen[place][1]))


def _check_half(evidence: Evidence, steps: list[Step]) -> Iterator[Violation]:
    """Of a batch that was not answered 200: when one write was ever seen, the others were done too."""
    by_token = evidence.versions.by_token
    anchor = next((step for step in steps if step.token in by_token), None)
    if anchor is None:
        return
    known = by_token[anchor.token or ""]
    for step in steps:
        target = step.target
        if step is anchor or step.list_path != anchor.list_path or step.token is None or target is None:
            continue
        if step.conditional or step.method not in ("PUT", "POST"):
            continue
        least = min(known.ts, known.ts - ((anchor.index or 0) - (step.index or 0)))
        until = _first_sight(evidence, step.list_path, least, known.ts)
        latest = evidence.versions.of(step.list_path).latest(target, until)
        if latest is None or latest.ts < least:
            text = f"batch #{step.op.number} was half done: {known} is there, {step} is not"
            yield _violation("S5", step, text, known)


def _first_sight(evidence: Evidence, name: str, since: int, until: int) -> int:
    """The ETag of the earliest exact answer that shows every change from before ``since`` to ``until``."""
    etags = (
        listing.etag
        for listing in evidence.listings
        if listing.list_path == name and listing.complete and len(listing.pages) == 1 and not listing.filtered
        if listing.since is not None and listing.etag is not None
        if listing.since < since and until <= listing.etag
    )
    return min(etags, default=NEVER)
