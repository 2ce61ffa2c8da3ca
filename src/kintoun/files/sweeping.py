"""Removing what nothing names any longer.

1. A location that no record names is marked, and once it has been for the time of grace, it is forgotten.
2. A blob that no location stands for, and that nobody has asked to keep for the time of grace, is forgotten:
   its row goes, with its bytes if they are in the database, and otherwise its key is condemned.
3. The bytes under condemned keys are deleted, and those of uploads that broke off.

None of it can hurt an upload of the same content, whatever the clocks of the servers say. A key is used once:
content that comes again finds the row of its blob, and by touching it takes part in the decision under the
row's lock; or it finds none, and gets another key. The same goes for a record that names a location. A step
takes the locks first and looks after that, by a statement of its own, which sees what was committed before
the locks were granted. And an upload that takes so long that it was thought to have broken off notices, when
it settles its key, and begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import structlog

from kintoun.files.backends import Backend, BackendFailed
from kintoun.files.keeping import let_go
from kintoun.files.measuring import FileMeasures
from kintoun.files.references import Relative, location_in
from kintoun.files.spool import remove_left_overs
from kintoun.model import timestamps
from kintoun.storage import Store
from kintoun.storage.engine import Transaction

log = structlog.get_logger()

STEP = 200
"""Rows that one transaction looks at, so that no writer waits long behind it."""

UPLOAD_MS = 3_600_000
"""How long an upload may take from its announcement to its end, at least."""

_NAMED = (
    "EXISTS (SELECT 1 FROM reference r JOIN clock k ON k.list = r.list WHERE r.location = location.location)"
)
_TO_MARK = (
    f"SELECT location FROM location WHERE location > $1 AND orphaned IS NULL AND keep = 0 AND NOT {_NAMED}"
    " ORDER BY location LIMIT $2"
)
_MARK = "UPDATE location SET orphaned = $2 WHERE location = $1 AND orphaned IS NULL"
_TO_UNMARK = (
    f"SELECT location FROM location WHERE location > $1 AND orphaned IS NOT NULL AND {_NAMED}"
    " ORDER BY location LIMIT $2"
)
_UNMARK = "UPDATE location SET orphaned = NULL WHERE location = $1"

_DUE = (
    "SELECT location FROM location WHERE location > $1 AND keep = 0 AND orphaned <= $3"
    " ORDER BY location LIMIT $2"
)
_LOCK_LOCATION = (
    "UPDATE location SET orphaned = orphaned WHERE location = $1 AND keep = 0 AND orphaned <= $2"
    " RETURNING location"
)
_FORGET_LOCATION = f"DELETE FROM location WHERE location = $1 AND NOT {_NAMED} RETURNING location"

_UNUSED = (
    "SELECT sha256 FROM blob WHERE sha256 > $1 AND touched <= $3"
    " AND NOT EXISTS (SELECT 1 FROM location l WHERE l.sha256 = blob.sha256) ORDER BY sha256 LIMIT $2"
)
_LOCK_BLOB = "UPDATE blob SET touched = touched WHERE sha256 = $1 AND touched <= $2 RETURNING sha256"
_FORGET_BLOB = (
    "DELETE FROM blob WHERE sha256 = $1"
    " AND NOT EXISTS (SELECT 1 FROM location l WHERE l.sha256 = blob.sha256) RETURNING key, size"
)
_FORGET_VARIANTS = "DELETE FROM variant WHERE sha256 = $1 RETURNING key"

_CONDEMN_UPLOADS = "UPDATE loose SET condemned = 1 WHERE condemned = 0 AND since <= $1"
_CONDEMNED = "SELECT key FROM loose WHERE condemned = 1 AND key > $1 ORDER BY key LIMIT $2"
_GONE = "DELETE FROM loose WHERE key = $1 AND condemned = 1"

_UNLINKED = (
    "SELECT r.list, r.id FROM reference r WHERE NOT EXISTS (SELECT 1 FROM clock k WHERE k.list = r.list)"
    " LIMIT $1"
)
_DROP = "DELETE FROM reference WHERE list = $1 AND id = $2"

# Lists that were deleted have no clock with their number.
_NAMING = (
    "SELECT o.list, o.id, o.body FROM object o JOIN clock k ON k.list = o.list"
    " WHERE (o.list > $1 OR (o.list = $1 AND o.id > $2)) AND o.deleted = 0"
    " AND o.body LIKE '%\"attachment\"%' ORDER BY o.list, o.id LIMIT $3"
)
_HEAL = (
    "INSERT INTO reference (list, id, location) VALUES ($1, $2, $3)"
    " ON CONFLICT (list, id) DO UPDATE SET location = excluded.location"
)


class Sweeper:
    """Sweeps the files of a server, `grace` seconds after the last record named them."""

    def __init__(
        self,
        store: Store,
        backend: Backend,
        relative: Relative,
        grace: int,
        measures: FileMeasures | None = None,
    ) -> None:
        self._measures = measures
        self._store = store
        self._backend = backend
        self._relative = relative
        self._grace_ms = grace * 1000

    async def run(self, pause: float) -> None:
        """Sweep again and again, with pauses of so many seconds."""
        while True:
            try:
                await self._backend.open()
                await self.sweep()
            except BackendFailed as error:
                log.warning("sweeping files waits for the back end", error=str(error))
            await asyncio.sleep(pause)

    async def sweep(self, now: int | None = None) -> None:
        """One round, as if it was `now` (milliseconds since the epoch). Raises BackendFailed."""
        now = timestamps.now() if now is None else now
        await self._drop_references()
        await self._mark(now)
        await self._forget_locations(now - self._grace_ms)
        removed = await self._forget_blobs(now - self._grace_ms)
        await self._store.transact(
            lambda transaction: transaction.fetch(_CONDEMN_UPLOADS, (now - max(self._grace_ms, UPLOAD_MS),))
        )
        await self._delete_condemned()
        await asyncio.to_thread(remove_left_overs, self._backend.uploads)
        if self._measures is not None:
            self._measures.swept(removed)

    async def _steps(self, sql: str, *args: int) -> AsyncIterator[list[str]]:
        """The first columns of a statement's rows, a step at a time, in their order."""
        last = ""
        while rows := await self._store.fetch(sql, (last, STEP, *args)):
            last = rows[-1][0]
            yield [row[0] for row in rows]

    async def _each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        async def run(transaction: Transaction) -> None:
            await transaction.execute_many(sql, rows)

        await self._store.transact(run)

    async def _drop_references(self) -> None:
        """Drop the references of records whose list was deleted."""
        while rows := await self._store.fetch(_UNLINKED, (STEP,)):
            await self._each(_DROP, [(row[0], row[1]) for row in rows])

    async def _mark(self, now: int) -> None:
        async for step in self._steps(_TO_UNMARK):
            await self._each(_UNMARK, [(location,) for location in step])
        async for step in self._steps(_TO_MARK):
            await self._each(_MARK, [(location, now) for location in step])

    async def _forget_locations(self, before: int) -> None:
        due = {location async for step in self._steps(_DUE, before) for location in step}
        if not due:
            return
        await self._heal(due)
        async for step in self._steps(_DUE, before):
            forgotten = await self._store.transact(partial(_forget_locations, step, before))
            log.info("files that no record names were forgotten", locations=forgotten)

    async def _heal(self, due: set[str]) -> None:
        """Note the references of records that name what is about to go, and that nobody noted.

        There are such records when they were written while the feature was switched off, or by other means
        than the server. It takes a look at all records, so it is done only before something goes.
        """
        at: tuple[int, str] = (-1, "")
        while rows := await self._store.fetch(_NAMING, (*at, STEP)):
            at = rows[-1][0], rows[-1][1]
            found = [(row[0], row[1], location_in(row[2], self._relative)) for row in rows]
            missing = [each for each in found if each[2] in due]
            if missing:
                await self._each(_HEAL, missing)
                await self._each(_UNMARK, [(each[2],) for each in missing])

    async def _forget_blobs(self, before: int) -> int:
        removed = 0
        async for step in self._steps(_UNUSED, before):
            removed += await self._store.transact(partial(_forget_blobs, step, before))
        return removed

    async def _delete_condemned(self) -> None:
        async for step in self._steps(_CONDEMNED):
            for key in step:
                await self._backend.delete(key)
            await self._each(_GONE, [(key,) for key in step])


async def _forget_locations(step: Sequence[str], before: int, transaction: Transaction) -> int:
    locked = [each for each in step if await transaction.fetch(_LOCK_LOCATION, (each, before))]
    gone = [each for each in locked if await transaction.fetch(_FORGET_LOCATION, (each,))]
    return len(gone)


async def _forget_blobs(step: Sequence[str], before: int, transaction: Transaction) -> int:
    removed = 0
    locked = [each for each in step if await transaction.fetch(_LOCK_BLOB, (each, before))]
    for sha256 in locked:
        gone = await transaction.fetch(_FORGET_BLOB, (sha256,))
        if not gone:
            continue
        variants = await transaction.fetch(_FORGET_VARIANTS, (sha256,))
        removed += await let_go(transaction, [row[0] for row in (*gone, *variants) if row[0] is not None])
    return removed
