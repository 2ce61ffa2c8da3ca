"""The application in this process, on either engine: requests go straight into it, and its hooks are watched.

Every answer is searched for the bait: objects of a tenant whom nobody else may read. A test need not ask for
it, so no test can forget it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import httpx
from msgspec.structs import replace

from kintoun.app import Application, create_app
from kintoun.config import migrations_of
from kintoun.model.changes import Change
from kintoun.plugin import Plugin
from kintoun.settings import Policy, Protocol, Settings, Storage
from kintoun.storage import schema
from kintoun.storage.engine import Writes
from tests.support.postgres import Postgres

SECRET = "of the tests"
BAIT = "b41t-0f-an0ther-tenant"
MALLORY = "mallory"
"""The tenant whose objects are the bait."""

HOST = "server.example"

Headers = Sequence[tuple[str, str]]

FEATURES = ("accounts", "basicauth", "default_bucket", "permissions", "openapi", "counters", "flush")


def tables_of(*migrations: Sequence[Sequence[str]]) -> list[str]:
    """The tables with data that these migrations make."""
    statements = "".join(sql for steps in migrations for step in steps for sql in step)
    return [name for name in re.findall(r"CREATE TABLE (\w+)", statements) if name != "feature_version"]


TABLES = tables_of(schema.STEPS)


def principal(user: str) -> str:
    """The principal of a user of the basicauth policy whose password is `pw`."""
    return "basicauth:" + hmac.new(SECRET.encode(), f"{user}:pw".encode(), hashlib.sha256).hexdigest()


def settings_for(url: str, **changes: Any) -> Settings:
    """Settings with every feature on; `changes` replace whole tables of them."""
    settings = Settings(
        storage=Storage(url=url, durability="normal", pool_size=4),
        features=list(FEATURES),
        policies=[Policy(name="account", use="account"), Policy(name="basicauth", use="basicauth")],
        protocol=Protocol(userid_secret=SECRET, schema_validation=True),
        access={"bucket_create": ["system.Authenticated"], "account_create": ["system.Everyone"]},
    )
    return replace(settings, **changes)


async def exchange(
    application: Application, method: str, target: bytes, headers: Headers = (), body: bytes = b""
) -> httpx.Response:
    """The answer to a request exactly as it is given: `target` is the path and query string as on the wire.

    Ten times cheaper than `httpx.ASGITransport`, and it does not tidy up what a test wants to be untidy.
    """
    raw_path, _, query = target.partition(b"?")
    sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    names = {name for name, _ in sent}
    if b"host" not in names:
        sent.append((b"host", HOST.encode()))
    if body and b"content-length" not in names:
        sent.append((b"content-length", str(len(body)).encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "headers": sent,
        "client": ("127.0.0.1", 50000),
        "server": (HOST, 80),
    }
    received: list[dict[str, Any]] = []

    bodies = [body]

    async def receive() -> dict[str, Any]:
        if not bodies:
            await asyncio.get_running_loop().create_future()  # the client stays, and waits
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: Any) -> None:
        received.append(message)

    await application(scope, receive, send)
    start, *parts = received
    return httpx.Response(
        start["status"],
        headers=start["headers"],
        content=b"".join(part.get("body", b"") for part in parts),
        request=httpx.Request(method, f"http://{HOST}/"),
    )


@dataclass
class App:
    """An application that is up. `events` are the changes that were committed, as `create /buckets/b`."""

    application: Application
    events: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    async def call(
        self,
        request: str,
        body: Any = None,
        *,
        user: str | None = "alice",
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        auth: tuple[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to a request such as `PUT /buckets/b`; an absolute URL is taken as it is."""
        method, _, path = request.partition(" ")
        target = path.removeprefix(f"http://{HOST}") if path.startswith("http") else f"/v1{path}"
        sent = dict(headers or {})
        if auth is not None or user is not None:
            name, password = auth or (user, "pw")
            credentials = b64encode(f"{name}:{password}".encode()).decode()
            sent.setdefault("Authorization", f"Basic {credentials}")
        content = raw if raw is not None else b""
        if raw is None and body is not None:
            content = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        quoted = quote(target, safe="/?%:@!$&'()*+,;=~-._[]\"")
        response = await exchange(self.application, method, quoted.encode(), tuple(sent.items()), content)
        if user != MALLORY:
            shown = response.text + repr(response.headers)
            assert BAIT not in shown.replace(path, ""), f"{request} shows {user} the bait"
        return response

    async def ok(self, request: str, body: Any = None, **arguments: Any) -> Any:
        """The JSON of an answer that must be a success."""
        response = await self.call(request, body, **arguments)
        assert response.is_success, f"{request}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def committed(self, changes: Sequence[Change]) -> None:
        self.changes.extend(changes)
        self.events.extend(f"{change.action} {change.path}" for change in changes)

    def forget(self) -> None:
        """Begin a new list of events."""
        self.events.clear()
        self.changes.clear()

    async def bait(self) -> None:
        """Let another tenant have objects of every kind, under ids that the tests use too."""
        marked = {"data": {"bait": BAIT, "n": 1, "title": "a"}}
        paths = ["/buckets/bait", f"/buckets/bait/groups/{BAIT}", "/buckets/bait/collections/c"]
        paths += [f"/buckets/bait/collections/c/records/{name}" for name in ("r1", "r2", BAIT)]
        requests: list[dict[str, Any]] = [{"method": "PUT", "path": path, "body": marked} for path in paths]
        requests.append({"method": "DELETE", "path": paths[-1]})
        answers = await self.ok("POST /batch", {"requests": requests}, user=MALLORY)
        assert all(answer["status"] < 300 for answer in answers["responses"]), answers


@asynccontextmanager
async def opened(settings: Settings, *plugins: Plugin) -> AsyncIterator[App]:
    """The application for these settings, on an empty database."""
    application = create_app(settings, *plugins)
    composition = application.composition
    migrations = migrations_of(settings.features)
    migrations |= {plugin.name: plugin.migrations for plugin in plugins if plugin.migrations}
    store = composition.service.store
    await store.open()
    try:
        await store.migrate(migrations)
        app = App(application)
        await reset(app, tables_of(*migrations.values()))
        composition.after_commit(app.committed)
        yield app
    finally:
        await store.close()


async def reset(app: App, tables: Sequence[str] = ()) -> None:
    """Leave nothing in the database. (The numbers of lists begin anew at random, so no cache is misled.)"""
    transaction = await app.application.composition.service.store.engine.begin()
    for table in (*TABLES, *tables):
        await transaction.fetch(f"DELETE FROM {table}")
    await transaction.write(Writes(clocks=schema.first_clocks()))
    await transaction.commit()


class Databases:
    """Where in-process applications keep their data: one database of each engine, emptied each time."""

    def __init__(self, directory: Path, postgres: Postgres) -> None:
        self._directory = directory
        self._postgres = postgres
        self._urls: dict[str, str] = {}

    def url(self, engine: str, name: str = "main") -> str:
        """The URL of the database called `name` on an engine: `sqlite` or `postgresql`."""
        key = f"{engine}-{name}"
        if key not in self._urls:
            if engine == "sqlite":
                self._urls[key] = f"sqlite:{self._directory / name}.sqlite"
            else:
                uri = self._urls[key] = self._postgres.create_database()
                # What these tests promise does not depend on when the disk has what was committed.
                database = uri.rpartition("/")[2]
                self._postgres.psql(f'ALTER DATABASE "{database}" SET synchronous_commit = off')
        return self._urls[key]


def parsed(response: httpx.Response) -> Any:
    """The JSON of an answer, None when it has no body."""
    return json.loads(response.content) if response.content else None
