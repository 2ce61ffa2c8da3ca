"""An application that keeps files, and forms to send it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from kintoun.features.attachments import Attachments
from kintoun.features.attachments.settings import AttachmentsSettings
from kintoun.files import Files, files_of
from kintoun.files.sweeping import Sweeper
from kintoun.model import timestamps
from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

COLLECTION = "/buckets/b/collections/c"
RECORD = f"{COLLECTION}/records/r"
FILE = f"{RECORD}/attachment"
BOUNDARY = "--------------------------boundary"

Part = tuple[Mapping[str, str], bytes]


def part(name: str, content: bytes | str, filename: str | None = None, mimetype: str | None = None) -> Part:
    """A part of a form, as browsers send it."""
    disposition = f'form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    headers = {"Content-Disposition": disposition}
    if mimetype is not None:
        headers["Content-Type"] = mimetype
    return headers, content if isinstance(content, bytes) else content.encode()


def form(*parts: Part) -> bytes:
    """The body of a form."""
    lines = bytearray()
    for headers, content in parts:
        lines += f"--{BOUNDARY}\r\n".encode()
        for name, value in headers.items():
            lines += f"{name}: {value}\r\n".encode()
        lines += b"\r\n" + content + b"\r\n"
    return bytes(lines) + f"--{BOUNDARY}--\r\n".encode()


class Attachers:
    """What tests do with files."""

    def __init__(self, app: App) -> None:
        self.app = app
        files = files_of(app.application.composition.service)
        assert files is not None
        self.files: Files = files

    async def send(
        self, body: bytes, url: str = FILE, *, headers: Mapping[str, str] | None = None, **arguments: Any
    ) -> httpx.Response:
        """POST a form."""
        sent = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **(headers or {})}
        return await self.app.call(f"POST {url}", raw=body, headers=sent, **arguments)

    async def attach(
        self,
        content: bytes = b"hello",
        filename: str = "hello.txt",
        mimetype: str | None = "text/plain",
        *,
        url: str = FILE,
        data: Any = None,
        permissions: Any = None,
        **arguments: Any,
    ) -> httpx.Response:
        """POST a file with attributes and permissions."""
        parts = [part("attachment", content, filename, mimetype)]
        parts += [
            part(name, json.dumps(value))
            for name, value in (("data", data), ("permissions", permissions))
            if value is not None
        ]
        return await self.send(form(*parts), url, **arguments)

    async def attached(self, *args: Any, **arguments: Any) -> Any:
        """What a record tells of a file that must be accepted."""
        response = await self.attach(*args, **arguments)
        assert response.status_code in (200, 201), response.text
        return response.json()

    async def record(self, url: str = RECORD, **arguments: Any) -> Any:
        return (await self.app.ok(f"GET {url}", **arguments))["data"]

    async def content(self, location: str) -> bytes | None:
        """The bytes that stand at a location."""
        found = await self.files.find(self.files.relative(location))
        return await self.files.content(found) if found is not None else None

    async def sweep(self) -> None:
        """Remove what nothing names, as if the time of grace had passed."""
        await self.files.open()
        sweeper = Sweeper(self.files.store, self.files.backend, self.files.relative, 0)
        for _ in range(2):
            await sweeper.sweep(timestamps.now() + 1)

    def uploads(self) -> Sequence[Path]:
        """What is left of uploads."""
        folder = self.files.backend.uploads
        return list(folder.iterdir()) if folder.exists() else []


@asynccontextmanager
async def attaching(
    engine: str, databases: Databases, store: Path, features: Sequence[str] = (), **settings: Any
) -> AsyncIterator[Attachers]:
    """An application with these settings of attachments, and a collection."""
    section = AttachmentsSettings(store=str(store), **settings)
    made = settings_for(
        databases.url(engine, "attachments"),
        features=[*FEATURES, *features, Attachments.name],
        sections={Attachments.name: section},
    )
    async with opened(made) as app:
        await app.bait()
        await app.ok("PUT /buckets/b")
        await app.ok(f"PUT {COLLECTION}")
        app.forget()
        yield Attachers(app)
