"""The files of records, as kinto-attachment has them."""

from __future__ import annotations

from typing import Any

from tests.compat.cases.world import BASE, BOB, B, C, R, record
from tests.compat.scenario import Raw, Step, batch, delete, get, options, patch, post, put, scenario

PROFILE = "attachments"
BOUNDARY = "----------boundary"
URL = f"{R}/r1/attachment"
HELLO = ("attachment", "hello.txt", "text/plain", "hello")


def form(*parts: tuple[str, str | None, str | None, str]) -> Raw:
    """A form of parts with a name, a file name, a media type and a content."""
    lines = []
    for name, filename, mimetype, content in parts:
        lines.append(f"--{BOUNDARY}")
        file = f'; filename="{filename}"' if filename is not None else ""
        lines.append(f'Content-Disposition: form-data; name="{name}"{file}')
        if mimetype is not None:
            lines.append(f"Content-Type: {mimetype}")
        lines += ["", content]
    lines += [f"--{BOUNDARY}--", ""]
    return Raw("\r\n".join(lines).encode(), f"multipart/form-data; boundary={BOUNDARY}")


def field(name: str, value: str) -> tuple[str, None, None, str]:
    return (name, None, None, value)


def attach(
    *more: tuple[str, str | None, str | None, str],
    url: str = URL,
    file: tuple[str, str, str | None, str] = HELLO,
    **arguments: Any,
) -> Step:
    """POST a file."""
    return post(url, form(file, *more), **arguments)


def called(filename: str, mimetype: str | None = "text/plain", content: str = "x") -> Step:
    """POST a file of another name."""
    return attach(file=("attachment", filename, mimetype, content))


SCENARIOS = [
    scenario(
        "attach, replace and remove",
        *BASE,
        attach(field("data", '{"title": "Hi", "n": {"a": 1}}')),
        get(f"{R}/r1"),
        attach(field("data", '{"n": {"b": 2}}'), file=("attachment", "two.JSON", "text/json", "{}")),
        get(f"{R}/r1"),
        delete(URL),
        get(f"{R}/r1"),
        attach(),
        get(f"{R}/r1"),
        get(R),
        profile=PROFILE,
    ),
    scenario(
        "a record that is there",
        *BASE,
        record("r1", title="Hi"),
        attach(field("permissions", '{"read": ["system.Everyone"]}')),
        get(f"{R}/r1"),
        get(f"{R}/r1", user=None),
        profile=PROFILE,
    ),
    scenario(
        "what is told of a file",
        *BASE,
        called("a.txt", "text/html"),
        called("a.txt", "text/plain; charset=utf-8"),
        called("a.pem", "text/plain"),
        called("a.geojson", "text/plain"),
        called("a.ftl", "text/plain"),
        called("A.TXT"),
        called("../../etc/passwd.txt"),
        called("empty.txt", content=""),
        profile=PROFILE,
    ),
    scenario(
        "refused forms",
        *BASE,
        post(URL),
        post(URL, {"data": {}}),
        post(URL, form(field("data", "{}"))),
        post(URL, form(field("attachment", "hello"))),
        called(""),
        called("a.exe"),
        called("txt"),
        called("large.txt", content="x" * 101),
        attach(field("data", "{")),
        attach(("data", "data.json", "application/json", "{}")),
        attach(field("x", "1")),
        attach(field("data", '{"id": "other"}')),
        get(f"{R}/r1"),
        profile=PROFILE,
    ),
    scenario(
        "where and who",
        *BASE,
        patch(C, {"permissions": {"record:create": [BOB]}}),
        attach(user=None),
        attach(user="carol"),
        attach(url=f"{R}/bobs/attachment", user="bob"),
        attach(url=f"{R}/bobs/attachment", user="bob"),
        attach(),
        attach(user="bob"),
        delete(URL, user="bob"),
        delete(URL, user=None),
        delete(f"{R}/bobs/attachment", user="bob"),
        attach(url=f"{B}/collections/none/records/r/attachment"),
        attach(url="/buckets/none/collections/none/records/r/attachment"),
        attach(url=f"{R}/no id/attachment".replace(" ", "%20")),
        options(URL, h={"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}),
        profile=PROFILE,
    ),
    scenario(
        "the record API",
        *BASE,
        attach(),
        patch(f"{R}/r1", {"data": {"attachment": {"location": "x"}}}),
        put(f"{R}/r1", {"data": {"attachment": {"location": "x"}}}),
        patch(f"{R}/r1", {"data": {"title": "Hi"}}),
        patch(f"{R}/r1", {"data": {"attachment": None}}),
        patch(f"{R}/r1", {"data": {"attachment": {"location": "x"}}}),
        put(f"{R}/r1", {"data": {}}),
        put(f"{R}/forged", {"data": {"attachment": {"location": "x"}}}),
        delete(f"{R}/r1"),
        profile=PROFILE,
    ),
    scenario(
        "a chosen time",
        *BASE,
        attach(field("data", '{"last_modified": 123456}')),
        get(f"{R}/r1"),
        profile=PROFILE,
    ),
    scenario(
        "a schema",
        *BASE,
        patch(
            C,
            {
                "data": {
                    "schema": {
                        "type": "object",
                        "required": ["title"],
                        "properties": {"attachment": {"type": "object"}},
                    }
                }
            },
        ),
        attach(),
        attach(field("data", '{"title": "Hi"}')),
        delete(URL),
        get(f"{R}/r1"),
        profile=PROFILE,
    ),
    scenario(
        "in a batch",
        *BASE,
        attach(),
        batch(
            {"method": "POST", "path": URL, "body": {"data": {}}},
            {"method": "DELETE", "path": URL},
            {"method": "GET", "path": f"{R}/r1"},
        ),
        profile=PROFILE,
    ),
    scenario(
        "attachments in the personal bucket",
        attach(url="/buckets/default/collections/mine/records/r/attachment"),
        get("/buckets/default/collections/mine/records/r"),
        delete("/buckets/default/collections/mine/records/r/attachment"),
        profile=PROFILE,
    ),
    scenario("attachments in the overview", get("/"), get("/__heartbeat__"), profile=PROFILE),
    scenario(
        "attachments and demands",
        *BASE,
        attach(h={"If-None-Match": "*"}, name="first"),
        attach(h={"If-None-Match": "*"}),
        attach(h={"If-Match": '"1"'}),
        delete(URL, h={"If-Match": '"1"'}),
        profile=PROFILE,
    ),
    scenario(
        "attachments that are not there",
        *BASE,
        delete(f"{R}/none/attachment"),
        get(f"{R}/none"),
        record("plain", title="Hi"),
        delete(f"{R}/plain/attachment"),
        get(f"{R}/plain"),
        profile=PROFILE,
    ),
    scenario(
        "attachments that are only asked for",
        *BASE,
        attach(),
        get(URL),
        put(URL, Raw(b"hello", "text/plain")),
        patch(URL, {"data": {}}),
        profile=PROFILE,
    ),
    scenario(
        "forms that break the server",
        *BASE,
        attach(field("data", "[1]")),
        called("a.txt", "text/plain; charset=no-such"),
        profile=PROFILE,
    ),
]
