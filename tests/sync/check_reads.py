"""What reads show: whole pages (S1), exact snapshots (S1, S3, S6) and never the past (S2, S3, S10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.sync.history import History, Operation
from tests.sync.steps import READS, Listing, Step
from tests.sync.versions import ListVersions, Version, Violation, shown_items, written_items

if TYPE_CHECKING:
    from tests.sync.checker import Evidence


def pages(evidence: Evidence) -> Iterator[Violation]:
    """S1: every page of a listing carries the ETag of the first."""
    for listing in evidence.listings:
        for page in listing.pages[1:]:
            if page.status == 200 and page.etag != listing.etag:
                number = page.op.labels.get("page")
                text = f"page {number} of {listing} has ETag {page.etag}, the first {listing.etag}"
                yield Violation("S1", listing.list_path, text, (listing.pages[0].op.number, page.op.number))


def listings(evidence: Evidence) -> Iterator[Violation]:
    """S1, S3, S6: a listing shows the state of its ETag, or what changed up to it since the one it names."""
    by_list: defaultdict[str, list[Listing]] = defaultdict(list)
    for listing in evidence.listings:
        if listing.complete and not listing.filtered and listing.etag is not None and not listing.unchanged:
            by_list[listing.list_path].append(listing)
    for name, found in by_list.items():
        versions = evidence.versions.of(name)
        state: dict[str, Version] = {}
        reached = 0
        for listing in sorted(found, key=lambda listing: listing.etag or 0):
            etag = listing.etag or 0
            for version in versions.between(reached, etag):
                if version.deleted:
                    state.pop(version.id, None)
                else:
                    state[version.id] = version
            reached = max(reached, etag)
            expected = state if listing.since is None else _changes(versions, listing.since, etag)
            yield from _compare(versions, listing, expected)


def _changes(versions: ListVersions, since: int, until: int) -> dict[str, Version]:
    return {version.id: version for version in versions.between(since, until)}


def _compare(versions: ListVersions, listing: Listing, expected: dict[str, Version]) -> Iterator[Violation]:
    etag, paged = listing.etag or 0, len(listing.pages) > 1
    shown: dict[str, int] = {}
    for item in listing.items():
        object_id, ts = item.get("id"), item.get("last_modified")
        if not isinstance(object_id, str) or not isinstance(ts, int):
            continue
        if ts > etag and not paged:
            yield _violation("S3", listing, f"{object_id}@{ts} is newer than the ETag", versions.at.get(ts))
        shown[object_id] = max(ts, shown.get(object_id, 0))
        wanted = expected.get(object_id)
        if wanted is None or ts < wanted.ts:
            yield from _stale(versions, listing, object_id, ts)
    for object_id, wanted in expected.items():
        if listing.since is None and object_id not in shown and _deleted_unseen(versions, wanted, listing):
            continue
        if shown.get(object_id, 0) < wanted.ts and not (paged and _superseded(versions, wanted, listing)):
            what = "the tombstone" if wanted.deleted else "the write"
            yield _violation("S1", listing, f"{what} {wanted} is missing", wanted)


def _stale(versions: ListVersions, listing: Listing, object_id: str, ts: int) -> Iterator[Violation]:
    etag = listing.etag or 0
    latest = versions.latest(object_id, etag)
    if latest is None or ts >= latest.ts:
        return
    clause = "S6" if latest.deleted else "S3"
    yield _violation(clause, listing, f"shows {object_id}@{ts}, which {latest} had replaced", latest)


def _deleted_unseen(versions: ListVersions, wanted: Version, listing: Listing) -> bool:
    """Whether a deletion with a lost answer, whose tombstone nobody was shown, may account for an absence."""
    return versions.may_have_changed(wanted.id, wanted.began, listing.answered)


def _superseded(versions: ListVersions, wanted: Version, listing: Listing) -> bool:
    """Whether the object may have been written again before the last page: the next sync brings it."""
    etag = listing.etag or 0
    if any(version.ts > etag and version.began < listing.answered for version in versions.of[wanted.id]):
        return True
    return versions.may_have_changed(wanted.id, listing.invoked, listing.answered)


def _violation(clause: str, listing: Listing, text: str, version: Version | None) -> Violation:
    numbers = [listing.pages[0].op.number]
    if version is not None:
        numbers.insert(0, version.seen.number)
    return Violation(clause, listing.list_path, f"{listing}: {text}", tuple(numbers))


def counts(evidence: Evidence) -> Iterator[Violation]:
    """S3: the Total-Objects of an unfiltered list counts the live objects of its ETag."""
    heads: defaultdict[str, list[Step]] = defaultdict(list)
    for step in evidence.steps:
        if step.method == "HEAD" and step.object is None and step.status == 200 and not step.query:
            heads[step.list_path].append(step)
    for name, found in heads.items():
        versions, live, reached = evidence.versions.of(name), set[str](), 0
        for step in sorted(found, key=lambda step: step.etag or 0):
            for version in versions.between(reached, step.etag or 0):
                (live.discard if version.deleted else live.add)(version.id)
            reached = max(reached, step.etag or 0)
            if step.op.total in (None, len(live)):
                continue
            if versions.certain_count(step.etag or 0, step.op.end):
                text = f"{step} says {step.op.total} objects, there are {len(live)}"
                yield Violation("S3", name, text, (step.op.number,))


class _Floors:
    """The newest state of each list and object that anybody was shown so far, and by which operation."""

    def __init__(self, evidence: Evidence) -> None:
        self.lists: dict[str, tuple[int, Operation]] = {}
        self.objects: dict[tuple[str, str], tuple[int, Operation, bool]] = {}
        self._together: dict[tuple[str, int], list[Version]] = {}
        for name, versions in evidence.versions.lists.items():
            whole: defaultdict[int, list[Version]] = defaultdict(list)
            for version in versions.ordered:
                if version.write is not None and version.write.index is not None:
                    whole[version.write.op.number].append(version)
            for batch in whole.values():
                self._together.update({(name, version.ts): batch for version in batch})

    def raise_to(self, step: Step) -> None:
        if step.etag is not None and step.object is None and step.status != 412:
            self._raise_list(step.list_path, step.etag, step.op)
        for item in (*written_items(step), *shown_items(step)):
            ts, object_id = item.get("last_modified"), item.get("id")
            if not isinstance(ts, int) or not isinstance(object_id, str):
                continue
            self._raise_object(step.list_path, object_id, ts, item.get("deleted") is True, step.op)
            for version in self._together.pop((step.list_path, ts), ()):
                self._raise_object(step.list_path, version.id, version.ts, version.deleted, step.op)

    def _raise_list(self, name: str, ts: int, op: Operation) -> None:
        if ts > self.lists.get(name, (0, op))[0]:
            self.lists[name] = (ts, op)

    def _raise_object(self, name: str, object_id: str, ts: int, deleted: bool, op: Operation) -> None:
        self._raise_list(name, ts, op)
        known = self.objects.get((name, object_id))
        if known is None or ts > known[0]:
            self.objects[name, object_id] = (ts, op, deleted)


def real_time(evidence: Evidence) -> Iterator[Violation]:
    """S2, S3, S6, S10: what a request writes is newer than anything answered before it was sent.

    And what it shows is not older.
    """
    floors = _Floors(evidence)
    moments: list[tuple[int, int, int]] = []
    for number, step in enumerate(evidence.steps):
        moments.append((step.op.invoked, 0, number))
        if step.op.answered is not None:
            moments.append((step.op.answered, 1, number))
    moments.sort()
    before: dict[int, tuple[Any, Any]] = {}
    for _, answered, number in moments:
        step = evidence.steps[number]
        if not answered:
            target = (step.list_path, step.target or "")
            before[number] = (floors.lists.get(step.list_path), floors.objects.get(target))
            continue
        list_floor, object_floor = before.pop(number)
        yield from _check_writes(evidence.history, step, list_floor)
        yield from _check_reads(evidence.history, step, list_floor, object_floor)
        floors.raise_to(step)


def _check_writes(history: History, step: Step, floor: tuple[int, Operation] | None) -> Iterator[Violation]:
    if floor is None:
        return
    ts, earlier = floor
    for item in written_items(step):
        if isinstance(item.get("last_modified"), int) and item["last_modified"] <= ts:
            clause = "S10" if history.fault_between(earlier.end, step.op.invoked) else "S2"
            text = f"{step} was given {item['last_modified']}, though {ts} was shown before it began"
            yield Violation(clause, step.list_path, text, (earlier.number, step.op.number))


def _check_reads(
    history: History,
    step: Step,
    list_floor: tuple[int, Operation] | None,
    object_floor: tuple[int, Operation, bool] | None,
) -> Iterator[Violation]:
    if step.object is None:
        first_page = not step.op.labels.get("page")
        if list_floor is None or step.etag is None or step.method not in READS or not first_page:
            return
        ts, earlier = list_floor
        if step.etag < ts:
            clause = "S10" if history.fault_between(earlier.end, step.op.invoked) else "S3"
            text = f"{step} shows ETag {step.etag}, though {ts} was shown before it began"
            yield Violation(clause, step.list_path, text, (earlier.number, step.op.number))
    elif object_floor is not None:
        ts, earlier, deleted = object_floor
        for item in shown_items(step):
            if item.get("last_modified", ts) < ts:
                clause = "S6" if deleted else "S3"
                clause = "S10" if history.fault_between(earlier.end, step.op.invoked) else clause
                text = f"{step} shows {item.get('last_modified')}, though {ts} was shown before it began"
                yield Violation(clause, step.list_path, text, (earlier.number, step.op.number))
