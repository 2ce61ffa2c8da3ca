"""A list that is followed: its changes are read once for all who follow it.

What moved is read from the store by timestamp, whoever says that something did: from where the feed stands up
to the clock of the same snapshot. So nothing is missed and nothing read twice, whichever hints are lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from kintoun.features.live.manifests import manifest_of
from kintoun.features.live.views import Look, Own, Segment, View
from kintoun.model import json, timestamps
from kintoun.model.kinds import RECORD
from kintoun.model.paths import ListPath
from kintoun.model.query import Filter, Op, Sort
from kintoun.resources.service import Service
from kintoun.signatures.manifest import Manifest
from kintoun.storage.rows import Clock, Conflict, Found, Page, Row, Unavailable, Wanted

log = structlog.get_logger()

PAGE_ROWS, PAGE_BYTES = 1000, 1 << 20
"""Changes that are read at once at most: so many, and no more than make up so much where they are large."""

BELOW = 10
"""How many times as long as we take to hand on what is sent it takes in all, with the server below us and the
kernel."""

SHARE, LONGEST_REST = 0.03, 0.85
"""The part of its time that a feed may spend on sending while somebody writes without a pause, and how many
seconds it rests at most: writers are not kept from their work by those who follow, who hear of it within a
second."""

PAUSE, PAUSE_OF_COST = 0.005, 0.3
"""Who writes again within so many seconds after something was sent, or that part of what it took, writes
without a pause."""

SLICE, LONGEST_PAUSE = 200, 0.005
"""Followers that are sent something at once, and how many seconds at most it is waited before the next: their
events do not stand in a queue before the answers to others."""

BURST_SECONDS = 1.0
"""How much rest a feed may owe: a few commits that come together are sent at once."""

LONGEST_PAGE = 10_000
"""Objects of one reader's own that changed at once; with more it starts over."""

KEPT_SEGMENTS, KEPT_BYTES = 100, 1 << 19
"""What is kept of the latest changes, for those who are about to follow."""

AGAIN_SECONDS = 0.5
"""How long is waited for a database that cannot be reached."""

_OLDEST_FIRST = (Sort("last_modified", False),)


