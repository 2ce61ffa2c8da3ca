"""The versions that a history speaks of: each list's committed states, as far as any answer showed them.

A version is one state of one object, known by its list and its timestamp. It is committed when a write was
acknowledged with it or when any read showed it; a write whose answer was lost is committed once it was seen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.sync.history import NEVER, Operation
from tests.sync.steps import READS, Step, list_items

GRACE = 5_000_000_000
"""How long a request may still have its effect after its connection was lost (nanoseconds)."""

_MUTATIONS = frozenset({"PUT", "POST", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise: the clause, the list, what was seen, and the operations that show it."""

    clause: str
    list_path: str
    text: str
    operations: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.clause} {self.list_path}: {self.text}"


@dataclass(slots=True)
class Version:
    """One committed state.

    ``write`` is the step that was acknowledged with it, ``seen`` what first showed it, ``origin`` the step it
    comes from, acknowledged or not.
    """

    id: str
    ts: int
    deleted: bool
    data: dict[str, Any]
    seen: Operation
    write: Step | None = None
    origin: Step | None = None

    @property
    def began(self) -> int:
        """The earliest moment at which it can have been committed (nanoseconds; 0 when not known)."""
        return self.origin.op.invoked if self.origin is not None else 0

    def __str__(self) -> str:
        state = "deleted" if self.deleted else self.data.get("token", "live")
        by = f" by {self.origin}" if self.origin is not None else ""
        return f"{self.id}@{self.ts} ({state}){by}"


@dataclass(slots=True)
class ListVersions:
    """All versions of one list."""

    name: str
    at: dict[int, Version] = field(default_factory=dict)
    ordered: list[Version] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    of: dict[str, list[Version]] = field(default_factory=dict)
    uncertain: dict[str, list[Step]] = field(default_factory=dict)
    uncertain_all: list[Step] = field(default_factory=list)

    def between(self, since: int, until: int) -> list[Version]:
        """The versions with ``since < ts <= until``, oldest first."""
        return self.ordered[bisect_right(self.stamps, since) : bisect_right(self.stamps, until)]

    def latest(self, object_id: str, until: int) -> Version | None:
        """The object's last version with ``ts <= until``."""
        chain = self.of.get(object_id, [])
        place = bisect_right(chain, until, key=lambda version: version.ts)
        return chain[place - 1] if place else None

    def previous(self, version: Version) -> Version | None:
        chain = self.of[version.id]
        place = bisect_left(chain, version.ts, key=lambda other: other.ts)
        return chain[place - 1] if place else None

    def may_have_changed(self, object_id: str, since: int, until: int) -> bool:
        """Whether a write with a lost answer, never seen, can have touched the object in that time."""
        return any(
            step.op.invoked <= until and _latest_effect(step) >= since
            for step in (*self.uncertain.get(object_id, ()), *self.uncertain_all)
        )

    def certain_count(self, etag: int, until: int) -> bool:
        """Whether all that led to an ETag shown before ``until`` is known, unanswered writes included."""
        if any(step.op.invoked <= until for step in self.uncertain_all):
            return False
        for object_id, steps in self.uncertain.items():
            latest = self.latest(object_id, etag)
            began = latest.began if latest is not None else 0
            if any(step.op.invoked <= until and began <= _latest_effect(step) for step in steps):
                return False
        return True


def _latest_effect(step: Step) -> int:
    """The last moment at which a write with a lost answer can have been committed (nanoseconds)."""
    if step.op.answered is not None:
        return step.op.answered + GRACE
    return step.op.lost + GRACE if step.op.lost is not None else NEVER


