"""Databases of the tests of operations: applications on databases as they are, and what they answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kintoun.app import create_app
from kintoun.config import migrations_of
from kintoun.settings import Settings
from tests.support.inprocess import App, settings_for
from tests.support.postgres import Postgres

ENGINES = ("sqlite", "postgresql")


def fresh(engine: str, directory: Path, postgres: Postgres) -> Settings:
    """Settings for an empty database of an engine."""
    if engine == "sqlite":
        return settings_for(f"sqlite:{directory / uuid.uuid4().hex}.sqlite")
    return settings_for(postgres.create_database())


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[App]:
    """An application on a database as it is, migrated."""
    application = create_app(settings)
    store = application.composition.service.store
    await store.open()
    try:
        await store.migrate(migrations_of(settings.features))
        yield App(application)
    finally:
        await store.close()


async def fill(app: App) -> None:
    """Objects of every kind, with rights, tombstones, and lists whose parent is gone."""
    await app.ok("PUT /accounts/bob", {"data": {"password": "pw", "n": 1}}, user=None)
    await app.ok("PUT /buckets/b", {"data": {"t": "é\U0001f600"}, "permissions": {"read": ["account:bob"]}})
    await app.ok("PUT /buckets/b/groups/g", {"data": {"members": ["account:bob", "account:ann"]}})
    rights = {"record:create": ["/buckets/b/groups/g"]}
    await app.ok("PUT /buckets/b/collections/c", {"permissions": rights})
    requests = [
        {
            "method": "PUT",
            "path": f"/buckets/b/collections/c/records/r{n}",
            "body": {"data": {"n": n, "f": n / 3}},
        }
        for n in range(20)
    ]
    await app.ok("POST /batch", {"requests": requests})
    await app.ok(
        "PUT /buckets/b/collections/c/records/shared", {"permissions": {"read": ["system.Everyone"]}}
    )
    for n in range(0, 20, 4):
        await app.ok(f"DELETE /buckets/b/collections/c/records/r{n}")
    await app.ok("PUT /buckets/b/collections/gone")
    await app.ok("PUT /buckets/b/collections/gone/records/r", {"data": {"n": 1}})
    await app.ok("DELETE /buckets/b/collections/gone")
    await app.ok("PUT /buckets/x")


READS = (
    "/buckets",
    "/buckets/b",
    "/buckets/b/groups",
    "/buckets/b/groups/g",
    "/buckets/b/collections",
    "/buckets/b/collections?_since=0",
    "/buckets/b/collections/c",
    "/buckets/b/collections/c/records",
    "/buckets/b/collections/c/records?_since=0",
    "/buckets/b/collections/c/records/r1",
    "/buckets/b/collections/c/records/shared",
    "/buckets/b/collections/gone/records",
    "/accounts/bob",
    "/permissions",
)


async def answers(app: App) -> dict[str, Any]:
    """What different users get for every read."""
    found: dict[str, Any] = {}
    for path in READS:
        for name, arguments in {
            "alice": {"user": "alice"},
            "bob": {"auth": ("bob", "pw")},
            "nobody": {"user": None},
        }.items():
            answer = await app.call(f"GET {path}", **arguments)
            found[f"{name} {path}"] = (answer.status_code, answer.headers.get("ETag"), answer.text)
    return found
