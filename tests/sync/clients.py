"""The clients of a run: they write, race, batch, page and poll over HTTP, and write down all that happens.

None of them judges what it is told; that is the checker's part. Every write carries a ``token`` that no
other write has and the ``home`` of its list, so that each state leads to the request that made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.sync.history import History, Operation
from tests.sync.wire import Connection, ConnectionLost, NotConnected, Reply

HOME = "/buckets/sync/collections/main/records"
BAITS = {
    "/buckets/sync-bait/collections/main/records": "mallory",
    "/buckets/sync/collections/main-bait/records": "alice",
}
"""Lists beside the one under test, with the same record ids and names that begin alike."""

PARENTS = {"/buckets/sync-parents/collections": "alice", "/buckets/sync-parents/groups": "alice"}
"""Lists of objects that have lists, permissions and principals of their own hanging on them."""

HOMES = {HOME: "alice", **BAITS, **PARENTS}

RECONNECT = 0.03
"""Seconds between two attempts to reach a server that is down."""


REST = 30.0
"""Seconds in which every client comes to an end once it is told to."""


@dataclass(frozen=True, slots=True)
class Load:
    """How many clients of each sort, on how many records. ``pause`` is the mean think time in seconds."""

    writers: int = 4
    racers: int = 3
    batchers: int = 1
    crossers: int = 1
    sweepers: int = 1
    pollers: int = 2
    paging_pollers: int = 1
    pagers: int = 1
    readers: int = 1
    listeners: int = 0
    beside: int = 1
    records: int = 40
    pause: float = 0.004


class Client:
    """One client with its own connections and its own dice; every request goes into the history.

    Where there are several servers, each request goes to one of them at random.
    """

    def __init__(self, run: Run, name: str, user: str = "alice", home: str = HOME) -> None:
        self.run, self.name, self.user, self.home = run, name, user, home
        self.random = random.Random(f"{run.seed}/{name}")
        self._connections = [Connection(url, user) for url in (run.url, *run.others)]

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    def _connection(self) -> Connection:
        first, *others = self._connections
        return self.random.choice(self._connections) if others else first

    async def call(
        self,
        method: str,
        path: str,
        sent: Any = None,
        headers: dict[str, str] | None = None,
        **labels: Any,
    ) -> Reply | None:
        """Send a request and record it; None when the connection was lost. Waits while the server is down."""
        history = self.run.history
        while True:
            self.run.progress.set()
            operation = history.invoke(
                self.name, method, path, user=self.user, headers=headers, sent=sent, labels=labels
            )
            try:
                reply = await self._connection().request(method, path, headers=headers, sent=sent)
            except NotConnected as error:
                history.lose(operation, f"not connected: {error}")
                operation.labels["unsent"] = True
                if self.run.over(operation):
                    return None
                await asyncio.sleep(RECONNECT)
                continue
            except ConnectionLost as error:
                history.lose(operation, str(error))
                await asyncio.sleep(RECONNECT)
                return None
            total = reply.headers.get("total-objects")
            history.answer(
                operation,
                reply.status,
                reply.body,
                etag=reply.etag,
                next_page=reply.headers.get("next-page"),
                total=int(total) if total is not None else None,
            )
            if reply.status == 503:
                await asyncio.sleep(RECONNECT)
            return reply

    def data(self, **fields: Any) -> dict[str, Any]:
        """A record's content with a token of its own."""
        content = {"token": self.run.token(self.name), "home": self.home, "part": self.random.randrange(5)}
        content |= fields
        if content["home"].endswith("/groups"):
            content["members"] = [f"basicauth:{self.random.randrange(9)}"]
        return {"data": content}

    def any_id(self) -> str:
        return f"r{self.random.randrange(self.run.load.records)}"

    def path(self, object_id: str) -> str:
        return f"{self.home}/{object_id}"

    async def think(self) -> None:
        await asyncio.sleep(self.random.expovariate(1 / self.run.load.pause) if self.run.load.pause else 0)


