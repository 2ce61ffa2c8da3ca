"""Lists as they were, snapshots, and restoring (beyond the protocol)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.test_history import WITH_HISTORY, B, C, R
from tests.support.inprocess import App, Databases, opened, principal, settings_for


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    async with opened(settings_for(databases.url(engine, "history"), features=[*WITH_HISTORY])) as made:
        await made.bait()
        for path in (B, C):
            await made.ok(f"PUT {path}")
        made.forget()
        yield made


async def listed(app: App, query: str = "", **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await app.ok(f"GET {R}{query}", **arguments))["data"]
    return found


async def present(app: App, path: str = R) -> int:
    """The list's timestamp."""
    return int((await app.call(f"HEAD {path}")).headers["ETag"].strip('"'))


# Whatever is done: the state that is read at a time later is the one that was read then.

NAMES = st.sampled_from(("a", "b", "c", "d"))
BODIES = st.fixed_dictionaries({"n": st.integers(0, 3)}, optional={"t": st.sampled_from(("x", "y"))})
READERS = st.sampled_from(([], ["system.Everyone"], [principal("bob")]))
PAST = st.integers(1, 10**12)
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, BODIES, READERS),
    st.tuples(st.just("patch"), NAMES, BODIES),
    st.tuples(st.just("permit"), NAMES, READERS),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("date"), NAMES, PAST),
    st.tuples(st.just("clear"), st.integers(0, 3)),
    st.tuples(st.just("batch"), st.lists(st.tuples(NAMES, BODIES, st.booleans()), max_size=4)),
)


async def take(app: App, step: tuple[Any, ...]) -> None:
    kind, *rest = step
    if kind == "put":
        name, body, readers = rest
        await app.call(f"PUT {R}/{name}", {"data": body, "permissions": {"read": readers}})
    elif kind == "patch":
        await app.call(f"PATCH {R}/{rest[0]}", {"data": rest[1]})
    elif kind == "permit":
        await app.call(f"PATCH {R}/{rest[0]}", {"permissions": {"read": rest[1]}})
    elif kind == "delete":
        await app.call(f"DELETE {R}/{rest[0]}")
    elif kind == "date":
        await app.call(f"PUT {R}/{rest[0]}", {"data": {"last_modified": rest[1]}})
    elif kind == "clear":
        await app.call(f"DELETE {R}?n={rest[0]}")
    else:
        requests = [
            {
                "method": "PUT",
                "path": f"{R}/{name}",
                "body": {"data": body},
                "headers": {} if good else {"If-Match": '"1"'},
            }
            for name, body, good in rest[0]
        ]
        await app.ok("POST /batch", {"requests": requests})


QUERIES = ("", "?_since=0", "?n=1&_sort=t,-n", "?_limit=2&_sort=-n", "?_fields=n&min_n=1")


async def seen(app: App, query: str, at: str = "", user: str | None = "alice") -> tuple[str, str]:
    """A list as a caller sees it, all pages of it, and its ETag."""
    join = "&" if "?" in query else "?"
    url = f"{R}{query}{join + at if at else ''}"
    objects: list[Any] = []
    etag = ""
    while url:
        response = await app.call(f"GET {url}", user=user)
        if response.status_code != 200:
            return str(response.status_code), response.headers.get("ETag", "")
        objects += response.json()["data"]
        etag = response.headers["ETag"]
        url = response.headers.get("Next-Page", "")
    return json.dumps(objects), etag


async def holds(app: App, steps: list[tuple[Any, ...]]) -> None:
    states: dict[str, dict[Any, Any]] = {}
    for step in [None, *steps]:
        if step is not None:
            await take(app, step)
        state: dict[Any, Any] = {query: await seen(app, query) for query in QUERIES}
        state["anyone"] = await seen(app, "", user=None)
        state["total"] = (await app.call(f"HEAD {R}?n=1")).headers["Total-Objects"]
        states[state[""][1].strip('"')] = state
    for time, state in states.items():
        at = f"_at={time}"
        for query in QUERIES:
            assert await seen(app, query, at) == state[query], (time, query, steps)
        if state["anyone"][0] != "401":
            past = await seen(app, "", at, user=None)
            # Whoever sees nothing of it now is told nothing of it at all.
            assert past in (state["anyone"], ("401", "")), (time, steps)
        assert (await app.call(f"HEAD {R}?n=1&{at}")).headers["Total-Objects"] == state["total"]
        unchanged = await app.call(f"GET {R}?{at}", headers={"If-None-Match": f'"{time}"'})
        assert unchanged.status_code == 304


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_state_at_any_time_is_the_one_that_was_read_then(engine: str, databases: Databases) -> None:
    url = databases.url(engine, "history")

    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(STEPS, min_size=1, max_size=10))
    def run(steps: list[tuple[Any, ...]]) -> None:
        async def go() -> None:
            async with opened(settings_for(url, features=[*WITH_HISTORY])) as app:
                for path in (B, C):
                    await app.ok(f"PUT {path}")
                await holds(app, steps)

        asyncio.run(go())

    run()
