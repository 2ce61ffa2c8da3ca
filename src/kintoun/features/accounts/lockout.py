"""Wrong passwords are counted, so that nobody can go on guessing; and so that nobody locks out an owner.

What is counted is pairs of an account and an address, and addresses alone. There is no count of an account
by itself: whoever guesses from elsewhere costs the owner nothing. A pair that was used with the right
password is known; beyond the limit it is not locked but slowed to one attempt a second, so the owner gets in
even from the address of who is guessing. Credentials that a worker remembers do not come here at all.

The counts are the database's, for all workers. They are read before a password is hashed and raised after it
turned out wrong; from one address a worker hashes `hashing_threads` passwords at once, so by so many for each
worker, less one, attempts can exceed a limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

import structlog

from kintoun.features.accounts.settings import AccountsSection
from kintoun.model import timestamps
from kintoun.model.errors import CLIENT_REACHED_CAPACITY, ProtocolError
from kintoun.storage import Store
from kintoun.storage.engine import Transaction
from kintoun.storage.rows import Conflict, Unavailable

log = structlog.get_logger()

DAY = 86_400_000
PURGED_AT_ONCE = 500

MIGRATIONS = (
    (
        # Failures count until `until`; `known` is until when a pair is known. Keys are digests: no address is
        # kept. All times in milliseconds since the epoch.
        """CREATE TABLE login (
            key {text} NOT NULL PRIMARY KEY,
            failures {int} NOT NULL,
            until {int} NOT NULL,
            known {int} NOT NULL
        )""",
    ),
)

_READ = "SELECT key, failures, until, known FROM login WHERE key IN ($1, $2)"
_FAIL = (
    "INSERT INTO login (key, failures, until, known) VALUES ($1, 1, $2, 0) ON CONFLICT (key) DO UPDATE"
    " SET failures = CASE WHEN login.until <= $3 THEN 1 ELSE login.failures + 1 END,"
    " until = CASE WHEN login.until <= $3 THEN excluded.until ELSE login.until END"
)
_KNOW = (
    "INSERT INTO login (key, failures, until, known) VALUES ($1, 0, 0, $2) ON CONFLICT (key) DO UPDATE"
    " SET failures = 0, until = 0, known = excluded.known"
)
_PURGE = (
    "DELETE FROM login WHERE key IN (SELECT key FROM login WHERE until <= $1 AND known <= $1 LIMIT $2)"
    " RETURNING 1"
)


class Counted(NamedTuple):
    """What is known of a pair or an address; times in milliseconds since the epoch."""

    failures: int = 0
    until: int = 0
    known: int = 0


class Counts(Protocol):
    """Where failures are counted."""

    async def read(self, pair: str, address: str) -> tuple[Counted, Counted]: ...

    async def fail(self, keys: Sequence[str], now: int, until: int) -> None: ...

    async def know(self, pair: str, until: int) -> None: ...


class TableCounts:
    """Counts in the database, the same for all workers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, pair: str, address: str) -> tuple[Counted, Counted]:
        rows = {
            row[0]: Counted(row[1], row[2], row[3]) for row in await self._store.fetch(_READ, (pair, address))
        }
        return rows.get(pair, Counted()), rows.get(address, Counted())

    async def fail(self, keys: Sequence[str], now: int, until: int) -> None:
        async def count(transaction: Transaction) -> None:
            for key in sorted(keys):
                await transaction.fetch(_FAIL, (key, until, now))

        await self._store.transact(count)

    async def know(self, pair: str, until: int) -> None:
        await self._store.transact(lambda transaction: transaction.fetch(_KNOW, (pair, until)))

    async def purge(self) -> None:
        """Remove what counts no longer, a few rows at a time."""

        async def purge(transaction: Transaction) -> bool:
            return bool(await transaction.fetch(_PURGE, (timestamps.now(), PURGED_AT_ONCE)))

        while await self._store.transact(purge):
            pass


