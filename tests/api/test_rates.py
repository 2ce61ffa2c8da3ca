"""Request rates: who is refused, for how long, and who is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio
from msgspec.structs import replace

from kintoun.features.rates import RatesSettings
from kintoun.settings import Http
from tests.support.inprocess import FEATURES, App, Databases, opened, principal, settings_for

Opened = Callable[..., Awaitable[App]]


class Now:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0


@pytest_asyncio.fixture
async def serve(engine: str, databases: Databases) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def start(now: Now, *, proxies: Sequence[str] = (), **limits: Any) -> App:
            settings = settings_for(databases.url(engine), http=Http(trusted_proxies=list(proxies)))
            section = RatesSettings(**limits)
            settings = replace(settings, features=[*FEATURES, "rates"], sections={"rates": section})
            app = await stack.enter_async_context(opened(settings))
            [check] = app.application.composition.service.gates
            check.__self__._clock = lambda: now.seconds  # type: ignore[attr-defined]
            return app

        yield start


async def statuses(app: App, count: int, request: str = "GET /", **arguments: Any) -> list[int]:
    return [(await app.call(request, **arguments)).status_code for _ in range(count)]


async def test_users(serve: Opened) -> None:
    now = Now()
    app = await serve(now, user_per_minute=6, user_burst=3)
    assert await statuses(app, 5) == [200, 200, 200, 429, 429]
    assert await statuses(app, 5, user=None) == [200] * 5, "nobody is no user"
    assert await statuses(app, 1, user="bob") == [200]
    refused = await app.call("GET /")
    assert refused.headers["Retry-After"] == "10"
    answer = refused.json()
    assert (answer["code"], answer["errno"], answer["error"]) == (429, 117, "Too Many Requests")
    assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
    now.seconds += 10
    assert await statuses(app, 2) == [200, 429]
    now.seconds += 3600
    assert await statuses(app, 4) == [200, 200, 200, 429]


async def test_nothing_is_done_for_who_is_refused(serve: Opened) -> None:
    app = await serve(Now(), user_per_minute=1)
    await app.ok("PUT /buckets/b")
    assert (await app.call("PUT /buckets/c")).status_code == 429
    assert app.events[-1:] == ["create /buckets/b"]


async def test_addresses(serve: Opened) -> None:
    app = await serve(Now(), address_per_minute=4, proxies=["127.0.0.0/8"])

    def via(address: str) -> dict[str, str]:
        return {"X-Forwarded-For": address}

    assert await statuses(app, 3, headers=via("192.0.2.1"), user=None) == [200] * 3
    assert await statuses(app, 2, headers=via("192.0.2.1")) == [200, 429], "whoever the user is"
    assert await statuses(app, 1, headers=via("192.0.2.2"), user=None) == [200]
    assert await statuses(app, 1, headers=via("8.8.8.8, 192.0.2.1"), user=None) == [429], "made up"


async def test_a_header_of_nobody_in_particular_counts_for_nothing(serve: Opened) -> None:
    app = await serve(Now(), address_per_minute=2)
    got = [
        (await app.call("GET /", user=None, headers={"X-Forwarded-For": f"192.0.2.{n}"})).status_code
        for n in range(3)
    ]
    assert got == [200, 200, 429]


async def test_batches_are_done_as_a_whole_and_paid_for(serve: Opened) -> None:
    now = Now()
    app = await serve(now, user_per_minute=60, user_burst=4)
    batch = {"requests": [{"method": "PUT", "path": f"/buckets/b{n}"} for n in range(5)]}
    answers = (await app.ok("POST /batch", batch))["responses"]
    assert [answer["status"] for answer in answers] == [201] * 5
    refused = await app.call("POST /batch", batch)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
    now.seconds += 3
    assert await statuses(app, 2) == [200, 429]


async def test_who_is_not_counted(serve: Opened) -> None:
    app = await serve(Now(), user_per_minute=1, address_per_minute=1, exempt=[principal("alice")])
    assert await statuses(app, 3) == [200] * 3
    assert await statuses(app, 3, "GET /__lbheartbeat__", user=None) == [200] * 3
    preflight = {"Origin": "http://a", "Access-Control-Request-Method": "GET"}
    assert await statuses(app, 3, "OPTIONS /buckets", user=None, headers=preflight) == [200] * 3
    assert await statuses(app, 2, user=None) == [200, 429]


async def test_the_limits_are_told(serve: Opened) -> None:
    app = await serve(Now(), user_per_minute=100, address_burst=5)
    told = (await app.ok("GET /"))["capabilities"]["rates"]["limits"]
    assert told == {"user_per_minute": 100, "address_burst": 5}
