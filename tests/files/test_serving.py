"""Files over HTTP: what is sent, what need not be, and what a browser must not make of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
import zstandard
from msgspec.structs import replace

from kintoun.app import create_app
from kintoun.features.attachments import dictionaries
from tests.files.serving_app import SERVED, Serving, compress, files_in, serving, upload
from tests.support.inprocess import App, Databases, settings_for

CONTENT = b"0123456789" * 200
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ANYBODY = {"user": None}


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases, tmp_path: Path) -> AsyncIterator[App]:
    """The files are in the database of the one engine, and beside that of the other: none can tell."""
    small = 0 if engine == "postgresql" else 16_384
    async with serving(engine, databases, tmp_path / "root", small_bytes=small) as made:
        yield made


async def get(app: App, location: str, method: str = "GET", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await app.call(f"{method} {SERVED}{location}", user=None, headers=sent)


async def test_a_file_is_sent_with_all_that_is_known_of_it(app: App) -> None:
    location = await upload(app, CONTENT)
    response = await get(app, location)
    assert (response.status_code, response.content) == (200, CONTENT)
    headers = response.headers
    assert headers["ETag"] == f'"{SHA256}"'
    assert headers["Content-Length"] == "2000"
    assert headers["Content-Type"] == "text/plain"
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Last-Modified"].endswith(" GMT")
    assert headers["Content-Disposition"] == 'inline; filename="a.txt"'


async def test_it_can_do_no_harm_in_a_browser(app: App) -> None:
    for name, mimetype in (("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x.js", "text/javascript")):
        location = await upload(app, b"<script>", name=name, mimetype=mimetype, filename=name)
        headers = (await get(app, location)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert headers["Content-Disposition"].startswith("attachment; ")
        assert "script" not in headers["Content-Type"]


@pytest.mark.parametrize("origin", [None, "https://page.example"])
async def test_every_page_may_read_it(app: App, origin: str | None) -> None:
    location = await upload(app, CONTENT)
    response = await get(app, location, **({"Origin": origin} if origin else {}))
    assert response.headers.get_list("Access-Control-Allow-Origin") == ["*"]
    assert "Content-Range" in response.headers["Access-Control-Expose-Headers"]


NAMES = [
    ("../../etc/passwd.txt", 'filename="passwd.txt"'),
    (
        'a"b\r\nSet-Cookie: x.txt',
        "filename=\"a_bSet-Cookie: x.txt\"; filename*=UTF-8''a%22bSet-Cookie%3A%20x.txt",
    ),
    ("été.txt", "filename=\"_t_.txt\"; filename*=UTF-8''%C3%A9t%C3%A9.txt"),
    ("", 'filename="file"'),
    ("\u202etxt.exe", 'filename="txt.exe"'),
]


async def test_names_are_only_names(app: App) -> None:
    for n, (filename, expected) in enumerate(NAMES):
        location = await upload(app, CONTENT, name=f"{n}.txt", filename=filename)
        assert (await get(app, location)).headers["Content-Disposition"] == f"inline; {expected}"


MEDIA_TYPES = ["text/html\r\nX: y", "nonsense", "", "a/b; charset=x", "text/ü"]


async def test_media_types_are_only_media_types(app: App) -> None:
    for n, mimetype in enumerate(MEDIA_TYPES):
        location = await upload(app, CONTENT, name=f"{n}.txt", mimetype=mimetype)
        assert (await get(app, location)).headers["Content-Type"] == "application/octet-stream"


async def test_head_sends_no_body(app: App) -> None:
    location = await upload(app, CONTENT)
    response = await get(app, location, "HEAD", Range="bytes=0-9")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == "2000"


async def test_an_empty_file(app: App) -> None:
    location = await upload(app, b"")
    response = await get(app, location)
    assert (response.status_code, response.content) == (200, b"")
    assert (await get(app, location, Range="bytes=0-")).status_code == 416


NOWHERE = [
    "b/c/none.txt",
    "",
    "../../secret",
    "%2e%2e/%2e%2e/secret",
    "/etc/passwd",
    "b/c/" + "x" * 5000,
    "\u202e",
]


async def test_there_is_nothing_else(app: App, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    await upload(app, CONTENT)
    for path in NOWHERE:
        assert (await get(app, path)).status_code in (404, 307), path


async def test_keys_lead_nowhere_else(engine: str, databases: Databases, tmp_path: Path) -> None:
    """Not even when the database says so, or a link stands where a file stood."""
    async with serving(engine, databases, tmp_path / "root", small_bytes=0) as app:
        location = await upload(app, CONTENT)
        files = files_in(app)
        (tmp_path / "secret").write_bytes(CONTENT)
        found = await files.find(location)
        assert found is not None
        path = tmp_path / "root" / found.key
        path.unlink()
        path.symlink_to(tmp_path / "secret")
        assert (await get(app, location)).status_code == 503
        for key in ("../secret", "/etc/passwd", "a/../../secret", "", ".", "tmp/.."):
            with pytest.raises(KeyError):
                files.backend.path(key)


async def test_bytes_that_are_gone(engine: str, databases: Databases, tmp_path: Path) -> None:
    """Somebody removed them: that is told, and is no empty file."""
    async with serving(engine, databases, tmp_path / "root") as app:
        location = await upload(app, CONTENT)
        store = files_in(app).store
        await store.transact(lambda transaction: transaction.fetch("DELETE FROM content"))
        assert (await get(app, location)).status_code == 503


PRECONDITIONS = [
    ({"If_None_Match": f'"{SHA256}"'}, 304),
    ({"If_None_Match": f'"other", W/"{SHA256}"'}, 304),
    ({"If_None_Match": "*"}, 304),
    ({"If_None_Match": '"other"'}, 200),
    ({"If_Match": f'"{SHA256}"'}, 200),
    ({"If_Match": "*"}, 200),
    ({"If_Match": '"other"'}, 412),
    ({"If_Match": f'W/"{SHA256}"'}, 412),
    ({"If_Modified_Since": "Wed, 01 Jan 2200 00:00:00 GMT"}, 304),
    ({"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
    ({"If_Modified_Since": "Wed, 01 Jan 2200 00:00:00 GMT", "If_None_Match": '"other"'}, 200),
    ({"If_Unmodified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412),
    ({"If_Unmodified_Since": "Wed, 01 Jan 2200 00:00:00 GMT"}, 200),
    ({"If_Modified_Since": "nonsense", "If_Unmodified_Since": "nonsense"}, 200),
]


async def test_preconditions(app: App) -> None:
    location = await upload(app, CONTENT)
    for headers, status in PRECONDITIONS:
        response = await get(app, location, **headers)
        assert response.status_code == status, headers
        if status == 304:
            assert response.content == b""
            assert response.headers["ETag"] == f'"{SHA256}"'
            assert "immutable" in response.headers["Cache-Control"]


async def test_one_range(app: App) -> None:
    response = await get(app, await upload(app, CONTENT), Range="bytes=5-14")
    assert (response.status_code, response.content) == (206, CONTENT[5:15])
    assert response.headers["Content-Range"] == "bytes 5-14/2000"
    assert response.headers["Content-Length"] == "10"


async def test_several_ranges(app: App) -> None:
    response = await get(app, await upload(app, CONTENT), Range="bytes=5-14,-1")
    assert response.status_code == 206
    kind, _, boundary = response.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = [("5-14", "5678901234"), ("1999-1999", "9")]
    expected = "".join(
        f"--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {where}/2000\r\n\r\n{what}\r\n"
        for where, what in parts
    )
    assert response.content == f"{expected}--{boundary}--\r\n".encode()
    assert response.headers["Content-Length"] == str(len(response.content))


async def test_no_range(app: App) -> None:
    location = await upload(app, CONTENT)
    response = await get(app, location, Range="bytes=2000-")
    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */2000"
    assert (await get(app, location, Range="lines=1-2")).status_code == 200


PARTS = [
    (f'"{SHA256}"', 206),
    ('"other"', 200),
    (f'W/"{SHA256}"', 200),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
]


async def test_the_rest_of_what_a_client_has(app: App) -> None:
    location = await upload(app, CONTENT)
    for before, status in PARTS:
        response = await get(app, location, Range="bytes=1990-", If_Range=before)
        assert response.status_code == status, before
        assert response.content == (CONTENT[1990:] if status == 206 else CONTENT)
    date = (await get(app, location)).headers["Last-Modified"]
    assert (await get(app, location, Range="bytes=1990-", If_Range=date)).status_code == 206


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_what_was_compressed_in_the_background(app: App, coding: str) -> None:
    location = await upload(app, CONTENT)
    before = await get(app, location, Accept_Encoding=coding)
    assert "Content-Encoding" not in before.headers
    await compress(app)
    response = await get(app, location, Accept_Encoding=coding)
    assert response.headers["Content-Encoding"] == coding
    assert int(response.headers["Content-Length"]) < 100
    assert response.content == CONTENT, "httpx has decoded it"
    assert response.headers["ETag"] == f'"{SHA256}-{coding}"'
    assert "Accept-Encoding" in response.headers["Vary"]
    again = await get(app, location, Accept_Encoding=coding, If_None_Match=response.headers["ETag"])
    assert again.status_code == 304
    plain = await get(app, location, Accept_Encoding="identity")
    assert (plain.content, plain.headers["ETag"]) == (CONTENT, f'"{SHA256}"')


async def test_a_part_is_of_what_was_uploaded_unless_the_client_has_the_other(app: App) -> None:
    location = await upload(app, CONTENT)
    await compress(app)
    part = await get(app, location, Accept_Encoding="gzip", Range="bytes=0-9")
    assert (part.content, part.headers.get("Content-Encoding")) == (CONTENT[:10], None)
    tag = f'"{SHA256}-gzip"'
    part = await get(app, location, "HEAD", Accept_Encoding="gzip", Range="bytes=0-9", If_Range=tag)
    assert part.headers["Content-Encoding"] == "gzip"


async def test_what_does_not_get_smaller_is_left_alone(app: App) -> None:
    noise = hashlib.shake_256(b"noise").digest(4000)
    for name, mimetype, content in (("n.txt", "text/plain", noise), ("p.png", "image/png", CONTENT)):
        location = await upload(app, content, name=name, mimetype=mimetype)
        await compress(app)
        await compress(app)
        assert "Content-Encoding" not in (await get(app, location, Accept_Encoding="gzip, br, zstd")).headers


async def test_what_the_server_publishes_is_replaced_by_name(app: App) -> None:
    files = files_in(app)
    await files.publish("bundles/b--c.zip", b"one", "application/zip")
    first = await get(app, "bundles/b--c.zip")
    assert (first.content, first.headers["Cache-Control"]) == (b"one", "public, max-age=60")
    await files.publish("bundles/b--c.zip", b"two", "application/zip")
    assert (await get(app, "bundles/b--c.zip", If_None_Match=first.headers["ETag"])).content == b"two"
    assert await files.withdraw("bundles/b--c.zip")
    assert not await files.withdraw("bundles/b--c.zip")
    assert (await get(app, "bundles/b--c.zip")).status_code == 404


VERSIONS = [b"".join(b"||line-%d-%d^\n" % (n, n * n) for n in range(k, k + 1000)) for k in (0, 20)]


async def _two_versions(app: App) -> tuple[str, str]:
    await app.ok("PUT /buckets/b")
    await app.ok("PUT /buckets/b/collections/lists", {"data": {"flags": ["compression-dictionaries"]}})
    old, new = [
        await upload(app, content, name=f"2026010100000{n}-easy-list.txt", record="easy", collection="lists")
        for n, content in enumerate(VERSIONS)
    ]
    await files_in(app).store.transact(
        lambda transaction: transaction.fetch(
            "UPDATE location SET created = created - 5000 WHERE location = $1", (old,)
        )
    )
    await compress(app)
    return old, new


async def test_an_earlier_version_as_dictionary(app: App) -> None:
    """RFC 9842: the old version says what it is good for, and whoever has it is sent next to nothing."""
    old, new = await _two_versions(app)
    first = await get(app, old)
    match = 'match="/v1/attachments/b/lists/*easy*"'
    assert first.headers["Use-As-Dictionary"] == f'{match}, id="{old}", type=raw'
    digest = hashlib.sha256(first.content).digest()
    available = f":{base64.b64encode(digest).decode()}:"
    response = await get(
        app,
        new,
        Accept_Encoding="gzip, br, zstd, dcb, dcz",
        Available_Dictionary=available,
        Dictionary_ID=f'"{old}"',
    )
    assert response.headers["Content-Encoding"] == "dcz"
    assert response.headers["Vary"] == "Accept-Encoding, Available-Dictionary"
    assert "immutable" in response.headers["Cache-Control"]
    assert len(response.content) < len(VERSIONS[1]) / 20
    magic, named, frame = response.content[:8], response.content[8:40], response.content[40:]
    assert (magic.hex(), named) == ("5e2a4d1820000000", digest)
    raw = zstandard.ZstdCompressionDict(first.content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    assert zstandard.ZstdDecompressor(dict_data=raw).decompress(frame) == VERSIONS[1]


async def test_a_flag_set_later_is_soon_seen(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(dictionaries, "time", SimpleNamespace(monotonic=lambda: now))
    location = await upload(app, CONTENT)
    assert "Use-As-Dictionary" not in (await get(app, location)).headers
    path = f"/buckets/{location.split('/')[0]}/collections/{location.split('/')[1]}"
    await app.ok(f"PATCH {path}", {"data": {"flags": ["compression-dictionaries"]}})
    now = 6.0
    assert "Use-As-Dictionary" in (await get(app, location)).headers


OTHERS = [
    ("gzip", "right"),
    ("dcz;q=0, gzip", "right"),
    ("dcz", ":AAAA:"),
    ("dcz", "nonsense"),
    ("dcz", ":::"),
    ("dcz", ":é:"),
]


async def test_the_whole_file_for_everybody_else(app: App) -> None:
    _, new = await _two_versions(app)
    for accepted, available in OTHERS:
        if available == "right":
            available = f":{base64.b64encode(hashlib.sha256(VERSIONS[0]).digest()).decode()}:"
        response = await get(app, new, Accept_Encoding=accepted, Available_Dictionary=available)
        assert response.content == VERSIONS[1]
        assert response.headers["Vary"] == "Accept-Encoding, Available-Dictionary"


async def test_collections_without_the_flag_have_no_dictionaries(app: App) -> None:
    response = await get(app, await upload(app, CONTENT))
    assert "Use-As-Dictionary" not in response.headers
    assert response.headers["Vary"] == "Accept-Encoding"


async def test_private_files(engine: str, databases: Databases, tmp_path: Path) -> None:
    async with serving(engine, databases, tmp_path / "root", private=["b/c"], signed_url_seconds=60) as app:
        location = await upload(app, CONTENT)
        url = f"GET {SERVED}{location}"
        assert (await app.call(url, user=None)).status_code == 401
        assert (await app.call(url, user="bob")).status_code == 403
        own = await app.call(url, user="alice")
        assert (own.content, own.headers["Cache-Control"]) == (CONTENT, "private, no-cache")
        signed = await app.ok(f"{url}?_sign=60", user="alice")
        assert re.search(r"[?]expires=\d+&signature=[0-9a-f]{64}$", signed["url"])
        response = await app.call(f"GET {signed['url']}", user=None)
        assert response.content == CONTENT
        assert re.fullmatch(r"private, max-age=(60|5\d)", response.headers["Cache-Control"])
        assert (await app.call(f"GET {signed['url']}&_sign=60", user=None)).content == CONTENT
        for wrong in ("_sign=61", "_sign=0", "_sign=-1", "_sign=x", "_sign="):
            assert (await app.call(f"{url}?{wrong}", user="alice")).status_code == 400, wrong
        query = parse_qs(urlsplit(signed["url"]).query)
        expires, signature = query["expires"][0], query["signature"][0]
        for forged in (
            f"expires={int(expires) + 1}&signature={signature}",
            f"expires={expires}&signature={'0' * 64}",
            f"expires={expires}&signature=é",
            f"expires=9999999999999999999&signature={signature}",
            f"expires={expires}",
            f"expires=1&signature={signature}",
        ):
            assert (await app.call(f"{url}?{forged}", user=None)).status_code == 401, forged


async def test_a_private_file_is_as_open_as_the_most_open_record_that_names_it(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with serving(engine, databases, tmp_path / "root", private=["b"]) as app:
        location = await upload(app, CONTENT)
        url = f"GET {SERVED}{location}"
        await app.ok(
            "PUT /buckets/published", {"permissions": {"read": ["system.Everyone"]}}, user="publisher"
        )
        await app.ok("PUT /buckets/published/collections/c", user="publisher")
        assert (await app.call(url, user=None)).status_code == 401
        copy = {"data": {"attachment": {"location": location}}}
        await app.ok("PUT /buckets/published/collections/c/records/r", copy, user="publisher")
        assert (await app.call(url, user=None)).content == CONTENT


async def test_private_files_need_a_secret(databases: Databases, tmp_path: Path) -> None:
    settings = settings_for(databases.url("sqlite", "serving"))
    settings = replace(settings, protocol=replace(settings.protocol, userid_secret=""))
    with pytest.raises(ValueError, match="url_secret"):
        create_app(settings, Serving(store=str(tmp_path), private=["b"]))


async def test_files_are_not_read_in_batches(app: App) -> None:
    location = await upload(app, CONTENT)
    answer = await app.ok("POST /batch", {"requests": [{"method": "GET", "path": f"{SERVED}{location}"}]})
    assert answer["responses"][0]["status"] == 400
