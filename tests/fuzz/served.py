"""An application that serves synchronous tests: Hypothesis and Schemathesis do not wait for coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.inprocess import App, Headers, exchange, opened, principal, settings_for

ALICE = ("Authorization", "Basic YWxpY2U6cHc=")
SECONDS = 20.0
"""Within which any request must be answered, however busy the machine is."""

ACCESS = {
    "bucket_create": ["system.Authenticated"],
    "account_create": ["system.Everyone"],
    "account_read": [principal("alice")],
    "account_write": [principal("alice")],
    "user-data_delete": [principal("alice")],
}
"""Alice, who sends everything, may do everything."""


class Served:
    """The application, and the event loop that it runs in."""

    def __init__(self, runner: asyncio.Runner, app: App) -> None:
        self._runner = runner
        self._app = app

    def send(
        self, method: str, target: bytes, headers: Headers = (ALICE,), body: bytes = b""
    ) -> httpx.Response:
        """The answer to a request, exactly as it is given."""

        async def limited() -> httpx.Response:
            async with asyncio.timeout(SECONDS):
                return await exchange(self._app.application, method, target, headers, body)

        return self._runner.run(limited())

    def world(self) -> None:
        """Objects that generated requests can meet."""
        bodies = {
            "/buckets/b": {},
            "/buckets/b/collections/c": {},
            "/buckets/b/groups/g": {"data": {"members": ["account:alice"]}},
            **{
                f"/buckets/b/collections/c/records/r{n}": {"data": {"title": "a" * n, "n": n}}
                for n in range(5)
            },
            "/accounts/zoe": {"data": {"password": "pw"}},
        }
        requests: list[dict[str, object]] = [
            {"method": "PUT", "path": path, "body": body} for path, body in bodies.items()
        ]
        requests.append({"method": "DELETE", "path": "/buckets/b/collections/c/records/r4"})
        answers = self._runner.run(self._app.ok("POST /batch", {"requests": requests}))["responses"]
        assert all(answer["status"] < 300 for answer in answers), answers


@contextmanager
def served(url: str, **changes: Any) -> Iterator[Served]:
    """An application on the database at `url`, with a world in it; `changes` are of its settings."""
    with asyncio.Runner() as runner:
        context = opened(settings_for(url, access=ACCESS, **changes))
        made = Served(runner, runner.run(context.__aenter__()))
        try:
            made.world()
            yield made
        finally:
            runner.run(context.__aexit__(None, None, None))
