"""Plain writes of a batch are made ready together; nobody can tell it from each going its way by itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintoun.model import timestamps
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import RECORD
from kintoun.model.paths import collection_path
from kintoun.plugin import Plugin
from kintoun.resources.context import Work
from tests.support.inprocess import FEATURES, App, Databases, opened, principal, reset, settings_for

NOW = 1_700_000_000_000
NEW_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|(?<![\w-])[A-Za-z0-9][\w-]{7}(?![\w-])"
)
"""What the server makes up, and some words that are the same in both."""

COLLECTION = "/buckets/b/collections/c"
LISTS = (f"{COLLECTION}/records", "/v1/buckets/b/collections/strict/records", "/buckets/b/groups")
ODD_LISTS = ("/buckets/b/collections/none/records", "/buckets/b/collections", "/buckets/b%2f/groups")


class Meddler(Plugin):
    """Refuses some records, and changes the collection of others while they are written."""

    name = "meddler"

    def __init__(self, *, gated: bool) -> None:
        self._gated = gated

    def setup(self, registry: Any, settings: Any) -> None:
        async def hook(work: Work, change: Change) -> None:
            if '"veto"' in change.new_body:
                raise ProtocolError(403, FORBIDDEN, "Not this one.")
            if '"close"' in change.new_body:
                path = collection_path(*change.path.ids[:2])
                own = await work.unit.object(path)
                assert own is not None
                await work.unit.put(path, {**json.loads(own.body), "closed": True}, '{"write":["nobody"]}')

        async def gate(_context: Any, _request: Any) -> None:
            """Nothing to say; but each request of a batch has to come by."""

        registry.before_commit(hook, RECORD)
        if self._gated:
            registry.gate(gate)


names = st.sampled_from(("r1", "r2", "r3", "-", "x" * 300, "tom\u00e9"))
values = st.sampled_from((1, "veto", "close", "text", [1], None))
data = st.fixed_dictionaries(
    {},
    optional={
        "n": values,
        "title": values,
        "id": names,
        "last_modified": st.sampled_from((NOW, 5, "x")),
        "members": st.just(["bob"]),
    },
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "data": st.one_of(data, data, data, st.sampled_from((None, [], 3))),
        "permissions": st.sampled_from(({}, {"read": ["bob"]}, {"fly": []}, {"write": 1})),
    },
)
lists = st.one_of(st.sampled_from(LISTS), st.sampled_from(LISTS), st.sampled_from(ODD_LISTS))
queries = st.sampled_from(("", "", "", "?a=b"))
headers = st.sampled_from(({}, {}, {}, {"If-None-Match": "*"}, {"If-Match": '"1"'}, {"Accept": "text/plain"}))
posts = st.builds(
    lambda path, query, body, more: {"method": "POST", "path": path + query, "body": body, "headers": more},
    lists, queries, bodies, headers,
)  # fmt: skip
others = st.builds(
    lambda method, path, name, query, body, more: {
        "method": method, "path": f"{path}/{name}{query}", "body": body, "headers": more,
    },
    st.sampled_from(("PUT", "PUT", "PUT", "PATCH", "DELETE")), lists, names, queries, bodies, headers,
)  # fmt: skip
plain = st.builds(lambda item: {k: v for k, v in item.items() if k != "headers"}, st.one_of(posts, others))
items = st.one_of(plain, plain, posts, others)
batches = st.lists(items, min_size=1, max_size=12)
callers = st.sampled_from(("alice", "alice", "bob", None))
outer = st.sampled_from(({}, {}, {"Origin": "https://example.org"}, {"If-None-Match": "*"}))


async def prepare(app: App) -> None:
    await reset(app, ("history",))
    app.forget()
    await app.ok("PUT /buckets/b")
    create = {"record:create": [principal("bob")]}
    await app.ok(f"PUT {COLLECTION}", {"permissions": create})
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    strict = {"data": {"schema": schema}, "permissions": create}
    await app.ok("PUT /buckets/b/collections/strict", strict)


async def outcome(app: App, batch: list[Any], user: str | None, more: dict[str, str]) -> list[str]:
    """All that a batch leads to: its answer, what is stored, what hooks were told. New ids are numbered."""
    answer = await app.call("POST /batch", {"requests": batch}, user=user, headers=more)
    fetch = app.application.composition.service.store.engine.fetch
    objects = await fetch(
        "SELECT k.path, o.id, o.ts, o.deleted, o.body, o.grants FROM object o JOIN clock k ON k.list = o.list"
    )
    clocks = await fetch("SELECT path, ts, version, live, dead, bytes FROM clock")
    history = await fetch("SELECT ts, body, name, since, became, old_body FROM history")
    numbers: dict[str, str] = {}

    def numbered(value: Any) -> str:
        text = re.sub(r'"date":"[^"]*"', "", repr(value))
        return NEW_ID.sub(lambda found: numbers.setdefault(found[0], f"new-{len(numbers)}"), text)

    told = [numbered((answer.status_code, answer.json())), *map(numbered, app.changes)]
    return told + sorted(numbered(tuple(row)) for row in (*objects, *clocks, *history))


class Pair:
    """Two applications that differ in nothing but the way that batches go."""

    def __init__(self, runner: asyncio.Runner, apps: list[App]) -> None:
        self._runner = runner
        self._apps = apps

    def outcomes(self, *of: Any) -> list[list[str]]:
        async def each() -> list[list[str]]:
            found = []
            for app in self._apps:
                await prepare(app)
                found.append(await outcome(app, *of))
            return found

        return self._runner.run(each())


@asynccontextmanager
async def both(databases: Databases, engine: str) -> AsyncIterator[list[App]]:
    features = [*FEATURES, "history"]
    one = settings_for(databases.url(engine, "plain"), features=features)
    other = settings_for(databases.url(engine, "gated"), features=features)
    async with opened(one, Meddler(gated=False)) as first, opened(other, Meddler(gated=True)) as second:
        yield [first, second]


@pytest.fixture
def pair(databases: Databases, engine: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(timestamps, "now", lambda: NOW)
    with asyncio.Runner() as runner:
        opening = both(databases, engine)
        apps = runner.run(opening.__aenter__())
        yield Pair(runner, apps)
        runner.run(opening.__aexit__(None, None, None))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(batch=batches, user=callers, more=outer)
def test_a_batch_comes_to_the_same_whichever_way_its_writes_go(
    pair: Pair, batch: list[Any], user: str | None, more: dict[str, str]
) -> None:
    ours, gated = pair.outcomes(batch, user, more)
    assert ours == gated
