"""The URL of blocklists: what is answered, when it is not sent again, and what it does not read twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from kintoun.app import create_app
from kintoun.config import decode
from kintoun.features.amo import Amo, AmoSettings, parse_lists
from kintoun.features.amo.export import FIREFOX, TYPES
from kintoun.kinto_ini import translate
from tests.amo.test_export import DATA, GOLDEN, records
from tests.support.fixtures import databases, engine  # noqa: F401 - fixtures
from tests.support.inprocess import App, Databases, opened, settings_for

URL = f"GET /blocklist/3/{FIREFOX}/46.0/Firefox/20160101/Linux/en-US/release/x/default/1/1/new/"
BLOCKLISTS = "/buckets/blocklists/collections"


class Configured(Amo):
    """The feature with these settings."""

    def __init__(self, **settings: Any) -> None:
        self.options = AmoSettings(**settings)

    def setup(self, registry: Any, settings: Any) -> None:
        super().setup(registry, self.options)


@asynccontextmanager
async def serving(engine: str, databases: Databases, **settings: Any) -> AsyncIterator[App]:  # noqa: F811
    async with opened(settings_for(databases.url(engine, "amo")), Configured(**settings)) as app:
        await app.ok("PUT /buckets/blocklists")
        for kind in TYPES:
            await app.ok(f"PUT {BLOCKLISTS}/{kind}")
        yield app


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:  # noqa: F811
    async with serving(engine, databases) as made:
        yield made


async def fill(app: App) -> None:
    for kind in TYPES:
        found = records(kind)
        for start in range(0, len(found), 25):
            requests = [
                {"method": "PUT", "path": f"{BLOCKLISTS}/{kind}/records/{each['id']}", "body": {"data": each}}
                for each in found[start : start + 25]
            ]
            answer = await app.ok("POST /batch", {"requests": requests})
            assert {each["status"] for each in answer["responses"]} == {201}


async def test_the_golden_files_over_http(app: App) -> None:
    await fill(app)
    for name, (api, guid, version) in GOLDEN.items():
        response = await app.call(f"GET /blocklist/{api}/{guid}/{version}/x/y", user=None)
        assert response.status_code == 200
        assert response.content == (DATA / f"golden-{name}.xml").read_bytes(), name
        assert response.headers["Content-Type"] == "application/xml;charset=UTF-8"
        assert "Cache-Control" not in response.headers
    without_more = await app.call(f"GET /blocklist/3/{FIREFOX}/46.0", user=None)
    assert without_more.content == (DATA / "golden-fx46-v3.xml").read_bytes()


async def change(app: App, kind: str = "addons", name: str = "r", **attributes: Any) -> None:
    data = {"guid": f"{name}@x", "enabled": True, "versionRange": [], **attributes}
    await app.ok(f"PUT {BLOCKLISTS}/{kind}/records/{name}", {"data": data})


async def test_who_has_it_is_not_sent_it_again(app: App) -> None:
    await change(app)
    first = await app.call(URL, user=None)
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    for headers, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": date}, 304),
        ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "nonsense"}, 200),
        ({"If-None-Match": "nonsense"}, 200),
    ):
        assert (await app.call(URL, user=None, headers=headers)).status_code == status, headers


async def test_every_change_is_seen(app: App) -> None:
    """Also those that no record which is enabled tells of: disabling, deleting, an old timestamp."""
    await change(app, name="a")
    await change(app, name="b", last_modified=1000)
    seen: list[str] = []

    async def look(expected: int) -> None:
        known = ", ".join(seen) or '"x"'
        response = await app.call(URL, user=None, headers={"If-None-Match": known})
        assert response.status_code == 200, "it has changed"
        assert response.text.count("<emItem ") == expected
        seen.append(response.headers["ETag"])

    await look(2)
    await change(app, name="a", enabled=False)
    await look(1)
    await app.ok(f"DELETE {BLOCKLISTS}/addons/records/b")
    await look(0)
    await change(app, name="c", last_modified=2000)
    await look(1)
    await app.ok("DELETE /buckets/blocklists")
    await look(0)


async def test_what_is_there_already_is_not_made_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await change(app)
    await app.call(URL, user=None)
    store = app.application.composition.service.store

    async def read(_: Any) -> Any:
        raise AssertionError("nothing has changed")

    monkeypatch.setattr(store, "read", read)
    for version in ("46.0", "47.0", "1", "99999999999"):
        response = await app.call(f"GET /blocklist/3/{FIREFOX}/{version}/", user=None)
        assert response.status_code == 200


async def test_last_update(engine: str, databases: Databases) -> None:  # noqa: F811
    async with serving(engine, databases) as app:
        await change(app, name="a", last_modified=1_459_244_470_163)
        assert 'lastupdate="1459244470163"' in (await app.call(URL, user=None)).text
    async with serving(engine, databases, lastupdate="collections", cache_seconds=60) as app:
        await change(app, name="a", last_modified=1_459_244_470_163)
        response = await app.call(URL, user=None)
        changed = (await app.call(f"HEAD {BLOCKLISTS}/certificates/records")).headers["ETag"].strip('"')
        assert f'lastupdate="{changed}"' in response.text
        assert response.headers["Cache-Control"] == "public, max-age=60"


async def test_what_is_not_there(app: App) -> None:
    for path in (
        "/blocklist/x/a/1/",
        "/blocklist/-1/a/1/",
        "/blocklist/٣/a/1/",
        "/blocklist/3/a",
        "/blocklst/3/a/1/",
    ):
        response = await app.call(f"GET {path}", user=None)
        assert response.status_code in (404, 307), path
        if response.status_code == 404:
            assert response.json()["errno"] == 111
    assert (await app.call(URL.replace("GET", "HEAD"), user=None)).status_code == 200
    assert (await app.call(URL.replace("GET", "POST"), user=None)).status_code == 405


async def test_hostile_names_are_answered(app: App) -> None:
    await change(app)
    for guid in ("%00", "<&>", "x" * 3000, "{}", "\u202e"):
        for version in ("9" * 3000, "*", "%20", "a.b"):
            response = await app.call(f"GET /blocklist/3/{guid}/{version}/", user=None)
            assert response.status_code in (200, 400), (guid, version)


async def test_the_capability_tells_where_the_records_are(app: App) -> None:
    root = await app.ok("GET /", user=None)
    capability = root["capabilities"]["blocklist-xml"]
    assert capability["resources"]["blocklist"]["gfx"] == {"bucket": "blocklists", "collection": "gfx"}


@pytest.mark.parametrize(
    ("lists", "wrong"),
    [
        ({"p.addons": "/buckets/b/collections/c"}, "p.plugins is missing"),
        ({"p.themes": "/buckets/b/collections/c"}, "PREFIX.TYPE"),
        ({"addons": "/buckets/b/collections/c"}, "PREFIX.TYPE"),
        ({"buckets.addons": "/buckets/b/collections/c"}, "PREFIX.TYPE"),
        ({"p.addons": "/buckets/b"}, "is not /buckets/ID/collections/ID"),
        ({"p.addons": "/buckets/b b/collections/c"}, "is not /buckets/ID/collections/ID"),
    ],
)
def test_settings_that_do_not_fit(lists: dict[str, str], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_lists(lists)


def test_several_prefixes_and_no_more_memory(databases: Databases) -> None:  # noqa: F811
    lists = {f"{p}.{kind}": f"/buckets/{p}/collections/{kind}" for p in ("one", "two") for kind in TYPES}
    made = create_app(settings_for(databases.url("sqlite", "amo")), Configured(lists=lists))
    names = {endpoint.name for endpoint in made.composition.service.router.endpoints}
    assert {"amo-one", "amo-one-pinged", "amo-two", "amo-two-pinged"} <= names


def test_the_ini_of_a_kinto(tmp_path: Any) -> None:
    ini = tmp_path / "kinto.ini"
    lines = [f"kinto.amo.preview.{kind} = /buckets/staging/collections/{kind}" for kind in TYPES]
    ini.write_text("\n".join(["[app:main]", "use = egg:kinto", "kinto.includes = kinto_amo", *lines]))
    settings = decode(translate(ini, {}, tmp_path).tree)
    assert "amo" in settings.features
    assert parse_lists(settings.sections["amo"].lists)["preview"]["gfx"].parents == ("staging", "gfx")