def page_rows(clock: Clock) -> int:
    """How many changes of a list are read at once, by how large its objects are in the mean."""
    if clock.bytes <= PAGE_BYTES:
        return PAGE_ROWS
    return max(1, min(PAGE_ROWS, PAGE_BYTES * (clock.live + clock.dead) // clock.bytes))


def changes_page(service: Service, path: ListPath, after: int, rows: int = PAGE_ROWS, **more: Any) -> Page:
    """The page of the next changes in a list after a timestamp, and one row more than it is to have."""
    filters = (Filter("last_modified", Op.GT, after),)
    page = Page(filters, _OLDEST_FIRST, rows + 1, deleted=True)._replace(**more)
    of_kind = service.rules[path.kind].page
    return page if of_kind is None else of_kind(page)


def standing_clock(path: ListPath, found: Found) -> Clock | None:
    """The clock of a list whose parent is there; None when it is not."""
    parent = found.points[-1] if found.points else None
    if path.parent is not None and (parent is None or parent.deleted):
        return None
    if found.clock is not None:
        return found.clock
    return Clock(path, None, parent.timestamp if parent is not None else 0, 0, 0, 0, 0, 0)


class Feed:
    """One list, and the views of those who follow it.

    `position` is the timestamp up to which they were sent what changed; `until` is not 0 within a commit that
    is read in pages. `lost` is called when the list is gone or another one stands at its path; `pushed` with
    the bytes of a segment for all views and the seconds since its commit.
    """

    def __init__(
        self,
        service: Service,
        path: ListPath,
        lost: Callable[[Feed], None],
        pushed: Callable[[int, float], None],
    ) -> None:
        self.path = path
        self.position = -1
        self.until = 0
        self.number: int | None = None
        self.page_rows = PAGE_ROWS
        """How many changes are read at once."""
        self.manifest: Manifest | None = None
        """Of the published collection, as of the position."""
        self._metadata = 0
        """The timestamp of the metadata that was looked at for it."""
        self._service = service
        self._lost = lost
        self._pushed = pushed
        self._views: dict[object, View] = {}
        self._kept: deque[Segment] = deque()
        self._kept_bytes = 0
        self.lock = asyncio.Lock()
        """Held while the position moves."""
        self._paused = self._rested = 0.0
        """When nobody has written again after something was sent, and when the feed will have rested for all
        that it sent."""
        self._pressed = False
        """Whether somebody writes without a pause."""
        self._hints = 0
        """How often something moved that was not read."""
        self._task: asyncio.Task[None] | None = None

    # Views

    def view(self, look: Look) -> View:
        """The view of those who ask this."""
        names = look.fields.names if look.fields is not None else None
        key = json.encode((look.filters, names)), look.principals, look.form
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = View(look)
        return view

    def forget(self, view: View) -> None:
        """Drop a view that nobody follows."""
        if not view.followers:
            self._views = {key: each for key, each in self._views.items() if each is not view}

    async def know(self, view: View, most: int) -> bool:
        """Find out what readers of their own objects see; False when that is more than `most` objects.

        Whoever calls holds the lock.
        """
        if view.own is not None:
            return True
        rows = await self._own(view.look, -1, limit=most + 1, deleted=False)
        if len(rows) > most:
            return False
        view.own = Own({row[1] for row in rows})
        return True

    async def _own(self, look: Look, after: int, **more: Any) -> Sequence[Row]:
        """What changed after a timestamp of what readers of their own objects may see."""
        page = changes_page(
            self._service, self.path, after, holders=look.principals, permissions=look.seen_by, **more
        )
        wanted = Wanted(points=self.path.lineage, clock=self.path, page=page)
        return (await self._service.store.read(wanted)).rows or ()

    # Changes

    def since(self, timestamp: int) -> list[Row] | None:
        """The changes after a timestamp, up to the position; None when they are not kept any more."""
        if timestamp >= self.position:
            return []
        if not self._kept or timestamp < self._kept[0].start:
            return None
        return [
            row
            for segment in self._kept
            if segment.end > timestamp
            for row in segment.rows
            if row[2] > timestamp
        ]

    def wake(self) -> None:
        """Read what changed, soon."""
        self._hints += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def reach(self, timestamp: int) -> None:
        """Wait until the position is at a timestamp that the list's clock has shown, or beyond."""
        if self.position < timestamp:
            self.wake()
        while self.position < timestamp and self._task is not None:
            await asyncio.wait([self._task])

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._hints:
                await self._gather()
                self._hints = 0
                try:
                    while await self._read():
                        pass
                except Exception as error:
                    if not isinstance(error, (Unavailable, Conflict)):
                        log.exception("a list that is followed could not be read", list=str(self.path))
                    self._hints += 1
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Let what is committed gather, while somebody writes without a pause and much was sent of it.

        Who waits for each change to arrive, and then writes the next, does not.
        """
        now = time.monotonic()
        self._pressed = self._pressed or now < self._paused
        early = self._rested - now - BURST_SECONDS
        if self._pressed and early > 0:
            await asyncio.sleep(early)
            self._pressed = self._hints > 1

    async def _read(self) -> bool:
        """Read a page and send it; returns whether there is more to be read."""
        async with self.lock:
            return await self._advance()

    async def _advance(self) -> bool:
        began, most, page = self.position, self.page_rows, None
        if began >= 0:
            page = changes_page(self._service, self.path, began, most, until=self.until or None)
        found = await self._service.store.read(Wanted(points=self.path.lineage, clock=self.path, page=page))
        clock = standing_clock(self.path, found)
        if clock is None or (began >= 0 and clock.list != self.number):
            self._start_anew(clock)
            return False
        self.page_rows = page_rows(clock)
        rows = found.rows
        if rows is None:
            self.number, self.position = clock.list, clock.timestamp
            self._attested(found)
            return False
        target = self.until or clock.timestamp
        more = len(rows) > most
        if more:
            rows = rows[:most]
            segment = Segment(began, rows[-1][2], target, rows)
        else:
            segment = Segment(began, target, 0, rows)
        caught_up = not more and target >= clock.timestamp
        if caught_up and self._attested(found):
            segment = segment._replace(manifest=self.manifest)
        if segment.end > began or segment.manifest is not None:
            await self._send(segment, await self._visible(segment))
        return not caught_up

    def _attested(self, found: Found) -> bool:
        """Look for a manifest in what stands above the list; returns whether there is another than before."""
        collection = found.points[-1] if self.path.kind is RECORD else None
        if collection is None or collection.timestamp == self._metadata:
            return False
        before, self.manifest = self.manifest, manifest_of(collection.body)
        self._metadata = collection.timestamp
        return self.manifest not in (before, None)

    async def _visible(self, segment: Segment) -> dict[View, dict[str, int]]:
        """What of a segment the readers may see who do not see all: asked once for equal ones."""
        visible: dict[View, dict[str, int]] = {}
        for view in tuple(self._views.values()):
            if view.own is not None and segment.rows:
                # Not only up to the segment's end: what changed again since is not lost.
                rows = await self._own(view.look, segment.start, limit=LONGEST_PAGE)
                if len(rows) < LONGEST_PAGE:
                    visible[view] = {row[1]: row[2] for row in rows}
        return visible

    async def _send(self, segment: Segment, visible: Mapping[View, Mapping[str, int]]) -> None:
        self.position, self.until = segment.end, segment.until
        if segment.end > segment.start:
            self._kept.append(segment)
            self._kept_bytes += segment.size()
        while len(self._kept) > KEPT_SEGMENTS or (self._kept_bytes > KEPT_BYTES and self._kept):
            self._kept_bytes -= self._kept.popleft().size()
        parts = []
        for view in tuple(self._views.values()):
            data = view.render(segment, visible.get(view, None if segment.rows else {}))
            if data is not None:
                parts.append((data, tuple(view.followers)))
        self._pushed(sum(len(data) for data, _ in parts), max(0.0, (timestamps.now() - segment.end) / 1000))
        cost = 0.0
        for data, followers in parts:
            for first in range(0, len(followers), SLICE):
                began = time.perf_counter()
                for follower in followers[first : first + SLICE]:
                    follower.push(segment, data)
                took = BELOW * (time.perf_counter() - began)
                cost += took
                if first + SLICE < len(followers):
                    await asyncio.sleep(min(took, LONGEST_PAUSE))
        for view in self._views.values():
            if view.emptied:
                view.emptied = False
                for follower in tuple(view.followers):
                    follower.doubt()
        now = time.monotonic()
        self._paused = now + max(PAUSE, PAUSE_OF_COST * cost)
        owed = max(self._rested, now) + min(cost / SHARE, LONGEST_REST)
        self._rested = min(owed, now + BURST_SECONDS + LONGEST_REST)

    def _start_anew(self, clock: Clock | None) -> None:
        """The list was deleted, and perhaps made again: nobody who followed it is in step."""
        self._kept.clear()
        self._kept_bytes = self.until = self._metadata = 0
        self.position = -1
        self.manifest = None
        if clock is not None:
            self.number, self.position = clock.list, clock.timestamp
        for view in self._views.values():
            view.own = None
        self._lost(self)
