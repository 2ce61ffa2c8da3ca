"""One stream: what its reader has been sent, and what comes next.

A stream either follows its lists, and is pushed what changes; or it catches up, and reads from the store what
it has not been sent. It changes from one to the other without a gap or a repeat, because both go by the same
timestamps. Nothing is pushed into a buffer without bounds: who does not read has to catch up again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kintoun.features.live import events
from kintoun.features.live.events import place_of, position
from kintoun.features.live.feeds import AGAIN_SECONDS, Feed, changes_page, standing_clock
from kintoun.features.live.rights import Rights
from kintoun.features.live.views import Look, Segment, View
from kintoun.http.answers import Pushing
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.errors import MISSING_AUTH_TOKEN, ProtocolError, invalid
from kintoun.storage.rows import Conflict, Unavailable, Wanted

if TYPE_CHECKING:
    from kintoun.features.live.hub import Hub

MOST_BYTES = 65_536
"""Of what waits that is sent at once."""


class Track:
    """One list of a stream: how far its reader is, and whether it follows.

    A position is a timestamp and, within what leads up to another one, that one, else 0. `sent` is that up to
    which the reader was sent everything, `at` that up to which what it was not sent waits. A `fresh` reader
    is sent what there is, and no tombstones; one that has to start over is told to.
    """

    __slots__ = (
        "at", "feed", "follows", "fresh", "grounds", "look", "rights", "sent", "start_over", "stream", "view",
        "watermark",
    )  # fmt: skip

    def __init__(self, stream: Stream, feed: Feed, look: Look, rights: Rights, since: int) -> None:
        self.stream = stream
        self.feed = feed
        self.look = look
        self.view: View | None = None
        self.rights = rights
        self.grounds: set[str] = set()
        self.at = self.sent = since, 0
        self.watermark = rights.clock.watermark
        self.follows = self.fresh = False
        # What a reader of its own objects lost while it was away can only be told by telling what is left.
        self.start_over = look.principals is not None and 0 < since < rights.clock.timestamp

    def push(self, segment: Segment, data: bytes) -> None:
        """What the list's feed sends to its followers."""
        if not self.follows or self.at[0] != segment.start:
            return
        self.at = segment.end, segment.until
        if data:
            self.stream.put(data)

    def lose(self) -> None:
        """It cannot be told what changed: start over."""
        self.leave(start_over=True)
        self.stream.stir()

    def doubt(self) -> None:
        """It has to be looked at whether it may still follow."""
        self.stream.doubt()

    def leave(self, *, start_over: bool = False) -> None:
        """Follow no more, and go on from what was sent; or from nothing."""
        if self.view is not None:
            self.view.followers.discard(self)
            self.feed.forget(self.view)
            self.view = None
        self.follows = False
        # As of one that comes back.
        lost = self.look.principals is not None and self.at != self.sent
        self.start_over = self.start_over or start_over or lost
        self.at = self.sent


