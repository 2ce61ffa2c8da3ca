"""The record of a run: what each client asked, when, and what it was told.

A history is written by the clients while they run and read by the checker afterwards; neither knows the
other. Times are monotonic nanoseconds of one machine, so that "answered before asked" can be compared across
clients; the wall clock is kept beside them for a reader only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Operation:
    """One request and, when it came, its answer.

    An operation without ``answered`` may or may not have taken effect: its connection was lost, at ``lost``.
    ``labels`` tells the checker what a client meant: ``listing`` groups the pages of one listing, ``page``
    numbers them from 0, ``sync`` names the local copy that the listing was applied to.
    """

    number: int
    client: str
    user: str
    method: str
    path: str
    headers: dict[str, str]
    sent: Any
    labels: dict[str, Any]
    invoked: int
    invoked_wall: float
    answered: int | None = None
    answered_wall: float | None = None
    status: int | None = None
    etag: int | None = None
    next_page: str | None = None
    total: int | None = None
    answer: Any = None
    error: str | None = None
    lost: int | None = None

    @property
    def end(self) -> int:
        """The last moment at which the request can have taken effect (nanoseconds)."""
        return self.answered if self.answered is not None else NEVER

    def __str__(self) -> str:
        conditions = "".join(f" {name}: {value}" for name, value in self.headers.items())
        told = self.error or f"{self.status} ETag {self.etag}"
        return f"#{self.number} {self.client} {self.method} {self.path}{conditions} -> {told}"


NEVER = 1 << 63


@dataclass(slots=True)
class Fault:
    """A time during which the server was made to fail; requests that touch it may go unanswered."""

    name: str
    begin: int
    end: int = NEVER


@dataclass(slots=True)
class History:
    """Everything that happened in one run.

    ``owners`` maps a list (``/buckets/b/collections/c/records``) to the only user who may see it.
    ``quiet`` is the moment after which nobody wrote any more.
    """

    operations: list[Operation] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    quiet: int | None = None

    def invoke(
        self,
        client: str,
        method: str,
        path: str,
        *,
        user: str = "",
        headers: dict[str, str] | None = None,
        sent: Any = None,
        labels: dict[str, Any] | None = None,
        at: int | None = None,
    ) -> Operation:
        """Record that a request is about to be sent."""
        operation = Operation(
            number=len(self.operations),
            client=client,
            user=user,
            method=method,
            path=path,
            headers=dict(headers or {}),
            sent=sent,
            labels=dict(labels or {}),
            invoked=time.monotonic_ns() if at is None else at,
            invoked_wall=time.time(),
        )
        self.operations.append(operation)
        return operation

    def answer(
        self,
        operation: Operation,
        status: int,
        answer: Any = None,
        *,
        etag: int | None = None,
        next_page: str | None = None,
        total: int | None = None,
        at: int | None = None,
    ) -> None:
        """Record the answer to a request."""
        operation.answered = time.monotonic_ns() if at is None else at
        operation.answered_wall = time.time()
        operation.status = status
        operation.answer = answer
        operation.etag = etag
        operation.next_page = next_page
        operation.total = total

    def lose(self, operation: Operation, error: str) -> None:
        """Record that no answer came; the write may still have been done."""
        operation.error = error
        operation.lost = time.monotonic_ns()

    def begin_fault(self, name: str) -> Fault:
        fault = Fault(name, time.monotonic_ns())
        self.faults.append(fault)
        return fault

    def end_fault(self, fault: Fault) -> None:
        fault.end = time.monotonic_ns()

    def fault_between(self, first: int, last: int) -> bool:
        """Whether the server was failing at some moment of ``[first, last]`` (nanoseconds)."""
        return any(fault.begin <= last and fault.end >= first for fault in self.faults)

    def save(self, path: Path) -> None:
        """Write the history as lines of JSON, one event each."""
        with path.open("w") as file:
            for event in self._events():
                file.write(json.dumps(event, separators=(",", ":")) + "\n")

    def _events(self) -> Iterator[dict[str, Any]]:
        yield {"event": "world", "owners": self.owners, "quiet": self.quiet}
        for fault in self.faults:
            yield {"event": "fault", **_fields(fault)}
        for operation in self.operations:
            yield {"event": "operation", **_fields(operation)}

    @classmethod
    def load(cls, path: Path) -> History:
        """Read a history that `save` wrote."""
        history = cls()
        with path.open() as file:
            for line in file:
                event = json.loads(line)
                kind = event.pop("event")
                if kind == "world":
                    history.owners, history.quiet = event["owners"], event["quiet"]
                elif kind == "fault":
                    history.faults.append(Fault(**event))
                else:
                    history.operations.append(Operation(**event))
        return history


def _fields(value: Operation | Fault) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
