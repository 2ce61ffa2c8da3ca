"""Exporting a collection: one snapshot, written as the objects are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Literal

from kintoun.model.kinds import COLLECTION
from kintoun.model.paths import BUCKETS, ListPath
from kintoun.model.query import Sort
from kintoun.storage import Store
from kintoun.storage.rows import Clock, Page, Wanted

PAGE = 2000
EVERY_ROW = 2**31 - 1
BY_ID = (Sort("id", False), Sort("last_modified", True))
NEWEST_FIRST = (Sort("last_modified", True),)

Form = Literal["json", "ndjson"]
Progress = Callable[[int, int], None]


class Missing(Exception):
    """There is no such bucket or collection; the message names it."""


async def collections(store: Store, bucket: str | None) -> list[tuple[str, str]]:
    """The bucket and the id of every collection, of one bucket or of all, sorted. Raises Missing."""
    buckets = [bucket] if bucket is not None else await _ids(store, BUCKETS)
    return [(each, name) for each in buckets for name in await _ids(store, ListPath(COLLECTION, (each,)))]


async def dump(store: Store, path: ListPath, file: IO[str], form: Form, progress: Progress) -> int:
    """Write a list of records, newest first, tombstones included; returns how many. Raises Missing.

    All of it belongs to one state of the list. `file` must be seekable: when the list changes meanwhile, it
    is written again, from one statement. `progress` is told how many objects are written, and of how many.
    """
    before = await _clock(store, path)
    written = await _write(store, path, before, PAGE, file, form, progress)
    if (await _clock(store, path)).version != before.version:
        file.seek(0)
        file.truncate()
        written = await _write(store, path, before, EVERY_ROW, file, form, progress)
    return written


async def _write(
    store: Store, path: ListPath, clock: Clock, page_size: int, file: IO[str], form: Form, progress: Progress
) -> int:
    written, last = 0, None
    file.write("" if form == "ndjson" else '{"data":[')
    while True:
        page = Page((), NEWEST_FIRST, page_size, deleted=True, after=last)
        found = await store.read(Wanted(clock=path, page=page))
        clock, rows = found.clock or clock, found.rows or ()
        for _, _, _, body, _ in rows:
            separator = "\n" if form == "ndjson" else ",\n" if written else "\n"
            file.write(body + separator if form == "ndjson" else separator + body)
            written += 1
        progress(written, max(written, clock.live + clock.dead))
        if len(rows) < page_size:
            break
        last = (rows[-1][2],)
    if form == "json":
        file.write(f'\n],"timestamp":{clock.timestamp}}}\n')
    return written


async def _clock(store: Store, path: ListPath) -> Clock:
    clock = (await store.read(Wanted(clock=path))).clock
    if clock is None or clock.list is None:
        raise Missing(f"there is nothing at {path}")
    return clock


async def _ids(store: Store, path: ListPath) -> list[str]:
    await _clock(store, path)
    rows = (await store.read(Wanted(clock=path, page=Page((), BY_ID, EVERY_ROW)))).rows or ()
    return [row[1] for row in rows]