class MemoryCounts:
    """Counts of one worker, for servers that write nothing."""

    MOST = 10_000

    def __init__(self) -> None:
        self._counted: OrderedDict[str, Counted] = OrderedDict()

    async def read(self, pair: str, address: str) -> tuple[Counted, Counted]:
        return self._counted.get(pair, Counted()), self._counted.get(address, Counted())

    async def fail(self, keys: Sequence[str], now: int, until: int) -> None:
        for key in keys:
            old = self._counted.get(key, Counted())
            fresh = old.until <= now
            self._set(
                key,
                old._replace(failures=1 if fresh else old.failures + 1, until=until if fresh else old.until),
            )

    async def know(self, pair: str, until: int) -> None:
        self._set(pair, Counted(known=until))

    def _set(self, key: str, counted: Counted) -> None:
        self._counted[key] = counted
        self._counted.move_to_end(key)
        if len(self._counted) > self.MOST:
            self._counted.popitem(last=False)


class Attempt:
    """One password that is being verified: `failed` or `passed` tells how it went."""

    def __init__(self, lockout: Lockout, keys: tuple[str, str], pair: Counted) -> None:
        self._lockout = lockout
        self._keys = keys
        self._pair = pair

    async def failed(self) -> None:
        await self._lockout.count(self._keys)

    async def passed(self) -> None:
        await self._lockout.remember(self._keys[0], self._pair)


class Lockout:
    """The limits on wrong passwords."""

    PACE_SECONDS = 1.0
    """How often a known pair beyond its limit may try."""

    PACED = 10_000
    """How many such pairs a worker keeps the pace of."""

    def __init__(self, settings: AccountsSection, counts: Counts, key: bytes) -> None:
        """`key` is the secret (at most 64 bytes) without which the kept digests of addresses tell nothing."""
        self._settings = settings
        self._key = key
        self._counts = counts
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._paces: OrderedDict[str, float] = OrderedDict()

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[Attempt]:
        """The turn of one password to be verified. Raises a ProtocolError (429) beyond the limits."""
        keys = self._digest(account, address), self._digest(address)
        turn = self._turns.get(address)
        if turn is None:
            turn = self._turns[address] = asyncio.Semaphore(self._settings.hashing_threads)
        async with turn:
            pair, whole = await self._counts.read(*keys)
            now = timestamps.now()
            seconds = max(
                _locked(pair, self._settings.failures, now),
                _locked(whole, self._settings.address_failures, now),
            )
            if seconds and pair.known > now:
                seconds = self._pace(keys[0])
            if seconds:
                raise too_many(seconds)
            yield Attempt(self, keys, pair)

    def _pace(self, key: str) -> int:
        """0 when a known pair may try now, otherwise the seconds that it has to wait."""
        now = time.monotonic()
        if self._paces.get(key, 0.0) > now:
            return 1
        self._paces[key] = now + self.PACE_SECONDS
        self._paces.move_to_end(key)
        if len(self._paces) > self.PACED:
            self._paces.popitem(last=False)
        return 0

    def _digest(self, *parts: str) -> str:
        return hashlib.blake2b("\n".join(parts).encode(), key=self._key, digest_size=16).hexdigest()

    async def count(self, keys: Sequence[str]) -> None:
        """A password was wrong."""
        now = timestamps.now()
        await self._counts.fail(keys, now, now + self._settings.failures_seconds * 1000)

    async def remember(self, key: str, pair: Counted) -> None:
        """A password was right: the pair's failures are forgiven, and it is known from now on."""
        now, days = timestamps.now(), self._settings.known_days
        known = now + days * DAY
        if pair.failures == 0 and (known - pair.known < DAY or not days):
            return  # all that a write would change is the last of many days
        try:
            await self._counts.know(key, known if days else 0)
        except (Unavailable, Conflict) as error:
            log.warning("a login could not be remembered", error=str(error))


def too_many(seconds: int) -> ProtocolError:
    """The answer to whoever was wrong too often."""
    return ProtocolError(
        429,
        CLIENT_REACHED_CAPACITY,
        "Too many wrong passwords, please retry later.",
        headers=(("Retry-After", str(seconds)),),
    )


def _locked(counted: Counted, most: int, now: int) -> int:
    """For how many seconds more no password is looked at; 0 when one is."""
    if not most or counted.failures < most or counted.until <= now:
        return 0
    return -((now - counted.until) // 1000)
