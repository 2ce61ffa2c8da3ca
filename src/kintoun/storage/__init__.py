"""The store: one interface over the engines that keep the data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kintoun.settings import Storage
from kintoun.storage.engine import Engine
from kintoun.storage.lanes import Job, Lanes
from kintoun.storage.rows import Found, Wanted


class Store:
    """Reads from one snapshot, writes that commit in groups."""

    def __init__(self, engine: Engine, settings: Storage) -> None:
        self.engine = engine
        self.settings = settings
        self._lanes = Lanes(engine, settings.group_commit)
        self.read: Callable[[Wanted], Awaitable[Found]] = engine.read
        """The answer to a question, from one snapshot. Raises `Unavailable`."""

    async def open(self) -> None:
        """Connect. Raises `Unavailable` when the database cannot be reached."""
        await self.engine.open()

    async def close(self) -> None:
        """Finish the writes that are under way, then disconnect."""
        await self._lanes.finish()
        await self.engine.close()

    async def migrate(self) -> int:
        """Bring the schema to the present version; returns the version it had before."""
        return await self.engine.migrate()

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """The rows of a reading statement of the engine's dialect, its parameters numbered `$1`, `$2`, … on
        every engine. It may take long. Raises `Unavailable`."""
        return await self.engine.fetch(sql, args)

    async def write(self, job: Job) -> Any:
        """Run a write and return its result once it is committed: see `Lanes.write`."""
        return await self._lanes.write(job)


def make_store(settings: Storage) -> Store:
    """The store at `settings.url`, not yet connected. Raises ValueError for a URL of no known engine."""
    scheme, _, rest = settings.url.partition(":")
    if scheme == "sqlite":
        from kintoun.storage.sqlite import SQLite

        return Store(SQLite(rest.removeprefix("//"), settings), settings)
    if scheme in ("postgresql", "postgres"):
        from kintoun.storage.postgresql import PostgreSQL

        return Store(PostgreSQL(settings), settings)
    raise ValueError(f"storage.url: no engine is called {scheme!r}; use sqlite: or postgresql:")


async def open_store(settings: Storage) -> Store:
    """The store at `settings.url`, connected."""
    store = make_store(settings)
    await store.open()
    return store
