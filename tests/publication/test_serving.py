"""How published data is sent: from memory, compressed once, under headers that say how long it is good."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import brotli
import pytest
import pytest_asyncio
import zstandard

from kintoun.features.publication.settings import PublicationSettings
from kintoun.settings import Http
from kintoun.storage import Store
from tests.publication.test_changesets import CHANGESET, PLACE, publish
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

MONITOR = "/buckets/monitor/collections/changes/changeset"
FIREFOX = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "Accept": "application/json",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Content-Type": "application/json",
    "Connection": "keep-alive",
}
LIFETIMES = {
    "record": 5,
    "main.record": 10,
    "main.c.record": 60,
    "main.c.record_minimum": 61,
    "main.c.record_maximum": 3600,
    "monitor.changes.record": 0,
    "monitor.changes.record_maximum": 7,
}
UNPACK = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
}


@pytest_asyncio.fixture
async def told(engine: str, databases: Databases) -> AsyncIterator[App]:
    """An application whose settings say for how long answers may be kept, and where others reach it."""
    settings = settings_for(
        databases.url(engine),
        features=[*FEATURES, "publication"],
        sections={"publication": PublicationSettings(resources=["/buckets/main"], http_host="cdn.example")},
        cache_expires=LIFETIMES,
        http=Http(public_scheme="https", public_host="origin.example"),
    )
    async with opened(settings) as made:
        yield made


def count(store: Store) -> Counter[str]:
    """Counts what the store is asked from now on."""
    asked: Counter[str] = Counter()

    def wrap(name: str, call: Any) -> Any:
        async def counted(*arguments: Any) -> Any:
            asked[name] += 1
            return await call(*arguments)

        return counted

    store.watch(wrap)
    return asked


async def settle(app: App, *paths: str) -> None:
    """Let these be known, and the clocks that they depend on be looked at after what was written."""
    for _ in range(2):
        for path in paths:
            await app.ok(f"GET {path}", user=None)
        await app.application.composition.service.store.wakeups.look()
    for path in paths:
        await app.ok(f"GET {path}", user=None)


async def test_polls_ask_the_database_nothing(app: App) -> None:
    await publish(app, "a", "b")
    since = (await app.ok(f"GET {CHANGESET}", user=None))["timestamp"]
    polls = (
        f"{MONITOR}?_expected=0",
        CHANGESET,
        f"{CHANGESET}&_since={since}",
        f"{MONITOR}?_expected=1&_since={since}",
    )
    await settle(app, *polls)
    asked = count(app.application.composition.service.store)
    for n in range(1, 100):
        more = (f"{MONITOR}?_expected={n}", f"{PLACE}/changeset?_expected={n}")
        requests = [app.call(f"GET {path}", user=None, headers=FIREFOX) for path in (*polls, *more)]
        assert {answer.status_code for answer in await asyncio.gather(*requests)} == {200}
    assert not asked


async def test_all_who_wait_for_a_changeset_share_one_look(app: App) -> None:
    await publish(app, "a", "b")
    await settle(app, f"{MONITOR}?_expected=0")
    asked = count(app.application.composition.service.store)
    answers = await asyncio.gather(*(app.call(f"GET {CHANGESET}", user=None) for _ in range(100)))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert asked == {"read": 2}
    await app.ok(f"PUT {PLACE}/records/c", {"data": {}})
    asked.clear()
    await asyncio.gather(*(app.call(f"GET {MONITOR}?_expected=0", user=None) for _ in range(100)))
    assert asked == {"fetch": 1}


@pytest.mark.parametrize(("large", "reads"), [(1_000_000, 0), (0, 10)])
async def test_a_large_changeset_is_made_once_too(
    engine: str, databases: Databases, large: int, reads: int
) -> None:
    section = PublicationSettings(cache_bytes=1000, large_bytes=large)
    settings = settings_for(
        databases.url(engine), features=[*FEATURES, "publication"], sections={"publication": section}
    )
    async with opened(settings) as app:
        await publish(app, *"abcdefgh")
        await settle(app, CHANGESET)
        asked = count(app.application.composition.service.store)
        for _ in range(5):
            answers = await asyncio.gather(*(app.call(f"GET {CHANGESET}", user=None) for _ in range(20)))
            assert {answer.content for answer in answers} == {answers[0].content}
        assert asked["read"] == reads


async def test_what_somebody_else_writes_elsewhere_changes_nothing_here(app: App) -> None:
    await publish(app, "a")
    await app.ok("PUT /buckets/elsewhere")
    await app.ok("PUT /buckets/elsewhere/collections/c")
    await settle(app, CHANGESET, f"{MONITOR}?_expected=0")
    asked = count(app.application.composition.service.store)
    await app.ok("PUT /buckets/elsewhere/collections/c/records/r", {"data": {}})
    asked.clear()
    for path in (CHANGESET, f"{MONITOR}?_expected=0"):
        await app.ok(f"GET {path}", user=None)
    assert not asked


async def test_what_is_compressed_is_the_same(app: App) -> None:
    await publish(app, *(f"r{n}" for n in range(12)))
    plain = await app.call(f"GET {CHANGESET}", user=None)
    assert "Content-Encoding" not in plain.headers
    for accepted, encoding in (
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, br;q=0.9, zstd;q=0.1", "gzip"),
        ("br, gzip", "br"),
        ("zstd;q=0, *", "br"),
        ("*", "zstd"),
    ):
        for _ in range(2):
            answer = await app.call(f"GET {CHANGESET}", user=None, headers={"Accept-Encoding": accepted})
            assert answer.headers["Content-Encoding"] == encoding
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert answer.headers["ETag"] == plain.headers["ETag"]
            assert answer.content == plain.content  # httpx has unpacked it
    for accepted in ("identity", "deflate", "gzip;q=0", "", "identity;q=1, gzip;q=0.5", "gzip;q=x"):
        answer = await app.call(f"GET {CHANGESET}", user=None, headers={"Accept-Encoding": accepted})
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("encoding", UNPACK)
async def test_every_encoding_is_one(encoding: str) -> None:
    from kintoun.features.publication.encodings import Body, Encodings

    encodings = Encodings()
    for plain in (b"x" * 700, json.dumps(list(range(50_000))).encode()):
        body = Body(plain, 0, None)
        assert encodings.of(encoding, body) == encoding
        first, *others = await asyncio.gather(*(encodings.encode(body, encoding) for _ in range(5)))
        assert all(other is first for other in others)
        assert body.encoded[encoding] is first
        assert UNPACK[encoding](first[0]) == plain
    assert encodings.of(encoding, Body(b"{}", 0, None)) is None


async def test_who_has_it_is_told_so_and_nobody_else(app: App) -> None:
    await publish(app, "a")
    for path in (CHANGESET, f"{MONITOR}?_expected=0"):
        first = await app.call(f"GET {path}", user=None)
        for tags in (first.headers["ETag"], f'"x", {first.headers["ETag"]}', first.headers["ETag"][2:]):
            again = await app.call(f"GET {path}", user=None, headers={"If-None-Match": tags})
            assert (again.status_code, again.content) == (304, b"")
            for name in ("ETag", "Cache-Control", "Vary"):
                assert again.headers[name] == first.headers[name]
        for headers in (
            {},
            {"If-Modified-Since": first.headers["Last-Modified"]},
            {"If-None-Match": '"other"'},
            {"If-None-Match": "nonsense"},
            {"If-Match": '"1"'},
        ):
            whole = await app.call(f"GET {path}", user=None, headers=headers)
            assert (whole.status_code, whole.content) == (200, first.content)
        head = await app.call(f"HEAD {path}", user=None)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(first.content))


async def test_last_modified_is_that_of_the_metadata(app: App) -> None:
    await publish(app, "a")
    collection = await app.call(f"GET {PLACE}")
    changeset = await app.call(f"GET {CHANGESET}", user=None)
    assert changeset.headers["Last-Modified"] == collection.headers["Last-Modified"]


async def test_without_settings_it_is_kept_and_asked_for_again(app: App) -> None:
    await publish(app, "a")
    for path in (
        CHANGESET,
        f"{MONITOR}?_expected=17",
        "/buckets/monitor/collections/changes/records",
        "/__broadcasts__",
    ):
        answer = await app.call(f"GET {path}", user=None)
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Expires" not in answer.headers


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        (f"{PLACE}/changeset?_expected=0", 61),
        (f"{PLACE}/changeset?_expected=9999123", 61),
        (f"{PLACE}/changeset?_expected=1795372684198", 3600),
        (f"{PLACE}/changeset?_expected=abc", 3600),
        ("/buckets/main/collections/d/changeset?_expected=1", 10),
        ("/buckets/other/collections/d/changeset?_expected=1", 5),
        (f"{MONITOR}?_expected=1", 7),
        (f"{MONITOR}?_expected=0", 0),
        ("/buckets/monitor/collections/changes/records", 0),
        ("/buckets/monitor/collections/changes/records?_expected=1", 7),
    ],
)
async def test_settings_say_for_how_long_it_is_kept(told: App, path: str, seconds: int) -> None:
    for bucket, collection in (("main", "c"), ("main", "d"), ("other", "d")):
        await publish(told, place=f"/buckets/{bucket}/collections/{collection}")
    for user in (None, "alice"):
        answer = await told.call(f"GET {path}", user=user)
        assert answer.status_code == 200
        assert f"max-age={seconds}" in answer.headers["Cache-Control"].split(", ")
        assert ("no-store" in answer.headers["Cache-Control"]) == (seconds == 0)
        assert "Expires" in answer.headers


async def test_entries_and_redirects_name_the_host_of_the_settings(told: App) -> None:
    await publish(told)
    entries = (await told.ok(f"GET {MONITOR}?_expected=0", user=None))["changes"]
    assert [entry["host"] for entry in entries] == ["cdn.example"]
    answer = await told.call(f'GET {MONITOR}?_expected="1"&_since="1"', user=None)
    assert answer.headers["Location"] == f"https://cdn.example/v1{MONITOR}?_expected=1&_since=%221%22"
    batch = {"requests": [{"method": "GET", "path": f"{MONITOR}?_expected=99&_since=42"}]}
    (inner,) = (await told.ok("POST /batch", batch))["responses"]
    assert inner["body"]["changes"] == entries


async def test_firefox_gets_all_it_asks_for_in_the_order_in_which_it_asks(app: App) -> None:
    await publish(app, "a", "b")

    async def ask(path: str) -> Any:
        answer = await app.call(f"GET {path}", user=None, headers=FIREFOX)
        assert answer.status_code == 200, (path, answer.text)
        assert "application/json" in answer.headers["Content-Type"]
        assert answer.headers["Cache-Control"]
        return answer.json()

    (entry,) = (await ask(f"{MONITOR}?collection=c&bucket=main&_expected=0"))["changes"]
    first = await ask(f"{PLACE}/changeset?_expected={entry['last_modified']}")
    assert first["timestamp"] == entry["last_modified"]
    await app.ok(f"DELETE {PLACE}/records/a")
    (later,) = (await ask(f"{MONITOR}?collection=c&bucket=main&_expected=0"))["changes"]
    diff = await ask(f"{PLACE}/changeset?_expected={later['last_modified']}&_since={first['timestamp']}")
    assert diff["changes"] == [{"id": "a", "last_modified": later["last_modified"], "deleted": True}]
    whole = await ask(f"{MONITOR}?_expected=0")
    news = await ask(f"{MONITOR}?_expected={whole['timestamp']}&_since={first['timestamp']}")
    assert news["changes"] == [later]
    assert (await ask(f"{MONITOR}?collection=unknown&bucket=main&_expected=0"))["changes"] == []


async def test_pages_of_other_origins_may_read_it(app: App) -> None:
    await publish(app)
    for path in (CHANGESET, f"{MONITOR}?_expected=0", "/buckets/monitor/collections/changes/records"):
        headers = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}
        answer = await app.call(f"OPTIONS {path}", user=None, headers=headers)
        assert answer.status_code == 200
        assert "GET" in answer.headers["Access-Control-Allow-Methods"]
        answer = await app.call(f"GET {path}", user=None, headers={"Origin": "https://page.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Last-Modified" in answer.headers["Access-Control-Expose-Headers"]


async def test_the_description_of_the_api_has_it_and_refers_to_what_is_there(app: App) -> None:
    document = await app.ok("GET /__api__", user=None)
    described = {
        "/buckets/{bucket_id}/collections/{collection_id}/changeset",
        "/buckets/monitor/collections/changes/records",
        "/__broadcasts__",
    }
    assert described <= set(document["paths"])
    for kind, name in re.findall(r'"#/components/(\w+)/([\w-]+)"', json.dumps(document)):
        assert name in document["components"][kind]
