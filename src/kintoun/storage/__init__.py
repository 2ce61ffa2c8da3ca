"""The store: one interface over the engines that keep the data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kintoun.settings import Storage
from kintoun.storage.engine import Engine, Steps, Transaction
from kintoun.storage.lanes import Job, Lanes
from kintoun.storage.rows import Found, Wanted
from kintoun.storage.wakeups import FileHints, Hints, Wakeups

if TYPE_CHECKING:
    from kintoun.storage.replicas import Replicas

T = TypeVar("T")
Call = Callable[..., Awaitable[Any]]


class Fetch(Protocol):
    """How statements are run: see `Engine.fetch`."""

    def __call__(self, sql: str, args: Sequence[Any] = ()) -> Awaitable[list[Any]]: ...


class Store:
    """Reads from one snapshot, writes that commit in groups."""

    def __init__(
        self, engine: Engine, hints: Hints, settings: Storage, replicas: Replicas | None = None
    ) -> None:
        self.engine = engine
        self.replicas = replicas
        self.settings = settings
        self._lanes = Lanes(engine, settings.group_commit)
        self.wakeups = self._lanes.wakeups = Wakeups(engine, hints)
        """Tells which lists moved, whoever wrote to them."""
        self.closing = self._lanes.closing
        """Called for each unit of work before it is sent: see `Lanes`."""
        self.read: Callable[[Wanted], Awaitable[Found]] = engine.read
        """The answer to a question, from one snapshot. Raises `Unavailable`."""
        self.write: Callable[[Job], Awaitable[Any]] = self._lanes.write
        """Run a write and return its result once it is committed: see `Lanes.write`."""
        self.fetch: Fetch = engine.fetch
        """The rows of a reading statement of the engine's dialect, its parameters numbered `$1`, `$2`, … on
        every engine. It may take long. Raises `Unavailable`."""

    def watch(self, wrap: Callable[[str, Call], Call]) -> None:
        """Put `wrap(name, call)` in the place of `read`, `write` and `fetch`, to time them."""
        self.read = wrap("read", self.read)
        self.write = wrap("write", self.write)
        self.fetch = wrap("fetch", self.fetch)

    def watch_groups(self, hook: Callable[[int, float], None]) -> None:
        """Call `hook(size, seconds)` with each group of writes that was committed."""
        self._lanes.watch(hook)

    def connections(self) -> dict[str, int]:
        """How many connections to the database this process has, by what they do; none for SQLite."""
        return self.engine.connections()

    async def open(self) -> None:
        """Connect. Raises `Unavailable` when the database cannot be reached."""
        await self.engine.open()
        self.wakeups.open()

    async def close(self) -> None:
        """Finish the writes that are under way, then disconnect."""
        await self._lanes.finish()
        await self.wakeups.close()
        if self.replicas is not None:
            await self.replicas.close()
        await self.engine.close()

    async def migrate(self, features: Mapping[str, Steps] | None = None) -> int:
        """Bring the schema to the present version, and the tables of features by their steps to theirs.

        Returns the version that the schema had before.
        """
        return await self.engine.migrate(features or {})

    async def transact(self, action: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run an action in a transaction of its own, for background work and the tables of features.

        It is run again when it meets a conflict, so it acts on nothing but the transaction: see
        `Lanes.transact`.
        """
        return await self._lanes.transact(action)


def make_store(settings: Storage) -> Store:
    """The store at `settings.url`, not yet connected. Raises ValueError for a URL of no known engine."""
    scheme, _, rest = settings.url.partition(":")
    if scheme == "sqlite":
        from kintoun.storage.sqlite import SQLite

        if settings.replicas:
            raise ValueError("storage.replicas: only a PostgreSQL database has replicas")
        file = SQLite(rest.removeprefix("//"), settings)
        return Store(file, FileHints(file), settings)
    if scheme in ("postgresql", "postgres"):
        from kintoun.storage.listening import Listener
        from kintoun.storage.postgresql import PostgreSQL

        primary = PostgreSQL(settings)
        listener = Listener(primary, settings.listener_url)
        if not settings.replicas:
            return Store(primary, listener, settings)
        from kintoun.storage.replicas import Replicas

        return Store(primary, listener, settings, Replicas(primary, settings))
    raise ValueError(f"storage.url: no engine is called {scheme!r}; use sqlite: or postgresql:")


async def open_store(settings: Storage) -> Store:
    """The store at `settings.url`, connected."""
    store = make_store(settings)
    await store.open()
    return store
