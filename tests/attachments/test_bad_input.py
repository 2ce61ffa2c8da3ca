"""Forms and bodies that nobody should send: refused, the former file as it was, nothing left behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.attachments.world import BOUNDARY, FILE, RECORD, Attachers, attaching, form, part
from tests.files.writing import contents
from tests.support.inprocess import Databases

HELLO = part("attachment", "hello", "hello.txt", "text/plain")
DATA = part("data", "{}")
LEAD = f"--{BOUNDARY}\r\n".encode()


@pytest_asyncio.fixture
async def standing(engine: str, databases: Databases, tmp_path: Path) -> AsyncIterator[Attachers]:
    """With a record that has a file."""
    async with attaching(engine, databases, tmp_path / "files", max_size_bytes=1000) as files:
        await files.attached(b"former", data={"title": "former"})
        yield files
        record = await files.record()
        assert record["title"] == "former"
        assert await files.content(record["attachment"]["location"]) == b"former"
        await files.sweep()
        assert record["attachment"]["hash"] == (await _only_blob(files))
        assert not files.uploads()


async def _only_blob(files: Attachers) -> str:
    """The digest of the one content that is kept."""
    [row] = await files.files.store.fetch("SELECT sha256 FROM blob")
    [content] = await contents(files.files)
    digest: str = row[0]
    assert digest == hashlib.sha256(content).hexdigest()
    return digest


def named(filename: str) -> bytes:
    return form(part("attachment", "x", filename, "text/plain"))


FORMS: dict[str, tuple[bytes, int, int, str]] = {
    "nothing": (b"", 400, 107, "body: The form cannot be read"),
    "no parts": (form(), 400, 109, "Attachment missing."),
    "no file": (form(DATA), 400, 109, "Attachment missing."),
    "another file": (form(part("file", "hello", "hello.txt")), 400, 109, "Attachment missing."),
    "file as text": (form(part("attachment", "hello")), 400, 107, "body: Filename is required."),
    "empty name": (named(""), 400, 107, "body: Filename is required."),
    "only folders": (named("a/b/"), 400, 107, "body: Filename is required."),
    "dots": (named("../.."), 400, 107, "body: Filename is required."),
    "long name": (named("x" * 300 + ".txt"), 400, 107, "body: Filename is longer than 255 bytes."),
    "NUL": (named("a\0.txt"), 400, 107, ""),
    "line feed": (named("a%0Ab.txt"), 400, 107, "(U+000A)"),
    "direction of text": (named("a\u202etxt.exe.txt"), 400, 107, "(U+202E)"),
    "line separator": (named("a\u2028.txt"), 400, 107, "(U+2028)"),
    "no UTF-8": (form(HELLO).replace(b"hello.txt", b"\xff\xfe.txt"), 400, 107, ""),
    "no extension": (named("txt"), 400, 107, "body: File extension is not allowed."),
    "wrong extension": (named("a.txt.exe"), 400, 107, "body: File extension is not allowed."),
    "two files": (form(HELLO, HELLO), 400, 109, "body: 'attachment' is given twice"),
    "data twice": (form(DATA, HELLO, DATA), 400, 109, "body: 'data' is given twice"),
    "unknown": (form(HELLO, part("x", "1")), 400, 109, "body: 'x' not in ('data', 'permissions')"),
    "no name": (form(HELLO, ({"Content-Disposition": "form-data"}, b"")), 400, 109, "body: '' not in"),
    "no disposition": (form(HELLO, ({"Content-Type": "text/plain"}, b"x")), 400, 107, ""),
    "no headers": (form(HELLO, ({}, b"x")), 400, 107, ""),
    "data as a file": (
        form(part("data", "{}", "data.json"), HELLO),
        400,
        109,
        "body: 'data' field should be passed as form data, not files",
    ),
    "data is no JSON": (form(HELLO, part("data", "{")), 400, 109, "body: data is not valid JSON ("),
    "data is empty": (form(HELLO, part("data", "")), 400, 109, "body: data is not valid JSON ("),
    "data is no object": (form(HELLO, part("data", "[1]")), 400, 109, "body: data is not a JSON object"),
    "data is text": (form(HELLO, part("data", b"\xff")), 400, 109, "body: data is not valid JSON ("),
    "deep data": (form(HELLO, part("data", "[" * 10_000)), 400, 109, "body: data is not valid JSON ("),
    "NUL in data": (form(HELLO, part("data", '{"a": "\\u0000"}')), 400, 109, "NUL"),
    "large data": (form(part("data", " " * 1_100_000), HELLO), 413, 113, "body: data is larger than"),
    "unknown permission": (form(HELLO, part("permissions", '{"fly": []}')), 400, 107, "fly"),
    "permissions are no lists": (form(HELLO, part("permissions", '{"read": 1}')), 400, 107, "read"),
    "wrong id": (
        form(HELLO, part("data", '{"id": "x"}')),
        400,
        107,
        "Object id does not match existing object",
    ),
    "wrong time": (
        form(HELLO, part("data", '{"last_modified": 1000000000000000000}')),
        400,
        107,
        "timestamp",
    ),
    "too large": (
        form(part("attachment", "x" * 1001, "a.txt")),
        400,
        107,
        "body: File size (1001 bytes) exceeds the limit (1000 bytes).",
    ),
    "far too large": (
        form(part("attachment", b"x" * 9_000_000, "a.txt")),
        400,
        107,
        "body: File size (at least",
    ),
    "in base64": (
        form(({**HELLO[0], "Content-Transfer-Encoding": "base64"}, b"aGVsbG8=")),
        400,
        109,
        "body: 'attachment' is sent as 'base64', not as it is",
    ),
    "ten thousand parts": (
        form(HELLO, *[part("data", "")] * 10_000),
        400,
        109,
        "body: 'data' is given twice",
    ),
    "ten thousand names": (
        form(*[part(f"x{n}", "") for n in range(10_000)]),
        413,
        113,
        "The form is too large",
    ),
    "a long header": (form(({**HELLO[0], "X-Long": "x" * 10_000}, b"x")), 413, 113, "The form is too large"),
    "many headers": (
        form(({**HELLO[0], **{f"X-{n}": "x" for n in range(50)}}, b"x")),
        413,
        113,
        "The form is too large",
    ),
    "an endless header": (LEAD + b"X: " + b"x" * 200_000, 413, 113, "The form is too large"),
    "a long preamble": (b"x" * 300_000 + b"\r\n" + form(HELLO), 413, 113, "The form is too large"),
    "a long end": (form(HELLO) + b"\r\n" + b"x" * 300_000, 413, 113, "The form is too large"),
    "broken off": (form(HELLO)[:-10], 400, 107, "body: The form cannot be read"),
    "broken off in the head": (form(HELLO)[:60], 400, 107, "body: The form cannot be read"),
    "another boundary": (
        form(HELLO).replace(b"boundary", b"border"),
        400,
        107,
        "body: The form cannot be read",
    ),
    "bare line feeds": (form(HELLO).replace(b"\r\n", b"\n"), 400, 107, "body: The form cannot be read"),
    "no form": (b'{"data": {}}', 400, 107, "body: The form cannot be read"),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_form_is_refused(standing: Attachers, name: str) -> None:
    body, status, errno, message = FORMS[name]
    response = await standing.send(body)
    told = response.json()
    assert (response.status_code, told["errno"]) == (status, errno), told
    assert message in told["message"], told


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        (None, "Content-Type should be multipart/form-data"),
        ("application/json", "Content-Type should be multipart/form-data"),
        ("multipart/mixed; boundary=x", "Content-Type should be multipart/form-data"),
        ("multipart/form-data", "Content-Type has no boundary that a form can have"),
        ("multipart/form-data; boundary=", "Content-Type has no boundary that a form can have"),
        ('multipart/form-data; boundary=""', "Content-Type has no boundary that a form can have"),
        (f"multipart/form-data; boundary={'x' * 71}", "Content-Type has no boundary that a form can have"),
        ("multipart/form-data; boundary=other", "body: The form cannot be read"),
    ],
)
async def test_a_content_type_is_refused(standing: Attachers, content_type: str | None, message: str) -> None:
    headers = {"Content-Type": content_type} if content_type is not None else {}
    response = await standing.app.call(f"POST {FILE}", raw=form(HELLO), headers=headers)
    assert (response.status_code, response.json()["errno"]) == (400, 107)
    assert message in response.json()["message"]


async def test_a_refused_schema_or_hook_leaves_nothing(standing: Attachers) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    await standing.app.ok("PATCH /buckets/b/collections/c", {"data": {"schema": schema}})
    response = await standing.attach(b"former", data={"n": "text"})
    assert response.status_code == 400


GIF_AND_SCRIPT = b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(document.domain)"


@pytest.mark.parametrize(
    ("content", "filename", "mimetype"),
    [
        (GIF_AND_SCRIPT, "picture.gif", "image/gif"),
        (b"<html><script>alert(1)</script>", "page.txt", "text/html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "picture.svg", "image/svg+xml"),
        (b"%PDF-1.4\nPK\x03\x04", "both.pdf", "application/zip"),
        (b"MZ\x90\0", "program.txt", "text/plain"),
    ],
)
async def test_files_that_lie_are_only_bytes(
    databases: Databases, tmp_path: Path, content: bytes, filename: str, mimetype: str
) -> None:
    """They are kept as they are said to be; that browsers do nothing with them is the serving's to see to."""
    async with attaching("sqlite", databases, tmp_path) as files:
        attachment = await files.attached(content, filename, mimetype)
        assert (attachment["filename"], attachment["mimetype"]) == (filename, mimetype)
        assert await files.content(attachment["location"]) == content


