"""The list that the tests of streams follow."""

from __future__ import annotations

from typing import Any

from tests.live.client import Stream
from tests.support.inprocess import App

C = "/buckets/b/collections/c"
R = f"{C}/records"


async def put(app: App, name: str, **data: Any) -> int:
    answer = await app.ok(f"PUT {R}/{name}", {"data": data})
    timestamp: int = answer["data"]["last_modified"]
    return timestamp


async def etag(app: App, path: str = R) -> str:
    tag: str = (await app.call(f"GET {path}")).headers["etag"]
    return tag


async def names(live: Stream, number: int) -> list[str]:
    return [(await live.next()).data["id"] for _ in range(number)]
