"""Bundles: files of many changesets, for clients that have nothing yet, made anew when something changes.

They stand among the attachments, below `bundles/`. One worker of all makes them, some time after the first
change, so changes that come together are bundled together. Nothing is in them that not everybody may read.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import structlog

from kintoun.features.publication.changesets import Changesets, Wish
from kintoun.features.publication.formats import Attachment, attachments_of, describe, mozlz4, packed
from kintoun.features.publication.marks import Marks, Seen
from kintoun.features.publication.monitor import PLACE, Entry, Monitor
from kintoun.features.publication.settings import PublicationSettings
from kintoun.files import Files, LocationTaken, files_of
from kintoun.http.requests import Request
from kintoun.model.errors import ProtocolError
from kintoun.resources.context import Context
from kintoun.resources.service import Service
from kintoun.storage.leases import Lease, holder_of_this_process

log = structlog.get_logger()

FOLDER = "bundles/"
STARTUP = f"{FOLDER}startup.json.mozlz4"
EVERYTHING = f"{FOLDER}changesets.json.mozlz4"
LEASE = "publication-bundles"
PREVIEW = "preview"
"""What the names of buckets have in them that only reviewers follow."""


class Bundles:
    """The bundles of what is followed."""

    def __init__(
        self,
        service: Service,
        monitor: Monitor,
        changesets: Changesets,
        marks: Marks,
        settings: PublicationSettings,
    ) -> None:
        self._service = service
        self._monitor = monitor
        self._changesets = changesets
        self._marks = marks
        self._settings = settings
        self._made = service.measures.counter(
            "bundles_total", "Bundles that were made because something in them had changed."
        )

    async def run(self) -> None:
        """Make bundles again and again, where there is a place for them and no other worker does it."""
        if find_spec("lz4") is None:
            log.warning("no bundles are made: lz4 is not installed")
        if find_spec("lz4") is None or files_of(self._service) is None or not self._monitor.resources:
            await asyncio.Event().wait()
        seconds = self._service.settings.storage.lease_seconds
        lease = Lease(self._service.store, LEASE, holder_of_this_process(), seconds)
        while True:
            await lease.lead(self._follow)

    async def _follow(self) -> None:
        bundled: Seen | None = None
        while True:
            seen = self._marks.at((PLACE,))
            if seen != bundled:
                await self.make()
                bundled = seen
            await asyncio.sleep(self._settings.bundle_seconds)

    async def make(self) -> None:
        """Make all bundles. Raises BackendFailed and `Unavailable`."""
        files = files_of(self._service)
        assert files is not None, "there is a place for files"
        startup: list[bytes] = []
        everything: list[bytes] = []
        archives = set()
        size = 0
        for entry in (await self._monitor.snapshot()).entries:
            body = await self._read(entry) if PREVIEW not in entry["bucket"] else None
            if body is None:
                continue
            described = describe(body)
            size += len(body)
            if size <= self._settings.bundle_bytes:
                everything.append(body)
            if described.at_startup:
                startup.append(body)
            if described.with_files and await self._archive(files, entry, body):
                archives.add(_archive_name(entry))
        if size > self._settings.bundle_bytes:
            log.warning("changesets are too large to be bundled", bytes=size)
            everything.clear()
        for name, bodies in ((STARTUP, startup), (EVERYTHING, everything)):
            content = await asyncio.to_thread(mozlz4, bodies)
            await self._publish(files, name, content, "application/octet-stream")
        for name in await files.published(FOLDER):
            if name.endswith(".zip") and name not in archives:
                await files.withdraw(name)

    async def _read(self, entry: Entry) -> bytes | None:
        """The changeset of a collection; None when not everybody may read it, or it is there no more."""
        context = Context(self._service, Request("GET", "/"))
        with suppress(ProtocolError):
            wish = Wish((entry["bucket"], entry["collection"]), None, None)
            return (await self._changesets.read(context, wish)).plain
        return None

    async def _archive(self, files: Files, entry: Entry, body: bytes) -> bool:
        """Bundle a collection's files; whether there is a bundle of it now, be it an older one."""
        records = attachments_of(body)
        size = sum(_size(record) for record in records)
        if size > self._settings.archive_bytes:
            return True
        attachments = []
        for record in records:
            location = await files.find(files.relative(record["attachment"]["location"]))
            if location is not None:
                attachments.append(Attachment(record, await files.content(location)))
        if not attachments:
            return False
        content = await asyncio.to_thread(packed, attachments)
        await self._publish(files, _archive_name(entry), content, "application/zip")
        return True

    async def _publish(self, files: Files, name: str, content: bytes, mimetype: str) -> None:
        present = await files.find(name)
        if present is not None and present.sha256 == sha256(content).hexdigest():
            return
        try:
            await files.publish(name, content, mimetype)
        except LocationTaken:
            log.warning("a bundle is not made, because somebody uploaded a file of its name", location=name)
        else:
            self._made.add()


def _archive_name(entry: Entry) -> str:
    return f"{FOLDER}{entry['bucket']}--{entry['collection']}.zip"


def _size(record: dict[str, Any]) -> int:
    size = record["attachment"].get("size")
    return size if isinstance(size, int) else 0