class Stream(Pushing):
    """The body of a live answer: see `http.answers.Stream`."""

    __slots__ = (
        "_beat", "_buffer", "_ended", "_first", "_hub", "_size", "_told", "_wake",
        "address", "doubtful", "due", "expires", "lagged", "request", "tracks", "user",
    )  # fmt: skip

    def __init__(self, hub: Hub, request: Request, user: str | None, address: str) -> None:
        super().__init__()
        self._hub = hub
        self.request = request
        self.user = user
        self.address = address
        self.tracks: list[Track] = []
        self.doubtful = False
        """Whether something changed that the reader's rights rest on."""
        self.lagged = False
        """Whether the reader does not keep up."""
        self.expires = self.due = 0.0
        self._buffer: list[bytes] = []
        self._size = 0
        self._beat = False
        self._ended: bytes | None = None
        self._first = events.retry(hub.retry_seconds())
        self._told = False
        """Whether the reader was told of any place."""
        self._wake: asyncio.Future[None] | None = None

    def __aiter__(self) -> Stream:
        return self

    # Called by others

    def put(self, data: bytes) -> None:
        """Send bytes, as soon as the reader takes them."""
        if self._idle() and self._pushed(data):
            return
        self._buffer.append(data)
        self._size += len(data)
        if self._size > self._hub.settings.buffer_bytes and self._wake is None:
            self.lagged = True
            self.drop()
        self.stir()

    def doubt(self) -> None:
        """Send nothing more before it is certain that the reader may see it."""
        self.doubtful = True
        self.stir()

    def beat(self) -> None:
        """Show that the stream is there."""
        if self._idle() and self._in_place() and self.push is not None and self.push(events.HEARTBEAT):
            return
        self._beat = True
        self.stir()

    def end(self, last: bytes = b"") -> None:
        """Send one thing more, and no other."""
        if self._ended is None:
            self._ended = last
            self.drop()
            self.stir()

    def drop(self) -> None:
        """Forget what waits: it is read again from the store."""
        self._buffer.clear()
        self._size = 0
        for track in self.tracks:
            track.leave()

    def stir(self) -> None:
        """Look at what is to be done."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _idle(self) -> bool:
        """Whether nothing is to be done, and who sends the answer waits."""
        return self._wake is not None and not self._wake.done()

    def _pushed(self, data: bytes) -> bool:
        """Send bytes at once, if that can be done."""
        if self.push is None or not self.push(self._placed(data)):
            return False
        self._mark()
        return True

    def _placed(self, data: bytes) -> bytes:
        """Events, and how far the reader is with them if they do not tell it by their own ids."""
        if len(self.tracks) == 1 and self.tracks[0].look.form == "plain":
            return data
        return data + events.place_only(self._place())

    def _mark(self) -> None:
        """The reader was sent all there is, and told how far it is."""
        self._told = True
        for track in self.tracks:
            track.sent = track.at

    def _in_place(self) -> bool:
        """Whether the reader knows how far it is."""
        return self._told and all(track.sent == track.at for track in self.tracks)

    # Called by who sends the answer

    async def __anext__(self) -> bytes:
        while True:
            if self._ended is not None:
                return self._last()
            if self.doubtful:
                await self._recheck()
            elif self._buffer:
                return self._take()
            elif (behind := next((track for track in self.tracks if not track.follows), None)) is not None:
                await self._catch_up(behind)
            elif self._first or self._beat:
                return self._here()
            else:
                await self._woken()

    async def _woken(self) -> None:
        self.lagged = False
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    async def aclose(self) -> None:
        """Let go of everything."""
        self._hub.left(self)

    def _last(self) -> bytes:
        last, self._ended = self._ended, b""
        if not last:
            raise StopAsyncIteration
        return last

    def _take(self) -> bytes:
        """What waits, to the end: the parts of a commit stay together."""
        data = self._first + self._placed(b"".join(self._buffer))
        self._first = b""
        self._buffer.clear()
        self._size = 0
        self._mark()
        return data

    def _here(self) -> bytes:
        """A sign of life, and with it the place if it moved without anything to show for it."""
        self._beat = False
        first, self._first = self._first, b""
        if self._in_place():
            return first + events.HEARTBEAT
        self._mark()
        return first + events.place_only(self._place())

    def _place(self) -> str:
        return place_of([position(*track.at) for track in self.tracks])

    # Catching up

    async def _catch_up(self, track: Track) -> None:
        """Bring a list that is not followed a step further: a page, or to where it is followed."""
        feed = track.feed
        try:
            if track.start_over:
                self._start_over(track)
            await feed.reach(0)
            if not track.fresh and not track.at[1]:
                # Nobody begins before what the list's clock has shown it already, however late a wake-up is.
                await feed.reach(max(track.at[0], track.rights.clock.timestamp))
                if track.look.principals is not None:
                    await self._follow_own(track)
                    return
                if self._follow(track, feed.view(track.look)):
                    return
            await self._page(track)
        except (Unavailable, Conflict):
            await asyncio.sleep(AGAIN_SECONDS)
        except ProtocolError as error:
            self.end(events.ending(error))

    def _start_over(self, track: Track) -> None:
        track.start_over, track.fresh = False, True
        track.at = 0, 0
        data = events.event(json.encode_text({"list": track.look.path}), "reset")
        self._buffer.append(data.encode())

    async def _follow_own(self, track: Track) -> None:
        """Follow as a reader of its own objects, from where the list's feed stands."""
        feed, most = track.feed, self._hub.settings.own_objects
        async with feed.lock:
            view = feed.view(track.look)
            try:
                if not await feed.know(view, most):
                    raise too_many(most)
                if track.at[0] < feed.position and not track.at[1]:
                    await self._page(track, feed.position)
                if track.at[0] >= feed.position and view.look is track.look:
                    self._follow(track, view)
            finally:
                feed.forget(view)

    def _follow(self, track: Track, view: View) -> bool:
        """Follow from here, when what lies between is still known."""
        feed = track.feed
        if feed.position < 0:
            return False
        # Who knows more than there is has known what was lost; it is sent what comes instead.
        start = min(track.at[0], feed.position)
        rows = feed.since(start)
        if rows is None or self.doubtful or self._ended is not None:
            return False
        track.view, track.follows = view, True
        view.followers.add(track)
        segment = Segment(start, feed.position, feed.until, rows, feed.manifest)
        track.at = segment.end, segment.until
        if rows or segment.manifest is not None:
            data = track.look.render(segment)
            if data:
                self._buffer.append(data)
        return True

    async def _page(self, track: Track, to: int = 0) -> None:
        """Read a page of what the reader has not been sent, up to a timestamp perhaps."""
        look, path, (start, until), most = track.look, track.feed.path, track.at, track.feed.page_rows
        bound = until or to
        own = look.principals is not None
        page = changes_page(
            self._hub.service, path, start, most, until=bound or None, deleted=not track.fresh,
            holders=look.principals, permissions=look.seen_by if own else None,
        )  # fmt: skip
        found = await self._hub.service.store.read(Wanted(points=path.lineage, clock=path, page=page))
        clock, rows = standing_clock(path, found), found.rows or ()
        if clock is None or clock.list != track.feed.number:
            track.feed.wake()  # which notices it, and has everybody start over
            self.doubtful = True
            return
        if track.at != (start, until) or track.start_over or track.look is not look:
            return  # it has to start over
        if clock.watermark != track.watermark and 0 < start < clock.watermark and not (track.fresh or own):
            track.watermark = clock.watermark
            track.start_over = True
            return
        until = bound or clock.timestamp
        more = len(rows) > most
        segment = Segment(start, rows[most - 1][2] if more else until, until * more, rows[:most])
        data = look.render(segment, fresh=track.fresh) if rows else b""
        track.at = segment.end, segment.until
        track.fresh = track.fresh and more
        if data:
            self._buffer.append(data)

    # Rights

    async def _recheck(self) -> None:
        """Go on, start over or end, by what the reader may see now."""
        self.doubtful = False
        for track in self.tracks:
            try:
                rights = await self._hub.rights(self, track.feed.path)
                if rights.user != self.user:
                    raise not_any_more()
            except (Unavailable, Conflict, ProtocolError) as error:
                if isinstance(error, ProtocolError) and error.status < 500:
                    self.end(events.ending(error))
                    return
                self.doubtful = True
                await asyncio.sleep(AGAIN_SECONDS)
                return
            if not rights.same(track.rights):
                self.drop()
                track.leave(start_over=True)
                track.look = track.look._replace(principals=None if rights.whole else rights.principals)
            self._hub.rest_on(track, rights)


def not_any_more() -> ProtocolError:
    """401: the credentials that a stream was asked for with are not valid any more."""
    return ProtocolError(401, MISSING_AUTH_TOKEN, "These credentials are not valid any more.")


def too_many(most: int) -> ProtocolError:
    """400: a reader sees too many objects by themselves to be told of each that it loses."""
    return invalid("header", "Accept", f"More than {most} objects of your own cannot be followed.")
