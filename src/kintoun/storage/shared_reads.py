"""Reads that arrive while others are under way share one statement: one round trip and one snapshot.

It is to reads what group commit is to writes. A round trip costs the database and the client more than the
few look-ups that it carries, so those who wait for one go together in the next. Every snapshot is taken after
all who share it have asked, so nobody reads anything older than alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kintoun.model.paths import ListPath, Path
from kintoun.storage.rows import Clock, Found, Stored, Unavailable, Wanted
from kintoun.storage.statements import CLOCK, GROUP, clock_of, stored

FLIGHTS = 2
"""Statements under way at once; who comes later waits for the next."""

MOST = 64
"""Reads that share one statement."""

# The arrays come as lines of text: the driver takes longer to encode an array than the database to split one.
_STATEMENT = (
    "SELECT 2 * (p.n - 1) + o.deleted AS tag, o.id AS id, o.ts AS ts, o.body AS body, o.grants AS grants"
    " FROM unnest(string_to_array($1, E'\\n'), string_to_array($2, E'\\n'))"
    " WITH ORDINALITY AS p (path, id, n)"
    ' JOIN clock k ON k.path = p.path COLLATE "C"'
    ' JOIN object o ON o.list = k.list AND o.id = p.id COLLATE "C"'
    f" UNION ALL SELECT {GROUP}, m.principal, 0, '/buckets/' || k.bucket || '/groups/' || m.id, ''"
    " FROM member m JOIN clock k ON k.list = m.list WHERE m.principal = ANY(string_to_array($3, E'\\n'))"
    f" UNION ALL SELECT {CLOCK}, k.path, k.ts, coalesce(k.list, 0) || ' ' || k.version || ' ' || k.live"
    " || ' ' || k.dead || ' ' || k.bytes || ' ' || k.watermark, '' FROM clock k"
    " WHERE k.path = ANY(string_to_array($4, E'\\n'))"
)

Alone = Callable[[Wanted], Awaitable[Found]]
Fetch = Callable[[str, Sequence[Any]], Awaitable[list[Any]]]


class SharedReads:
    """The reads of objects and clocks that wait for a round trip."""

    def __init__(self, alone: Alone, fetch: Fetch) -> None:
        self._alone = alone
        self._fetch = fetch
        self._flying = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._waiting: list[tuple[Wanted, asyncio.Future[Found | None]]] = []

    async def read(self, wanted: Wanted) -> Found:
        """The answer to a question without a page, together with others perhaps."""
        if not shareable(wanted):
            return await self._alone(wanted)
        if self._flying >= FLIGHTS:
            turn: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
            self._waiting.append((wanted, turn))
            try:
                found = await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and not turn.exception() and turn.result() is None:
                    self._hand_over()
                raise
            if found is not None:
                return found
            # It is this read's turn to carry those that wait behind it.
        else:
            self._flying += 1
        group, self._waiting = self._waiting[: MOST - 1], self._waiting[MOST - 1 :]
        try:
            return await self._carry(wanted, group)
        finally:
            self._hand_over()

    async def _carry(
        self, wanted: Wanted, group: Sequence[tuple[Wanted, asyncio.Future[Found | None]]]
    ) -> Found:
        if not group:
            return await self._alone(wanted)
        try:
            first, *others = await self._together([wanted, *(other for other, _ in group)])
        except asyncio.CancelledError:
            # Only this reader gave up: the others go with the next one.
            self._waiting[:0] = group
            raise
        except Unavailable as error:
            for _, turn in group:
                if not turn.done():
                    turn.set_exception(error)
            raise
        except Exception:
            # One of them may be at fault: by itself each gets its own outcome, whoever of them gives up.
            for other, turn in group:
                task = asyncio.ensure_future(self._settle(other, turn))
                self._settling.add(task)
                task.add_done_callback(self._settling.discard)
            return await self._alone(wanted)
        for (_, turn), found in zip(group, others, strict=True):
            if not turn.done():
                turn.set_result(found)
        return first

    async def _settle(self, wanted: Wanted, turn: asyncio.Future[Found | None]) -> None:
        try:
            found = await self._alone(wanted)
        except Exception as error:
            if not turn.done():
                turn.set_exception(error)
        else:
            if not turn.done():
                turn.set_result(found)

    def _hand_over(self) -> None:
        """Let the next read that still waits carry the others, or land."""
        while self._waiting:
            _, turn = self._waiting.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        self._flying -= 1

    async def _together(self, group: Sequence[Wanted]) -> list[Found]:
        points: dict[Path, int] = {}
        principals: dict[str, None] = {}
        clocks: dict[str, ListPath] = {}
        for wanted in group:
            for point in wanted.points:
                points.setdefault(point, len(points))
            principals.update(dict.fromkeys(wanted.principals))
            if wanted.clock is not None:
                clocks[str(wanted.clock)] = wanted.clock
        paths = "\n".join([kind.list_form % ids[:-1] for kind, ids in points])
        ids = "\n".join([ids[-1] for _, ids in points])
        rows = await self._fetch(_STATEMENT, (paths, ids, "\n".join(principals), "\n".join(clocks)))
        objects: list[Stored | None] = [None] * len(points)
        groups: dict[str, list[tuple[str, str]]] = {}
        found: dict[ListPath, Clock] = {}
        for row in rows:
            if row[0] >= 0:
                objects[row[0] >> 1] = stored(row)
            elif row[0] == GROUP:
                groups.setdefault(row[1], []).append((row[1], row[3]))
            else:
                path = clocks[row[1]]
                found[path] = clock_of(path, row)
        return [
            Found(
                [objects[points[point]] for point in wanted.points],
                [pair for principal in wanted.principals for pair in groups.get(principal, ())],
                found.get(wanted.clock) if wanted.clock is not None else None,
            )
            for wanted in group
        ]


def shareable(wanted: Wanted) -> bool:
    """Whether a question can go as lines of text: what clients name may hold anything, line breaks too."""
    if wanted.page is not None or wanted.total is not None:
        return False
    for _, ids in wanted.points:
        for name in ids:
            if "\n" in name:
                return False
    return all(
        "\n" not in name for name in (*wanted.principals, *(wanted.clock.parents if wanted.clock else ()))
    )
