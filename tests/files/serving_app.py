"""An application that serves files, and the means to have some in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kintoun.features.attachments.compressing import Compressor
from kintoun.features.attachments.dictionaries import Dictionaries
from kintoun.features.attachments.serving import ServingSettings, serve_files
from kintoun.files import MIGRATIONS, Files, files_of, start_files
from kintoun.http.requests import Request
from kintoun.plugin import Plugin, Registry
from tests.support.inprocess import App, Databases, opened, settings_for

SERVED = "/attachments/"
UUID = "0d4d7f3e-9a52-4b7c-8a51-3f0e4a0c6f11"


class Serving(Plugin):
    """Files, without the endpoint by which they come."""

    name = "serving"
    migrations = MIGRATIONS

    def __init__(self, **settings: Any) -> None:
        self.options = ServingSettings(**settings)

    def setup(self, registry: Registry, settings: Any) -> None:
        files = start_files(registry, self.options)

        def base(request: Request) -> str:
            return self.options.base_url or f"{request.base}/v1{SERVED}"

        serve_files(registry, self.options, files, base)


@asynccontextmanager
async def serving(engine: str, databases: Databases, folder: Path, **settings: Any) -> AsyncIterator[App]:
    """An application that serves the files in a folder."""
    plugin = Serving(store=str(folder), **settings)
    async with opened(settings_for(databases.url(engine, "serving")), plugin) as app:
        await app.bait()
        yield app


def files_in(app: App) -> Files:
    files = files_of(app.application.composition.service)
    assert files is not None
    return files


async def upload(
    app: App,
    content: bytes,
    *,
    name: str = f"{UUID}.txt",
    mimetype: str = "text/plain",
    filename: str = "a.txt",
    record: str = "r",
    collection: str = "c",
) -> str:
    """Have a file that a record names; returns its location. The bucket and the collection are made."""
    files = files_in(app)
    location = f"b/{collection}/{name}"
    blob = await files.put(content)
    path = ("b", collection, record)
    assert await files.store.transact(
        lambda transaction: files.place(
            transaction, location, blob, filename=filename, mimetype=mimetype, record=path
        )
    )
    for parent in ("/buckets/b", f"/buckets/b/collections/{collection}"):
        response = await app.call(f"PUT {parent}", headers={"If-None-Match": "*"})
        assert response.status_code in (201, 412), response.text
    record_path = f"/buckets/b/collections/{collection}/records/{record}"
    await app.ok(f"PUT {record_path}", {"data": {"attachment": {"location": location}}})
    return location


async def compress(app: App) -> None:
    """What the background work does."""
    files = files_in(app)
    await Compressor(files, 1 << 26, Dictionaries(files, 1 << 24)).go_through(0)