FORGED: list[Any] = [
    {"location": "../../../etc/passwd", "hash": "0" * 64, "size": 1},
    {"location": "/etc/passwd"},
    {"location": 7},
    {"location": ["a"]},
    {"location": "x" * 5000},
    {"location": "http://elsewhere.example/file?a=b#c\u202e"},
    {"location": "//elsewhere.example/\r\nSet-Cookie: a"},
    {"location": "javascript:alert(1)"},
    {"filename": "x"},
    {},
    [],
    "text",
    7,
    True,
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda each: json.dumps(each)[:40])
async def test_forged_attributes_do_no_harm(
    engine: str, databases: Databases, tmp_path: Path, forged: Any
) -> None:
    async with attaching(engine, databases, tmp_path) as files:
        await files.app.ok(f"PUT {RECORD}", {"data": {"attachment": forged}})
        for method in ("GET", "HEAD"):
            response = await files.app.call(f"{method} {FILE}")
            assert response.status_code in (302, 404)
            if response.status_code == 302:
                location = response.headers["Location"]
                assert location.startswith(("http://server.example/", "http://elsewhere.example/")), location
                assert location.isascii()
                assert location.isprintable()
        assert (await files.attach()).status_code == 200
        assert (await files.app.call(f"DELETE {FILE}")).status_code == 204
