"""Streams of changes, on either engine: what they send, and who is refused one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from kintoun.features.live import feeds, streams
from kintoun.features.live.views import Segment
from tests.live.client import stream
from tests.live.lists import C, R, etag, names, put
from tests.support.inprocess import App

pytestmark = pytest.mark.asyncio


# What is sent


async def test_from_the_beginning_and_on(app: App) -> None:
    await put(app, "one", n=1)
    two = await put(app, "two", n=2)
    await app.ok(f"DELETE {R}/one")
    async with stream(app, f"{R}?_since=0") as live:
        assert live.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in live.headers
        first = await live.next()
        assert first.data == {"id": "two", "n": 2, "last_modified": two}
        gone = await live.next()
        assert (gone.data["id"], gone.data["deleted"]) == ("one", True)
        assert gone.id == await etag(app)
        three = await put(app, "three", n=3)
        event = await live.next()
        assert (event.name, event.data["id"], event.id) == ("message", "three", f'"{three}"')
        assert 1000 <= live.retry <= 5000


async def test_without_a_beginning_it_begins_now(app: App) -> None:
    await put(app, "before")
    async with stream(app, R) as live:
        await put(app, "after")
        assert await names(live, 1) == ["after"]


async def test_it_resumes_without_a_gap_or_a_repeat(app: App) -> None:
    async with stream(app, R) as live:
        await put(app, "one")
        place = (await live.next()).id
    await put(app, "two")
    async with stream(app, f"{R}?_since=0", headers={"Last-Event-ID": place}) as live:
        assert await names(live, 1) == ["two"]
        await put(app, "three")
        assert await names(live, 1) == ["three"]


async def test_a_batch_is_whole(app: App) -> None:
    requests = [{"method": "PUT", "path": f"{R}/r{n}"} for n in range(5)]
    async with stream(app, R) as live:
        await app.ok("POST /batch", {"requests": requests})
        events = [await live.next() for _ in requests]
    assert [event.whole for event in events] == [False] * 4 + [True]
    assert events[-1].id == await etag(app)


async def test_much_is_caught_up_with_in_pages(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "PAGE_ROWS", 3)
    stamps = [await put(app, f"r{n}") for n in range(8)]
    async with stream(app, f"{R}?_since=0") as live:
        events = [await live.next() for _ in range(8)]
        assert [event.data["last_modified"] for event in events] == stamps
        assert events[2].id == f'"{stamps[2]}-{stamps[-1]}"'
        assert events[7].id == f'"{stamps[7]}"'
    async with stream(app, R, headers={"Last-Event-ID": events[2].id}) as live:
        assert await names(live, 5) == [f"r{n}" for n in range(3, 8)]
        requests = [{"method": "PUT", "path": f"{R}/b{n}"} for n in range(8)]
        await app.ok("POST /batch", {"requests": requests})
        assert await names(live, 8) == [f"b{n}" for n in range(8)]


async def test_filters_and_fields(app: App) -> None:
    async with stream(app, f"{R}?n=1&_fields=n") as live:
        one = await put(app, "one", n=1, more=True)
        await put(app, "other", n=2)
        two = await put(app, "one", n=2)
        await put(app, "gone", n=1)
        await app.ok(f"DELETE {R}/gone")
        events = [(e.name, e.data) for e in [await live.next() for _ in range(5)]]
    assert events[0] == ("message", {"id": "one", "n": 1, "last_modified": one})
    assert [(name, data["id"]) for name, data in events[1:]] == [
        ("left", "other"), ("left", "one"), ("message", "gone"), ("message", "gone"),
    ]  # fmt: skip
    assert events[2][1] == {"id": "one", "last_modified": two}
    assert events[4][1]["deleted"] is True


async def test_equal_questions_are_read_once(app: App) -> None:
    reads = 0
    store = app.application.composition.service.store
    read = store.read

    async def counted(wanted: Any) -> Any:
        nonlocal reads
        reads += wanted.page is not None and wanted.page.deleted
        return await read(wanted)

    store.read = counted
    async with AsyncExitStack() as stack:
        paths = [R, f"{R}?n=1", f"{R}?_fields=n"] * 4
        streams = [await stack.enter_async_context(stream(app, path, user=None)) for path in paths]
        reads = 0
        await put(app, "one", n=1)
        for live in streams:
            assert await names(live, 1) == ["one"]
    assert 1 <= reads < 6, "a wake-up that tells nothing new may come as well"


async def test_a_stream_begins_with_what_was_written_before_it(app: App) -> None:
    """Even when the list is followed already, and what was written is not known there yet."""
    one = await put(app, "one")
    async with stream(app, R):
        app.application.composition.service.store.wakeups._subscriptions.clear()
        await put(app, "two")
        async with stream(app, f"{R}?_since={one}") as live:
            assert await names(live, 1) == ["two"]


async def test_several_lists(app: App) -> None:
    path = f"/__live__?list={R}&list=/v1/buckets/b/collections"
    async with stream(app, path) as live:
        one = await put(app, "one")
        event = await live.next()
        assert event.data == {"list": R, "data": {"id": "one", "last_modified": one}}
        await app.ok("PUT /buckets/b/collections/d")
        assert (await live.next()).data["list"] == "/buckets/b/collections"
    place = f'"{one},{(await etag(app, "/buckets/b/collections"))[1:-1]}"'
    await put(app, "two")
    async with stream(app, path, headers={"Last-Event-ID": place}) as live:
        assert (await live.next()).data["data"]["id"] == "two"
    async with stream(app, f"{path}&_since={place[1:-1]}") as live:
        assert (await live.next()).data["data"]["id"] == "two"


async def test_timestamps_alone(app: App) -> None:
    async with stream(app, f"/__live__?form=timestamps&list={R}") as live:
        one = await put(app, "one", secret=1)
        assert (await live.next()).data == {"list": R, "last_modified": one}


async def test_other_lists(app: App) -> None:
    async with stream(app, "/buckets/b/history") as history, stream(app, "/buckets/b/groups") as groups:
        await app.ok("PUT /buckets/b/groups/g", {"data": {"members": []}})
        assert (await history.next()).data["uri"] == "/buckets/b/groups/g"
        assert await names(groups, 1) == ["g"]


async def test_it_shows_that_it_is_there(app: App) -> None:
    async with stream(app, R) as live:
        ticking = asyncio.ensure_future(_streams(app)[0]._hub.tick())
        try:
            async with asyncio.timeout(60):
                while live.comments < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            ticking.cancel()
        assert live.id == await etag(app)


# Who is refused


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        (f"{R}?_sort=id", {}, 400, "_sort"),
        (f"{R}?_limit=1", {}, 400, "_limit"),
        (f"{R}?_since=x", {}, 400, "_since"),
        (f"{R}?lt_last_modified=7", {}, 400, "last_modified"),
        (R, {"Last-Event-ID": "x"}, 400, "Last-Event-ID"),
        (R, {"Last-Event-ID": '"1,2"'}, 400, "Last-Event-ID"),
        ("/__live__", {}, 400, "list"),
        (f"/__live__?list={R}&list={R}", {}, 400, "list"),
        (f"/__live__?list={R}&form=x", {}, 400, "form"),
        (f"/__live__?list={R}&n=1", {}, 400, "n"),
        (f"/__live__?list={R}&_since=1,2", {}, 400, "_since"),
        ("/__live__?list=/nowhere", {}, 404, "nowhere"),
        ("/__live__?list=/permissions", {}, 404, "permissions"),
        (f"/__live__?list={C}", {}, 404, "collections"),
        ("/buckets/b/collections/none/records", {}, 404, "none"),
        ("/buckets/other/collections/c/records", {}, 403, "Forbidden"),
        ("/__live__?list=/buckets/other/collections", {}, 403, "Forbidden"),
    ],
)
async def test_what_is_wrong_is_named(
    app: App, path: str, headers: dict[str, str], status: int, says: str
) -> None:
    async with stream(app, path, headers=headers) as live:
        await live.ended()
    assert (live.status, says in live.body.decode()) == (status, True), live.body


async def test_a_batch_has_no_streams(app: App) -> None:
    requests = [{"path": R, "headers": {"Accept": "text/event-stream"}}, {"path": f"/__live__?list={R}"}]
    answer = await app.ok("POST /batch", {"requests": requests})
    assert [each["status"] for each in answer["responses"]] == [400, 400]


async def test_head_and_cors(app: App) -> None:
    async with stream(app, R, method="HEAD", headers={"Origin": "https://elsewhere.example"}) as live:
        assert live.status == 200
        assert live.headers["access-control-allow-origin"] == "*"
    assert (await app.call(f"GET {R}", headers={"Accept": "application/json"})).status_code == 200


async def test_who_was_away_too_long_starts_over(app: App) -> None:
    one = await put(app, "one")
    await app.ok(f"DELETE {R}/one")
    await purge(app)
    async with stream(app, f"{R}?_since={one}") as live:
        await live.ended()
    assert live.status == 410
    async with stream(app, f"{R}?_since=0") as live:
        assert (await live.next()).data["deleted"] is True
        await put(app, "two")
        assert await names(live, 1) == ["two"]


async def purge(app: App) -> None:
    """Forget what was deleted, as far as readers can tell."""
    store = app.application.composition.service.store
    await store.transact(lambda it: it.fetch("UPDATE clock SET watermark = ts WHERE path = $1", (R,)))


async def test_there_are_so_many_of_a_user(app: App) -> None:
    async with stream(app, R), stream(app, R), stream(app, R):
        async with stream(app, R) as fourth:
            await fourth.ended()
        assert (fourth.status, fourth.headers["retry-after"]) == (429, "30")
        async with stream(app, R, user="bob") as other:
            assert other.status == 200
    async with stream(app, R) as again:
        assert again.status == 200


# Slow readers


async def test_who_does_not_read_catches_up_from_the_store(app: App) -> None:
    async with stream(app, R) as live:
        await put(app, "first")
        assert await names(live, 1) == ["first"]
        live.held.clear()
        for n in range(20):
            await put(app, f"r{n}", text="x" * 1000)
        hub_streams = [s for s in _streams(app) if s.lagged]
        assert len(hub_streams) == 1
        assert sum(map(len, hub_streams[0]._buffer)) <= 4096
        live.held.set()
        assert await names(live, 20) == [f"r{n}" for n in range(20)]
        await put(app, "last")
        assert await names(live, 1) == ["last"]


async def test_who_falls_behind_while_others_are_sent_something_gets_it_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = streams.Track.push
    seen: list[streams.Track] = []

    def push_and_drop(track: streams.Track, segment: Segment, data: bytes) -> None:
        """While the first of them is sent the first change, the others stop following and begin again."""
        if not seen:
            for each in tuple(track.view.followers if track.view is not None else ()):
                if isinstance(each, streams.Track) and each is not track:
                    seen.append(each)
                    each.stream.drop()
                    each.stream.stir()
        push(track, segment, data)

    monkeypatch.setattr(feeds, "SLICE", 1)
    monkeypatch.setattr(feeds, "LONGEST_PAUSE", 0.3)
    monkeypatch.setattr(feeds, "BELOW", 1e6)
    async with stream(app, R) as one, stream(app, R) as two, stream(app, R) as three:
        everybody = one, two, three
        await put(app, "first")
        for live in everybody:
            assert await names(live, 1) == ["first"]
        monkeypatch.setattr(streams.Track, "push", push_and_drop)
        await put(app, "second")
        await put(app, "third")
        for live in everybody:
            assert await names(live, 2) == ["second", "third"]
        assert len(seen) == 2


@pytest.mark.parametrize(
    ("accepted", "streamed"),
    [
        ("text/event-stream, */*", True),
        ("TEXT/Event-Stream", True),
        ("application/json, text/event-stream", True),
        ("application/json, text/event-stream;q=0.1", False),
        ("text/event-stream;q=0, */*", False),
        ("application/json", False),
    ],
)
async def test_who_accepts_a_stream(app: App, accepted: str, streamed: bool) -> None:
    answer = await app.call(f"HEAD {R}", headers={"Accept": accepted})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream") is streamed


# When it is sent


async def test_what_is_committed_after_a_pause_is_sent_at_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAUSE", 0.0)
    monkeypatch.setattr(feeds, "PAUSE_OF_COST", 0.0)
    monkeypatch.setattr(feeds, "BURST_SECONDS", 0.0)
    monkeypatch.setattr(feeds, "LONGEST_REST", 3600.0)
    monkeypatch.setattr(feeds, "SHARE", 1e-9)
    async with stream(app, R) as live:
        for n in range(3):
            await put(app, f"r{n}")
            assert await names(live, 1) == [f"r{n}"]
            [feed] = _hub(app)._feeds.values()
            if feed._task is not None:
                await asyncio.wait([feed._task])


async def test_what_is_committed_without_a_pause_is_gathered(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    rested, sent = asyncio.Event(), list[Segment]()

    async def gather(_feed: feeds.Feed) -> None:
        await rested.wait()

    async def send(feed: feeds.Feed, segment: Segment, visible: Any) -> None:
        sent.append(segment)
        await passed_on(feed, segment, visible)

    passed_on = feeds.Feed._send
    monkeypatch.setattr(feeds.Feed, "_send", send)
    async with stream(app, R) as live:
        monkeypatch.setattr(feeds.Feed, "_gather", gather)
        for n in range(5):
            await put(app, f"r{n % 2}", n=n)
        assert not sent
        rested.set()
        assert [(await live.next()).data["n"] for _ in range(2)] == [3, 4]
    assert len(sent) == 1


def _streams(app: App) -> list[Any]:
    return list(_hub(app)._streams)


def _hub(app: App) -> Any:
    for subscription in app.application.composition.service.store.wakeups._subscriptions:
        hub: Any = getattr(subscription.hear, "__self__", None)
        if hub is not None:
            return hub
    raise AssertionError("there is a hub")


async def test_nothing_stays_behind(app: App) -> None:
    async with stream(app, R), stream(app, f"/__live__?list={R}&list=/buckets/b/groups", user=None):
        hub = _hub(app)
        assert len(hub._feeds) == 2
    left = [hub._streams, hub._feeds, hub._grounds, hub._interest, hub._users, hub._from, *hub._wheel]
    assert not any(left)
