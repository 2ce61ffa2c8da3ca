"""The admin console: how its files are served, and that nothing else is."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace

from kintoun.config import load
from kintoun.features.admin import AdminSettings
from kintoun.features.admin.build import Build, is_hashed
from kintoun.http.negotiation import matches, preferred
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

INDEX = b"<!DOCTYPE html><script type=module src=/v1/admin/assets/index-BEylouCN.js></script>"
SCRIPT = b"console.log('a console');\n" * 200
LOGO = bytes(range(256)) * 10
STYLE = b"body { color: black }\n" * 100
SECRET = b"not for the world"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    folder = tmp_path / "build"
    (folder / "assets" / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name, content in {
        "index.html": INDEX,
        "VERSION": b"6.2.0\n",
        "help.txt": b"short",
        ".env": SECRET,
        ".git/config": SECRET,
        "assets/index-BEylouCN.js": SCRIPT,
        "assets/logo-VBRiKSPX.png": LOGO,
        "assets/index-BnpThPtk.css": STYLE,
        "assets/index-BnpThPtk.css.br": b"brotli of it",
        "assets/index-BnpThPtk.css.gz": gzip.compress(STYLE),
        "assets/deep/Page.Cw3x_9-Q.js": SCRIPT,
        "assets/plain.js": SCRIPT,
    }.items():
        (folder / name).write_bytes(content)
    (folder / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "parent").symlink_to(tmp_path, target_is_directory=True)
    return folder


def configured(url: str, **section: Any) -> Any:
    settings = settings_for(url, features=[*FEATURES, "admin"])
    return replace(settings, sections={"admin": AdminSettings(**section)})


@pytest_asyncio.fixture
async def console(build: Path, databases: Databases) -> AsyncIterator[App]:
    async with opened(configured(databases.url("sqlite"), path=str(build))) as app:
        yield app


async def get(app: App, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await app.call(f"{method} {path}", user=None, headers=named)


async def test_the_page_is_asked_for_each_time(console: App) -> None:
    page = await get(console, "/admin/")
    assert page.status_code == 200
    assert page.content == INDEX
    assert page.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert page.headers["Cache-Control"] == "no-cache"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    again = await get(console, "/admin/", If_None_Match=page.headers["ETag"])
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["Cache-Control"] == "no-cache"
    assert again.headers["ETag"] == page.headers["ETag"]


async def test_the_page_may_do_little(console: App) -> None:
    page = await get(console, "/admin/")
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["connect-src"] == "'self'"
    assert (await get(console, "/admin/index.html")).headers["Content-Security-Policy"] == (
        page.headers["Content-Security-Policy"]
    )
    script = await get(console, "/admin/assets/plain.js")
    assert "default-src 'none'" in script.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["index-BEylouCN.js", "deep/Page.Cw3x_9-Q.js", "logo-VBRiKSPX.png"])
async def test_what_has_its_digest_in_its_name_is_kept_for_ever(console: App, name: str) -> None:
    file = await get(console, f"/admin/assets/{name}")
    assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    plain = await get(console, "/admin/assets/plain.js")
    assert plain.headers["Cache-Control"] == "no-cache"


async def test_text_is_compressed_for_who_accepts_it(console: App) -> None:
    path = "/admin/assets/index-BEylouCN.js"
    packed = await get(console, path, Accept_Encoding="gzip, deflate, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert int(packed.headers["Content-Length"]) < len(SCRIPT) / 10
    assert packed.content == SCRIPT  # the client unpacks it
    plain = await get(console, path)
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != packed.headers["ETag"]
    crossed = await get(console, path, Accept_Encoding="gzip", If_None_Match=plain.headers["ETag"])
    assert crossed.status_code == 200
    both = f'W/{packed.headers["ETag"]}, "other"'
    assert (await get(console, path, Accept_Encoding="gzip", If_None_Match=both)).status_code == 304


async def test_a_variant_that_the_build_holds_is_taken(console: App) -> None:
    path = "/admin/assets/index-BnpThPtk.css"
    head = await get(console, path, "HEAD", Accept_Encoding="gzip, br")
    assert head.headers["Content-Encoding"] == "br"
    assert head.headers["Content-Length"] == str(len(b"brotli of it"))
    assert (await get(console, path, Accept_Encoding="gzip")).content == STYLE
    logo = await get(console, "/admin/assets/logo-VBRiKSPX.png", Accept_Encoding="gzip")
    assert logo.content == LOGO
    assert "Content-Encoding" not in logo.headers
    assert "Vary" not in logo.headers


async def test_head_tells_what_get_would(console: App) -> None:
    for path in ("/admin/", "/admin/assets/index-BEylouCN.js", "/admin/help.txt"):
        whole, head = await get(console, path), await get(console, path, "HEAD")
        assert head.content == b""
        assert head.headers == whole.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/assets/plain.js"])
async def test_nothing_can_be_sent_to_it(console: App, method: str, path: str) -> None:
    refused = await get(console, path, method)
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "HEAD, GET, OPTIONS"


async def test_the_folder_needs_its_slash(console: App) -> None:
    for method in ("GET", "HEAD"):
        moved = await get(console, "/admin?a=1", method)
        assert moved.status_code == 307
        assert moved.headers["Location"] == "http://server.example/v1/admin/?a=1"


OUTSIDE = [
    "../secret.txt",
    "../../secret.txt",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "..%252fsecret.txt",
    "assets/../../secret.txt",
    "assets/..%5c..%5csecret.txt",
    "..\\secret.txt",
    "./help.txt",
    "/help.txt",
    "assets//plain.js",
    "assets/",
    "assets",
    "outside.txt",
    "parent/secret.txt",
    ".env",
    ".git/config",
    "help.txt/",
    "help.txt%00.js",
    "{absolute}",
]


@pytest.mark.parametrize("name", OUTSIDE)
async def test_nothing_outside_can_be_reached(console: App, build: Path, name: str) -> None:
    path = name.replace("{absolute}", str(build.parent / "secret.txt"))
    answer = await get(console, f"/admin/{path}")
    assert answer.status_code in (400, 404), answer.text
    assert SECRET not in answer.content


async def test_a_build_that_replaces_another_is_noticed(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kintoun.features.admin.build.PAUSE_SECONDS", -1.0)
    served = Build(build, 10**6)
    file = served.find("index.html")
    assert file is not None
    first = await served.read(file, None)
    (build / "index.html").write_bytes(b"another")
    os.utime(build / "index.html", ns=(1, 1))
    (build / "assets" / "new.js").write_bytes(SCRIPT)
    (build / "assets" / "plain.js").unlink()
    file = served.find("index.html")
    assert file is not None
    second = await served.read(file, None)
    assert first is not None
    assert second is not None
    assert second.body == b"another"
    assert second.tag != first.tag
    assert served.find("assets/new.js") is not None
    assert served.find("assets/plain.js") is None


async def test_what_goes_while_it_is_asked_for_is_not_there(build: Path) -> None:
    served = Build(build, 10**6)
    file = served.find("help.txt")
    assert file is not None
    (build / "help.txt").unlink()
    assert await served.read(file, None) is None


async def test_memory_is_bounded(build: Path) -> None:
    served = Build(build, len(SCRIPT) + 10)
    for name in ("assets/plain.js", "assets/index-BEylouCN.js", "assets/deep/Page.Cw3x_9-Q.js", "index.html"):
        file = served.find(name)
        assert file is not None
        for encoding in (None, *file.encodings):
            content = await served.read(file, encoding)
            assert content is not None
            assert content.tag.startswith(f'"{sha256(file.path.read_bytes()).hexdigest()[:32]}')
            held = sum(len(kept.body) for _, kept in served._kept.values())
            assert held == served._held <= len(SCRIPT) + 10


async def test_the_root_view_tells_of_it(console: App) -> None:
    root = await console.ok("GET /")
    assert root["capabilities"]["admin"] == {
        "description": "Serves the admin console.",
        "url": "https://kintoun.readthedocs.io/en/latest/reference/admin/",
        "version": "6.2.0",
    }


async def test_without_a_build_a_page_says_how_to_set_one(databases: Databases) -> None:
    async with opened(configured(databases.url("sqlite"))) as app:
        page = await get(app, "/admin/")
        assert page.status_code == 404
        assert page.headers["Content-Type"].startswith("text/html")
        assert "[admin]\npath = " in page.text
        assert (await get(app, "/admin/help.txt")).status_code == 404
        assert (await get(app, "/admin")).status_code == 307
        assert "admin" not in (await app.ok("GET /"))["capabilities"]


async def test_a_folder_without_a_console_is_an_error(tmp_path: Path, databases: Databases) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "loop"):
        with pytest.raises(ValueError, match=r"admin\.path: there is no index\.html in"):
            async with opened(configured(databases.url("sqlite"), path=str(folder))):
                pass


async def test_a_policy_of_ones_own(build: Path, databases: Databases) -> None:
    url = databases.url("sqlite")
    async with opened(configured(url, path=str(build), origins=["https://cdn.example"])) as app:
        policy = (await get(app, "/admin/")).headers["Content-Security-Policy"]
        assert "img-src 'self' data: https://cdn.example;" in policy
        assert "connect-src 'self' https://cdn.example;" in policy
    section = {"path": str(build), "content_security_policy": "default-src 'self'"}
    async with opened(configured(url, **section)) as app:
        assert (await get(app, "/admin/")).headers["Content-Security-Policy"] == "default-src 'self'"


def test_a_relative_path_begins_at_the_file_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "kintoun.toml"
    file.write_text('[admin]\npath = "console"\n')
    assert load(file, {}).sections["admin"].path == str(tmp_path / "console")
    file.write_text('[admin]\npath = "/srv/console"\n')
    assert load(file, {}).sections["admin"].path == "/srv/console"
    assert load(None, {"KINTOUN_ADMIN__PATH": "console"}).sections["admin"].path == "console"


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("assets/index-BEylouCN.js", True),
        ("assets/main.3f2a9c1d.css", True),
        ("static/js/2.8d4b1f0a.chunk.js", False),
        ("static/js/2.chunk.8d4b1f0a.js", True),
        ("index-BEylouCN.js", False),
        ("assets/touch-document.png", False),
        ("assets/Kinto-Handbook.pdf", False),
        ("assets/report-20240101.pdf", False),
        ("assets/README-LICENSES.txt", False),
        ("assets/index-short.js", False),
    ],
)
def test_which_names_have_a_digest(name: str, hashed: bool) -> None:
    assert is_hashed(name) is hashed


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP;q=1.0", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("gzip, br", "br"),
        ("*", "br"),
        ("*;q=0, gzip", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=nonsense", None),
        (",,;;", None),
    ],
)
def test_which_encoding_is_chosen(accepted: str, chosen: str | None) -> None:
    assert preferred(accepted, ("br", "gzip")) == chosen


@pytest.mark.parametrize(
    ("condition", "same"),
    [
        (None, False),
        ("", False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ('"b"', False),
        ("*", True),
    ],
)
def test_which_conditions_match(condition: str | None, same: bool) -> None:
    assert matches(condition, '"a"') is same