class Versions:
    """The versions of every list, and what contradicted itself while they were collected."""

    def __init__(self, steps: list[Step]) -> None:
        self.lists: dict[str, ListVersions] = {}
        self.violations: list[Violation] = []
        self.tokens: dict[str, Step] = {}
        self.by_token: dict[str, Version] = {}
        for step in steps:
            if step.method in _MUTATIONS and step.token is not None:
                self.tokens[step.token] = step
        for step in steps:
            for item in written_items(step):
                self._add(step, item, acknowledged=True)
        for step in steps:
            for item in shown_items(step):
                self._add(step, item, acknowledged=False)
        self._order()
        self._collect_uncertain(steps)

    def of(self, name: str) -> ListVersions:
        return self.lists.setdefault(name, ListVersions(name))

    def _add(self, step: Step, item: dict[str, Any], *, acknowledged: bool) -> None:
        ts, object_id = item.get("last_modified"), item.get("id")
        if not isinstance(ts, int) or not isinstance(object_id, str):
            self._report("X2", step, f"an answer has an object without id or timestamp: {item!r}")
            return
        versions = self.of(step.list_path)
        known = versions.at.get(ts)
        if known is None:
            origin = step if acknowledged else self._origin(step, item)
            version = Version(object_id, ts, item.get("deleted") is True, item, step.op, origin=origin)
            version.write = step if acknowledged else None
            versions.at[ts] = version
            return
        if acknowledged and known.write is not None:
            self._report(
                "S2", step, f"timestamp {ts} was given to two writes: {known.write} and {step}", known
            )
        elif known.id != object_id:
            self._report("S2", step, f"timestamp {ts} belongs to {known.id} and to {object_id}", known)
        elif known.data != item:
            text = f"{object_id} at {ts} was {known.data!r} and is {item!r} in {step}"
            self._report("S6" if known.deleted != (item.get("deleted") is True) else "X2", step, text, known)

    def _origin(self, step: Step, item: dict[str, Any]) -> Step | None:
        """The write that a version seen without an acknowledgement comes from, by its token."""
        token = item.get("token")
        if token is None or item.get("deleted") is True:
            return None
        origin = self.tokens.get(token)
        if origin is None or origin.list_path != step.list_path or origin.target not in (None, item["id"]):
            self._report(
                "X2", step, f"{item['id']} at {item['last_modified']} carries {token!r}, never written there"
            )
        return origin

    def _report(self, clause: str, step: Step, text: str, known: Version | None = None) -> None:
        numbers = (step.op.number,) if known is None else (known.seen.number, step.op.number)
        self.violations.append(Violation(clause, step.list_path, text, numbers))

    def _order(self) -> None:
        for versions in self.lists.values():
            versions.ordered = sorted(versions.at.values(), key=lambda version: version.ts)
            versions.stamps = [version.ts for version in versions.ordered]
            chains: defaultdict[str, list[Version]] = defaultdict(list)
            by_token: dict[str, Version] = {}
            for version in versions.ordered:
                chains[version.id].append(version)
                token = version.data.get("token")
                if token is None or (version.write is not None and version.write.token != token):
                    continue
                if token in by_token:
                    first = by_token[token]
                    text = f"one write was done twice: {first} and {version}"
                    numbers = (first.seen.number, version.seen.number)
                    self.violations.append(Violation("X2", versions.name, text, numbers))
                by_token.setdefault(token, version)
            versions.of = dict(chains)
            self.by_token.update(by_token)

    def _collect_uncertain(self, steps: list[Step]) -> None:
        for step in steps:
            if step.method not in _MUTATIONS or not step.unknown or step.op.labels.get("unsent"):
                continue
            if step.token in self.by_token:
                continue
            versions = self.of(step.list_path)
            if step.object is None and step.method == "DELETE":
                versions.uncertain_all.append(step)
            elif step.target is not None:
                versions.uncertain.setdefault(step.target, []).append(step)


def written_items(step: Step) -> Iterator[dict[str, Any]]:
    """The states that an acknowledged write reports as its own."""
    if not step.done or step.method not in _MUTATIONS or not isinstance(step.answer, dict):
        return
    if step.object is None and step.method == "DELETE":
        yield from list_items(step.answer)
    elif step.status == 201 or step.method != "POST":
        yield step.answer["data"]


def shown_items(step: Step) -> Iterator[dict[str, Any]]:
    """The states that an answer shows without having made them."""
    if not isinstance(step.answer, dict):
        return
    if step.status == 412:
        existing = (step.answer.get("details") or {}).get("existing")
        if existing is not None:
            yield existing
    elif step.done and step.method in READS:
        data = step.answer.get("data")
        yield from [data] if isinstance(data, dict) else list_items(step.answer)
    elif step.status == 200 and step.method == "POST":
        yield step.answer["data"]
