"""Lists: that their clocks count what is there, and that nothing is left of what is gone."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

from kintoun.model import timestamps
from kintoun.model.kinds import ACCOUNT, BUCKET, COLLECTION, CREDENTIAL, GROUP, RECORD
from kintoun.model.paths import ROOT_LISTS, ListPath, Path
from kintoun.operations.doctor.findings import Finding, Level, Patient, Repair
from kintoun.storage.dialect import Dialect
from kintoun.storage.engine import Transaction, Writes
from kintoun.storage.rows import Clock

CORE = {kind.plural: kind for kind in (BUCKET, COLLECTION, GROUP, RECORD, ACCOUNT, CREDENTIAL)}
"""The kinds whose objects are in the table `object`; features keep others in tables of their own."""

AHEAD_MILLISECONDS = 60_000
BACKLOG = 1000

_BYTES = {Dialect.SQLITE: "length(CAST(body AS BLOB))", Dialect.POSTGRESQL: "octet_length(body)"}
_COUNTS = (
    "SELECT coalesce(sum(1 - deleted), 0), coalesce(sum(deleted), 0),"
    " coalesce(sum((1 - deleted) * {size}), 0), max(ts) FROM object WHERE list = $1"
)
_COUNTED = (
    "SELECT k.path, k.list, k.ts, k.live, k.dead, k.bytes, k.watermark, coalesce(o.live, 0),"
    " coalesce(o.dead, 0), coalesce(o.size, 0), o.newest FROM clock k LEFT JOIN (SELECT list,"
    " sum(1 - deleted) AS live, sum(deleted) AS dead, sum((1 - deleted) * {size}) AS size, max(ts) AS newest"
    " FROM object GROUP BY list) o ON o.list = k.list WHERE k.list IS NOT NULL"
)
_LIVE_BUCKETS = (
    "SELECT o.id FROM clock k JOIN object o ON o.list = k.list WHERE k.path = '/buckets' AND o.deleted = 0"
)
_LIVE_COLLECTIONS = (
    "SELECT k.bucket, o.id FROM clock k JOIN object o ON o.list = k.list"
    " WHERE k.path = '/buckets/' || k.bucket || '/collections' AND o.deleted = 0"
)
_LOST_OBJECTS = (
    "SELECT o.list, count(*) FROM object o WHERE NOT EXISTS (SELECT 1 FROM clock k WHERE k.list = o.list)"
    " AND NOT EXISTS (SELECT 1 FROM unlinked u WHERE u.list = o.list) GROUP BY o.list"
)


async def check_clocks(patient: Patient) -> AsyncIterator[Finding]:
    """Every list's counts and timestamp are those of its objects."""
    size = _BYTES[patient.store.engine.dialect]
    latest = timestamps.now() + AHEAD_MILLISECONDS
    async for rows in patient.snapshot.scan(_COUNTED.format(size=size)):
        for path, number, ts, live, dead, stored, watermark, *found in rows:
            if path.rpartition("/")[2] not in CORE:
                continue
            *counts, newest = found
            repair = _recount(path, number, _COUNTS.format(size=size))
            if [live, dead, stored] != [int(count) for count in counts]:
                has = f"{live} live objects, {dead} tombstones and {stored} bytes"
                are = f"{counts[0]}, {counts[1]} and {counts[2]}"
                yield Finding("clocks", "error", f"{path}: the clock counts {has}, there are {are}", repair)
            if newest is not None and newest > ts:
                yield Finding(
                    "clocks", "error", f"{path}: the clock is at {ts}, an object is at {newest}", repair
                )
            if watermark > ts:
                yield Finding(
                    "clocks", "error", f"{path}: the watermark {watermark} is after the clock", repair
                )
            if ts > latest:
                ahead = (ts - timestamps.now()) / 1000
                text = f"{path}: the clock is {ahead:,.0f} s ahead of this machine's"
                yield Finding("time", "warning", text)


def _recount(path: str, number: int, sql: str) -> Repair:
    async def repair(transaction: Transaction) -> None:
        clocks = await transaction.lock([path], ())
        if not clocks or clocks[0].list != number:
            return
        clock = clocks[0]
        live, dead, size, newest = (await transaction.fetch(sql, (number,)))[0]
        timestamp = max(clock.timestamp, clock.timestamp if newest is None else newest)
        clock = clock._replace(timestamp=timestamp, live=int(live), dead=int(dead), bytes=int(size))
        await transaction.write(Writes(clocks=[clock._replace(watermark=min(clock.watermark, timestamp))]))

    return repair


async def check_parents(patient: Patient) -> AsyncIterator[Finding]:
    """Every live object has the lists below it, and no list is there without its parent."""
    live = {str(Path(BUCKET, (row[0],))) async for row in _rows(patient, _LIVE_BUCKETS)}
    live |= {str(Path(COLLECTION, (row[0], row[1]))) async for row in _rows(patient, _LIVE_COLLECTIONS)}
    missing = {
        f"{parent}/{name}"
        for parent in live
        for name in (("records",) if "/collections/" in parent else ("collections", "groups"))
    } | {str(path) for path in ROOT_LISTS}
    async for path, number in _rows(patient, "SELECT path, list FROM clock"):
        if number is not None:
            missing.discard(path)
            parent, _, plural = path.rpartition("/")
            if plural in CORE and parent and parent not in live:
                yield Finding("parents", "error", f"{path}: the list is there, and its parent is not")
    for path in sorted(missing):
        text = f"{path}: the list is missing, though its parent is there"
        yield Finding("parents", "error", text, _make_list(path))


async def _rows(patient: Patient, sql: str) -> AsyncIterator[Any]:
    async for rows in patient.snapshot.scan(sql):
        for row in rows:
            yield row


def _make_list(text: str) -> Repair:
    async def repair(transaction: Transaction) -> None:
        path, number = ListPath.parse(text), secrets.randbits(62) + 1
        clocks = await transaction.lock([text], ())
        clock = clocks[0] if clocks else Clock(path, None, timestamps.now(), 0, 0, 0, 0, 0)
        if clock.list is None:
            await transaction.write(Writes(clocks=[clock._replace(list=number, version=clock.version + 1)]))

    return repair


async def check_orphans(patient: Patient) -> AsyncIterator[Finding]:
    """Every object stands in a list, or waits for its space to be reclaimed."""
    async for number, count in _rows(patient, _LOST_OBJECTS):
        text = f"{count} objects stand in no list (number {number})"
        yield Finding("orphans", "error", text, _reclaim(number))
    waiting = (await patient.snapshot.fetch("SELECT count(*) FROM unlinked"))[0][0]
    if waiting:
        level: Level = "warning" if waiting > BACKLOG else "note"
        text = f"{waiting} lists of deleted parents wait for their space to be reclaimed; servers do that"
        yield Finding("orphans", level, text)
    both = "SELECT k.path FROM clock k JOIN unlinked u ON u.list = k.list"
    async for (path,) in _rows(patient, both):
        yield Finding("orphans", "error", f"{path}: the list is in use, and waits to be reclaimed")


def _reclaim(number: int) -> Repair:
    async def repair(transaction: Transaction) -> None:
        if not await transaction.fetch("SELECT 1 FROM clock WHERE list = $1", (number,)):
            await transaction.write(Writes(unlinked=[number]))

    return repair
