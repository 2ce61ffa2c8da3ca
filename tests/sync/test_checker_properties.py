"""The checker on histories that nobody wrote by hand: never a false alarm, and no damage overlooked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.sync.checker import check, explain
from tests.sync.history import History, Operation
from tests.sync.model_server import ModelServer

LIST = "/buckets/b/collections/c/records"
CLIENTS = 4


@dataclass
class Pending:
    """A client's request under way: asked, then done, then answered, with the others in between."""

    operation: Operation
    user: str = "alice"
    answer: Any = None
    done: bool = False


@dataclass
class World:
    """A serial server and clients whose requests overlap; whatever it produces keeps every clause."""

    server: ModelServer = field(default_factory=ModelServer)
    history: History = field(default_factory=lambda: History(owners={LIST: "alice"}))
    pending: dict[int, Pending] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    moment: int = 0

    def advance(self, client: int, wish: tuple[str, int, bool]) -> None:
        self.moment += 1
        pending = self.pending.get(client)
        if pending is None:
            self.pending[client] = Pending(self._ask(client, *wish))
        elif not pending.done:
            op = pending.operation
            headers = {name.lower(): value for name, value in op.headers.items()}
            pending.answer = self.server.apply(op.method, op.path, op.user, headers, op.sent)
            pending.done = True
        else:
            self._answer(client, pending)
            del self.pending[client]

    def finish(self) -> History:
        for client in [*self.pending, *self.pending]:
            if client in self.pending:
                self.advance(client, ("", 0, False))
        return self.history

    def _ask(self, client: int, method: str, number: int, conditional: bool) -> Operation:
        path, headers, sent = f"{LIST}/r{number}", {}, None
        if method in ("PUT", "PATCH"):
            sent = {"data": {"token": f"t{self.moment}", "home": LIST}}
        if conditional and method != "GET":
            known = self.known.get(f"r{number}")
            headers = {"If-Match": f'"{known}"'} if known else {"If-None-Match": "*"}
        if method == "POLL":
            method, path, headers = "GET", f"{LIST}?_since=%22{self.held.get(client, 0)}%22", {}
        elif method in ("LIST", "SWEEP"):
            method, path, headers = "GET" if method == "LIST" else "DELETE", LIST, {}
        return self.history.invoke(
            f"client-{client}", method, path, user="alice", headers=headers, sent=sent, at=self.moment
        )

    def _answer(self, client: int, pending: Pending) -> None:
        status, headers, answer = pending.answer
        etag = int(headers["ETag"].strip('"')) if "ETag" in headers else None
        operation = pending.operation
        self.history.answer(operation, status, answer, etag=etag, at=self.moment)
        if operation.method == "GET" and "_since" in operation.path and etag is not None:
            self.held[client] = etag
        if status in (200, 201) and isinstance(answer["data"], dict):
            self.known[answer["data"]["id"]] = answer["data"]["last_modified"]


METHODS = st.sampled_from(["PUT", "PUT", "PATCH", "DELETE", "GET", "POLL", "POLL", "LIST", "SWEEP"])
WISHES = st.tuples(METHODS, st.integers(0, 2), st.booleans())
STEPS = st.lists(st.tuples(st.integers(0, CLIENTS - 1), WISHES), min_size=10, max_size=120)


def play(steps: list[tuple[int, tuple[str, int, bool]]]) -> History:
    world = World()
    for client, wish in steps:
        world.advance(client, wish)
    return world.finish()


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_false_alarm(steps: list[tuple[int, tuple[str, int, bool]]]) -> None:
    history = play(steps)
    violations = check(history)
    assert not violations, explain(history, violations)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_nothing_can_be_left_out_of_a_list(steps: list[tuple[int, tuple[str, int, bool]]], dice: Any) -> None:
    history = play(steps)
    lists = [op for op in history.operations if op.method == "GET" and op.status == 200]
    lists = [op for op in lists if isinstance(op.answer["data"], list) and op.answer["data"]]
    assume(lists)
    damaged = dice.choice(lists)
    damaged.answer = {"data": list(damaged.answer["data"])}
    damaged.answer["data"].remove(dice.choice(damaged.answer["data"]))
    assert "S1" in {violation.clause for violation in check(history)}


@settings(max_examples=100, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_no_acknowledged_write_can_be_undone(
    steps: list[tuple[int, tuple[str, int, bool]]], dice: Any
) -> None:
    """A write that never took effect but was acknowledged breaks whoever looks at the list afterwards."""
    world = World()
    for client, wish in steps:
        world.advance(client, wish)
    world.finish()
    assume(any(op.method == "PUT" and op.status == 201 for op in world.history.operations))
    rows = world.server._lists[LIST]
    victim = dice.choice(list(rows.rows))
    del rows.rows[victim]
    world.advance(0, ("POLL", 0, False))
    world.pending[0].operation.path = f"{LIST}?_since=%221%22"
    world.finish()
    assert "S1" in {violation.clause for violation in check(world.history)}