@dataclass
class Run:
    """One run against the server at ``url`` (``http://host:port/v1``), and ``others`` on the same data."""

    url: str
    load: Load = field(default_factory=Load)
    seed: int = 0
    history: History = field(default_factory=History)
    stopping: bool = False
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.progress = asyncio.Event()
        self._tokens = itertools.count()
        self._listings = itertools.count()

    def token(self, name: str) -> str:
        return f"{name}/{next(self._tokens)}"

    def listing(self) -> int:
        return next(self._listings)

    def over(self, operation: Operation) -> bool:
        """Whether a client that cannot reach the server should give up: nobody is about to bring it back."""
        return not self.history.fault_between(operation.invoked, operation.invoked)

    async def operations(self, count: int) -> None:
        """Wait until that many more requests were made, or for half a minute."""
        enough = len(self.history.operations) + count
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while len(self.history.operations) < enough:
                    self.progress.clear()
                    await self.progress.wait()

    async def prepare(self) -> None:
        """Make the buckets and collections, and fill in a few records."""
        for home, user in HOMES.items():
            client = Client(self, f"setup of {home}", user, home)
            segments = home.split("/")
            for path in ("/".join(segments[:end]) for end in range(3, len(segments), 2)):
                reply = await client.call("PUT", path, {"data": {}})
                if reply is None or reply.status not in (200, 201):
                    raise RuntimeError(f"cannot make {path}: {reply}")
            self.history.owners[home] = user
            for number in range(self.load.records // 2):
                await client.call("PUT", client.path(f"r{number}"), client.data())
            await client.close()

    async def go(self, during: Callable[[], Awaitable[None]]) -> History:
        """Run all clients while ``during`` runs, let them come to rest, and return the history."""
        await self.prepare()
        writing = [self._task(act, name, user, home) for act, name, user, home in self._cast(WRITING)]
        reading = [self._task(act, name, user, home) for act, name, user, home in self._cast(READING)]
        try:
            await _while_running(during(), [*writing, *reading])
            self.stopping = True
            await _rest(writing)
            self.history.quiet = time.monotonic_ns()
            await _rest(reading)
        finally:
            for task in (*writing, *reading):
                task.cancel()
            await asyncio.gather(*writing, *reading, return_exceptions=True)
        await self.last_word()
        return self.history

    def _task(self, act: Act, name: str, user: str, home: str) -> asyncio.Task[None]:
        client = Client(self, name, user, home)

        async def play() -> None:
            try:
                await act(client)
            finally:
                await client.close()

        return asyncio.create_task(play(), name=name)

    def _cast(self, acts: dict[str, Act]) -> list[tuple[Act, str, str, str]]:
        cast = [
            (act, f"{sort}-{number}", "alice", HOME)
            for sort, act in acts.items()
            for number in range(getattr(self.load, sort))
        ]
        for home, user in (*BAITS.items(), *PARENTS.items()) if self.load.beside else ():
            for sort, act in acts.items():
                if sort in ACTS_BESIDE:
                    cast.append((act, f"{sort} of {home}", user, home))
        return cast

    async def last_word(self) -> None:
        """Read every list whole, and whole with its tombstones, after everybody has come to rest."""
        for home, user in self.history.owners.items():
            client = Client(self, f"judge of {home}", user, home)
            await client.call("GET", home)
            await client.call("GET", f"{home}?_since=1")
            await client.close()


async def _rest(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for clients to end by themselves; one that cannot is the checker's to judge."""
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=REST)
        for task in done:
            task.result()


async def _while_running(during: Awaitable[None], tasks: list[asyncio.Task[None]]) -> None:
    """Await ``during``, but end at once with the error of a client that fails."""
    main = asyncio.ensure_future(during)
    try:
        done, _ = await asyncio.wait([main, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if main not in done:
            for task in done:
                task.result()
            raise RuntimeError(f"{[task.get_name() for task in done]} ended before the run did")
        main.result()
    finally:
        main.cancel()


Act = Callable[[Client], Awaitable[None]]


async def write(client: Client) -> None:
    """Plain writes without preconditions: PUT, PATCH, DELETE, POST with and without an id."""
    while not client.run.stopping:
        path, dice = client.path(client.any_id()), client.random.random()
        if dice < 0.55:
            await client.call("PUT", path, client.data(n=client.random.randrange(100)))
        elif dice < 0.70:
            await client.call("PATCH", path, client.data(patched=client.random.randrange(100)))
        elif dice < 0.85:
            await client.call("DELETE", path)
        elif dice < 0.93:
            await client.call("POST", client.home, client.data(id=client.any_id()))
        else:
            await client.call("POST", client.home, client.data())
        await client.think()


async def race(client: Client) -> None:
    """Three conditional writes at once on what one read has shown."""
    rivals = [client, *(Client(client.run, f"{client.name}-rival-{number}") for number in (1, 2))]
    try:
        while not client.run.stopping:
            path = client.path(client.any_id())
            reply = await client.call("GET", path)
            if reply is not None and reply.status in (200, 404):
                etag = reply.headers.get("etag", "")
                headers = {"If-Match": etag} if reply.status == 200 else {"If-None-Match": "*"}
                await asyncio.gather(*(_contend(rival, path, headers) for rival in rivals))
            await client.think()
    finally:
        for rival in rivals[1:]:
            await rival.close()


async def _contend(rival: Client, path: str, headers: dict[str, str]) -> None:
    methods = ("PUT", "PUT", "PATCH", "DELETE") if "If-Match" in headers else ("PUT",)
    method = rival.random.choice(methods)
    await rival.call(method, path, None if method == "DELETE" else rival.data(), headers)


async def batch(client: Client) -> None:
    """Batches of up to eight writes, some on the same record."""
    await _batch_in(client, [HOME])


async def cross(client: Client) -> None:
    """Batches that write in several lists at once, in any order of them."""
    await _batch_in(client, [home for home, user in HOMES.items() if user == client.user])


async def _batch_in(client: Client, homes: list[str]) -> None:
    while not client.run.stopping:
        requests = [_batched(client, client.random.choice(homes)) for _ in range(client.random.randint(2, 8))]
        await client.call("POST", "/batch", {"requests": requests})
        await client.think()


def _batched(client: Client, home: str) -> dict[str, Any]:
    method = client.random.choice(("PUT", "PUT", "PUT", "POST", "PATCH", "DELETE"))
    body = client.data(batched=True, home=home)
    if method == "POST" and home == HOME:
        return {"method": "POST", "path": home, "body": body}
    request = {"method": "PUT" if method == "POST" else method, "path": f"{home}/{client.any_id()}"}
    return request if method == "DELETE" else {**request, "body": body}


async def sweep(client: Client) -> None:
    """Deletes of a part of the list, and now and then of all of it."""
    while not client.run.stopping:
        await asyncio.sleep(client.random.random() * 0.3)
        every = client.random.random() < 0.3
        await client.call("DELETE", client.home + ("" if every else f"?part={client.random.randrange(5)}"))


async def poll(client: Client, limit: str = "") -> None:
    """Follow the list by ``_since``, always from the last ETag, until all is quiet and nothing comes."""
    etag, sync = 0, client.run.token(f"copy-{client.name}")
    while True:
        resting = client.run.history.quiet is not None
        query = "&".join(part for part in (f"_since=%22{etag}%22" if etag else "", limit) if part)
        headers = {"If-None-Match": f'"{etag}"'} if etag and client.random.random() < 0.5 else {}
        reached = await follow(client, f"{client.home}?{query}" if query else client.home, headers, sync)
        if reached is not None:
            if resting and reached == etag:
                return
            etag = reached
        await client.think()


async def poll_pages(client: Client) -> None:
    """Like `poll`, three records a page."""
    await poll(client, "_limit=3")


async def page(client: Client) -> None:
    """Copy the list page by page, then what changed since the first page's ETag; again and again."""
    while True:
        resting = client.run.history.quiet is not None
        sync = client.run.token(f"copy-{client.name}")
        sort = client.random.choice(("", "&_sort=id", "&_sort=last_modified", "&_sort=-part"))
        etag = await follow(client, f"{client.home}?_limit={client.random.randint(2, 9)}{sort}", {}, sync)
        if etag is not None:
            last = await follow(client, f"{client.home}?_since=%22{etag}%22", {}, sync)
            if resting and last is not None:
                return
        await client.think()


async def follow(client: Client, path: str, headers: dict[str, str], sync: str) -> int | None:
    """Read a listing to its end; returns the first page's ETag, or None when it could not be read whole."""
    labels = {"listing": client.run.listing(), "sync": sync}
    first = reply = await client.call("GET", path, None, headers, page=0, **labels)
    for number in itertools.count(1):
        if reply is None or reply.status not in (200, 304):
            return None
        following = reply.headers.get("next-page")
        if following is None:
            break
        reply = await client.call("GET", following, page=number, **labels)
    return first.etag if first is not None else None


async def read(client: Client) -> None:
    """Single records, whole lists, counts, and doors that must stay shut."""
    foreign = next(home for home, user in BAITS.items() if user != client.user)
    while client.run.history.quiet is None:
        dice = client.random.random()
        if dice < 0.6:
            await client.call("GET", client.path(client.any_id()))
        elif dice < 0.75:
            await client.call("GET", client.home)
        elif dice < 0.9:
            await client.call("HEAD", client.home)
        elif client.run.load.beside:
            await client.call("GET", client.random.choice((foreign, f"{foreign}/{client.any_id()}")))
        await client.think()


WRITING: dict[str, Act] = {
    "writers": write,
    "racers": race,
    "batchers": batch,
    "crossers": cross,
    "sweepers": sweep,
}
READING: dict[str, Act] = {"pollers": poll, "paging_pollers": poll_pages, "pagers": page, "readers": read}
ACTS_BESIDE = frozenset({"writers", "pollers"})
