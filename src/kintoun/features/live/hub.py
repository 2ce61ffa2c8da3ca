"""All streams of one worker: what they follow, what their readers' rights rest on, and how many there are."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Collection, Iterable

from kintoun.features.live.feeds import Feed
from kintoun.features.live.rights import Rights, grounds, rights_of, witness_of
from kintoun.features.live.settings import LiveSettings
from kintoun.features.live.streams import Stream, Track
from kintoun.features.live.views import Look
from kintoun.http.addresses import Addresses
from kintoun.http.requests import Request
from kintoun.model.errors import BACKEND, CLIENT_REACHED_CAPACITY, ProtocolError
from kintoun.model.paths import ACCOUNTS, CREDENTIALS, ListPath, Path
from kintoun.resources.service import Service
from kintoun.storage.rows import Conflict, Unavailable, Wanted

TICK_SECONDS = 1.0

CHECKS = 8
"""Readers whose rights are looked at at once."""

SHARED_SECONDS, MOST_SHARED = 2.0, 1000
"""How long what anybody may see of a list is relied on for others who are nobody, and for how many lists."""

WITNESSES = 500
"""Accounts that are looked at in one statement."""

_LATER = (("Retry-After", "30"),)

_OF_ACCOUNTS = frozenset((str(ACCOUNTS), str(CREDENTIALS)))


class Hub:
    """The streams of a worker."""

    def __init__(self, service: Service, settings: LiveSettings, addresses: Addresses) -> None:
        self.service = service
        self.settings = settings
        self.checking = asyncio.Semaphore(CHECKS)
        self.heard = 0
        """How often something moved."""
        self.anybody: dict[str, tuple[int, float, Rights]] = {}
        """What somebody without credentials may see of lists: as of `doubts`, and of a time."""
        self.doubts = 0
        """How often something moved that rights rest on."""
        self._addresses = addresses
        self._streams: set[Stream] = set()
        self._feeds: dict[str, Feed] = {}
        self._below: dict[str, set[Feed]] = {}
        """The feeds by the lists of what stands above them: a manifest is told of there."""
        self._followers: Counter[str] = Counter()
        self._grounds: dict[str, set[Stream]] = {}
        self._interest: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self._from: Counter[str] = Counter()
        self._wheel: list[set[Stream]] = [set() for _ in range(settings.heartbeat_seconds)]
        self._accounts: asyncio.Task[None] | None = None
        measures = service.measures
        self._open = measures.gauge("live_streams", "Streams that are open.")
        self._begun = measures.counter("live_streams_total", "Streams that were begun.")
        self._cut = measures.counter(
            "live_cut_off_total", "Streams that were ended because their reader did not keep up."
        )
        self._sent = measures.counter("live_segments_total", "Times that changes of a list were passed on.")
        self._lag = measures.histogram("live_lag_seconds", "Age of changes when they were passed on.")

    def retry_seconds(self) -> float:
        """When a client is to connect anew: not all at the same time."""
        return self.settings.retry_seconds * random.uniform(0.5, 1.5)  # noqa: S311

    # Streams

    def join(
        self,
        request: Request,
        asked: Iterable[tuple[ListPath, Look, Rights, int]],
        user: str | None,
        heard: int,
    ) -> Stream:
        """A stream of lists from their timestamps on; `heard` is from before the rights were looked at.

        Raises ProtocolError when there are too many.
        """
        stream = Stream(self, request, user, self._addresses.network(request))
        self._admit(stream)
        now = time.monotonic()
        stream.expires = now + self.settings.max_age_seconds * random.uniform(0.9, 1.0)  # noqa: S311
        stream.due = now + self.settings.check_seconds
        for path, look, rights, since in asked:
            track = Track(stream, self._feed(path), look, rights, since)
            stream.tracks.append(track)
            self._followers[look.path] += 1
            self._interest[look.path] += 1
            self.rest_on(track, rights)
        stream.doubtful = heard != self.heard
        self._streams.add(stream)
        self._wheel[random.randrange(len(self._wheel))].add(stream)  # noqa: S311
        self._begun.add()
        self._open.set(len(self._streams))
        return stream

    def _admit(self, stream: Stream) -> None:
        most = self.settings
        if len(self._streams) >= most.streams:
            raise _no_room()
        if stream.user is not None and self._users[stream.user] >= most.streams_per_user:
            raise _too_many("of this user")
        if self._from[stream.address] >= most.streams_per_address:
            raise _too_many("to this address")
        if stream.user is not None:
            self._users[stream.user] += 1
        self._from[stream.address] += 1

    def left(self, stream: Stream) -> None:
        """A stream has ended, however it did."""
        if stream not in self._streams:
            return
        self._streams.discard(stream)
        for slot in self._wheel:
            slot.discard(stream)
        if stream.user is not None:
            _less(self._users, stream.user)
        _less(self._from, stream.address)
        for track in stream.tracks:
            track.leave()
            self._rest_on(track, set())
            path = track.look.path
            _less(self._interest, path)
            _less(self._followers, path)
            if path not in self._followers:
                self._drop(self._feeds.pop(path))
        if stream.lagged:
            self._cut.add()
        self._open.set(len(self._streams))

    def _feed(self, path: ListPath) -> Feed:
        name = str(path)
        feed = self._feeds.get(name)
        if feed is None:
            feed = self._feeds[name] = Feed(self.service, path, self._lost, self._passed_on)
            if path.parent is not None:
                self._below.setdefault(str(path.parent.list), set()).add(feed)
        return feed

    def _drop(self, feed: Feed) -> None:
        feed.close()
        if feed.path.parent is not None:
            above = str(feed.path.parent.list)
            self._below[above].discard(feed)
            if not self._below[above]:
                del self._below[above]

    def _lost(self, feed: Feed) -> None:
        for stream in self._streams:
            for track in stream.tracks:
                if track.feed is feed:
                    stream.drop()
                    track.leave(start_over=True)
                    stream.doubt()

    def _passed_on(self, size: int, lag: float) -> None:
        if size:
            self._sent.add()
            self._lag.observe(lag)

    # What moves

    def watched(self) -> Collection[str]:
        """The lists that matter now: see `storage.wakeups`."""
        return self._interest.keys()

    def hear(self, paths: Collection[str] | None) -> None:
        """Lists moved: see `storage.wakeups`."""
        self.heard += 1
        if paths is None:
            self.doubts += 1
            for feed in self._feeds.values():
                feed.wake()
            for stream in self._streams:
                stream.doubt()
            return
        for path in paths:
            feed_of = self._feeds.get(path)
            if feed_of is not None:
                feed_of.wake()
            for feed in self._below.get(path, ()):
                feed.wake()
            if path not in self._grounds:
                continue
            self.doubts += 1
            if path not in _OF_ACCOUNTS:
                for stream in self._grounds[path]:
                    stream.doubt()
            elif self._accounts is None:
                self._accounts = asyncio.get_running_loop().create_task(self._look_at_accounts(self.heard))

    async def rights(self, stream: Stream, path: ListPath) -> Rights:
        """What a stream's reader may see of a list now: see `rights_of`. Asked once for all nobodies."""
        if stream.user is not None:
            async with self.checking:
                return await rights_of(self.service, stream.request, path)
        name = str(path)
        async with self.checking:
            known = self.anybody.get(name)
            now = time.monotonic()
            if known is not None and known[0] == self.doubts and now < known[1] + SHARED_SECONDS:
                return known[2]
            doubts = self.doubts
            rights = await rights_of(self.service, stream.request, path)
            if rights.user is None:
                if len(self.anybody) > MOST_SHARED:
                    self.anybody.clear()
                self.anybody[name] = doubts, now, rights
            return rights

    def rest_on(self, track: Track, rights: Rights) -> None:
        """A reader's rights were looked at, and are these."""
        if (
            rights.principals != track.rights.principals
            or rights.claim != track.rights.claim
            or not track.grounds
        ):
            self._rest_on(track, grounds(track.feed.path, rights))
        track.rights = rights

    def _rest_on(self, track: Track, lists: set[str]) -> None:
        for path in track.grounds - lists:
            _less(self._interest, path)
            others = self._grounds[path]
            if not any(path in each.grounds for each in track.stream.tracks if each is not track):
                others.discard(track.stream)
            if not others:
                del self._grounds[path]
        for path in lists - track.grounds:
            self._interest[path] += 1
            self._grounds.setdefault(path, set()).add(track.stream)
        track.grounds = lists

    async def _look_at_accounts(self, heard: int) -> None:
        """Doubt the streams whose credentials changed: somebody's did."""
        try:
            resting: dict[Path, list[tuple[int, Stream]]] = {}
            for stream in self._streams:
                witness = witness_of(stream.tracks[0].rights)
                if witness is not None:
                    resting.setdefault(witness[0], []).append((witness[1], stream))
            paths = list(resting)
            for first in range(0, len(paths), WITNESSES):
                some = paths[first : first + WITNESSES]
                found = await self.service.store.read(Wanted(points=tuple(some)))
                for path, row in zip(some, found.points, strict=True):
                    for timestamp, stream in resting[path]:
                        if row is None or row.deleted or row.timestamp != timestamp:
                            stream.doubt()
        except (Unavailable, Conflict):
            for stream in self._streams:
                stream.doubt()
        finally:
            self._accounts = None
        if heard != self.heard:  # perhaps of accounts, while they were read
            for name in _OF_ACCOUNTS & self._grounds.keys():
                self.hear((name,))

    # Time

    async def tick(self) -> None:
        """Keep streams alive, have their rights looked at, and end the old ones; for ever."""
        number = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            number = (number + 1) % len(self._wheel)
            now = time.monotonic()
            for stream in self._wheel[number]:
                if now > stream.expires:
                    stream.end()
                elif now > stream.due:
                    stream.due = now + self.settings.check_seconds
                    stream.doubt()
                    stream.beat()
                else:
                    stream.beat()


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]


def _no_room() -> ProtocolError:
    return ProtocolError(503, BACKEND, "This worker has no room for another stream.", headers=_LATER)


def _too_many(whose: str) -> ProtocolError:
    return ProtocolError(429, CLIENT_REACHED_CAPACITY, f"Too many streams {whose}.", headers=_LATER)
