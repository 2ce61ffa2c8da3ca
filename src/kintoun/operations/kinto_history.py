"""The history of a Kinto: its entries, and who may read them.

What an entry says is kept as it is. It does not say what the change replaced, so lists of the past reach back
to the migration only.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from kintoun.features.history.table import part_of
from kintoun.model import json, timestamps
from kintoun.operations.kinto_copy import BEGUN, Converted, Converter, Copied, acl_entries
from kintoun.operations.kinto_source import Piece
from kintoun.operations.kinto_verify import Verified, canonical
from kintoun.storage.engine import Transaction, Writes
from kintoun.storage.outgoing import digest
from kintoun.storage.rows import Clock

COLUMNS = (
    *("list", "id", "ts", "deleted", "body", "acl"),
    *("part", "name", "collection", "resource", "author"),
    *("origin", "version", "since", "became"),
)
"""What is known of an entry. The others are of what was before the change."""

NO_LIST = 0
"""The number that no list has: entries that do not say what was before."""

_ENTRY = "INSERT INTO acl_entry (principal, permission, acl) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_CLOCK = "SELECT list, ts, live, dead FROM clock WHERE path = $1"
_ROWS = "SELECT id, ts, deleted, body, acl FROM history WHERE list = $1 AND ts < $2 ORDER BY ts DESC LIMIT $3"
_COUNT = "SELECT count(*) FROM history WHERE list = $1"


class HistoryCopy:
    """Copies entries, bucket by bucket."""

    def __init__(self, transaction: Transaction, report: Copied) -> None:
        self._transaction = transaction
        self._report = report
        self._clock: Clock | None = None
        self._converter: Converter | None = None

    async def take(self, piece: Piece) -> None:
        """Write a piece of one bucket's entries."""
        if self._clock is None or self._clock.path != piece.path:
            await self.finish()
            self._clock = _clock_of(piece)
            self._converter = Converter(piece.path)
        clock, converter = self._clock, self._converter
        assert clock.list is not None
        assert converter is not None
        converted = [converter.convert(entry) for entry in piece.objects]
        entries = {row for obj in converted for row in acl_entries(obj.grants)}
        await self._transaction.execute_many(_ENTRY, sorted(entries))
        await self._transaction.append("history", COLUMNS, _rows(clock.list, converted))
        live = sum(not obj.deleted for obj in converted)
        self._clock = clock._replace(live=clock.live + live, dead=clock.dead + len(converted) - live)
        self._report.objects["history"] = self._report.objects.get("history", 0) + live
        self._report.tombstones += len(converted) - live

    async def finish(self) -> None:
        """Write the clock of the bucket that came last."""
        if self._clock is not None:
            await self._transaction.write(Writes(clocks=[self._clock]))
            self._report.lists += 1


def _clock_of(piece: Piece) -> Clock:
    newest = [piece.objects[0].timestamp] if piece.objects else []
    known = newest if piece.timestamp is None else [piece.timestamp, *newest]
    number = secrets.randbits(62) + 1
    return Clock(piece.path, number, max(known, default=timestamps.now()), BEGUN, 0, 0, 0, 0)


def _rows(number: int, converted: list[Converted]) -> Iterator[tuple[object, ...]]:
    for obj in converted:
        entry = obj.attributes
        resource = _text(entry.get("resource_name"))
        name = _text(entry.get(f"{resource}_id"))
        own = (number, obj.id, obj.timestamp, int(obj.deleted), json.encode_text(entry), digest(obj.grants))
        named = (part_of(name), name, _text(entry.get("collection_id")), resource)
        yield (*own, *named, _text(entry.get("user_id")), NO_LIST, 0, 0, 0)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class HistoryComparison:
    """Compares entries with those of a Kinto."""

    def __init__(self, transaction: Transaction, report: Verified) -> None:
        self._transaction = transaction
        self._report = report
        self._expected: Clock | None = None
        self._converter: Converter | None = None
        self._number: int | None = None
        self._last = 2**62

    async def take(self, piece: Piece) -> None:
        """Compare a piece of one bucket's entries."""
        if self._expected is None or self._expected.path != piece.path:
            await self.finish()
            self._expected, self._converter = _clock_of(piece), Converter(piece.path)
            rows = await self._transaction.fetch(_CLOCK, (str(piece.path),))
            self._number, self._last = (rows[0][0] if rows else None), 2**62
        converter = self._converter
        assert converter is not None
        expected = [converter.convert(entry) for entry in piece.objects]
        found = await self._transaction.fetch(_ROWS, (self._number or 0, self._last, len(expected)))
        if len(found) != len(expected):
            self._report.fault(f"{piece.path}: {len(expected) - len(found)} entries are missing")
        for want, have in zip(expected, found, strict=False):
            self._last = want.timestamp
            live = 0 if want.deleted else 1
            clock = self._expected
            self._expected = clock._replace(live=clock.live + live, dead=clock.dead + 1 - live)
            await self._compare(f"{piece.path}/{want.id}", want, have)

    async def _compare(self, place: str, want: Converted, have: tuple[str, int, int, str, bytes]) -> None:
        self._report.objects += 1
        entry_id, timestamp, deleted, body, acl = have
        if (entry_id, timestamp, bool(deleted)) != (want.id, want.timestamp, want.deleted):
            self._report.fault(f"{place}: is {entry_id!r} at {timestamp}")
        elif canonical(json.decode(body.encode(), max_depth=900)) != canonical(want.attributes):
            self._report.fault(f"{place}: the entry differs")
        elif bytes(acl) != digest(want.grants):
            self._report.fault(f"{place}: the readers differ")

    async def finish(self) -> None:
        """Compare what is to be said of a bucket's entries as a whole."""
        expected = self._expected
        if expected is None:
            return
        self._report.lists += 1
        rows = await self._transaction.fetch(_CLOCK, (str(expected.path),))
        if not rows or tuple(rows[0])[1:] != (expected.timestamp, expected.live, expected.dead):
            self._report.fault(f"{expected.path}: the clock is not that of the entries")
            return
        count = (await self._transaction.fetch(_COUNT, (rows[0][0],)))[0][0]
        if count != expected.live + expected.dead:
            self._report.fault(f"{expected.path}: has {count} entries")
