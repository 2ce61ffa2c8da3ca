"""Quotas: what a bucket or a collection may hold, never passed, however many write at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from kintoun.features.quotas.limits import NAMES, Limits, LimitsOf, QuotasSettings
from kintoun.features.quotas.usage import MIGRATIONS, NOTHING, Usage, add, changes, recount
from kintoun.measures import Measures
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.model.kinds import BUCKET, COLLECTION, GROUP, RECORD
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Work
from kintoun.storage.outgoing import size_of
from kintoun.storage.unit import Unit

SECTION = "quotas"


class Guard:
    """Refuses what would pass a limit. What makes a total smaller is never refused, be it still too large."""

    def __init__(self, settings: QuotasSettings, measures: Measures) -> None:
        self.limits = LimitsOf(settings)
        self._refused = measures.counter(
            "quota_refusals_total", "Writes that were refused for want of room.", ("quota",)
        )
        self._excused: WeakKeyDictionary[Unit, dict[str, int]] = WeakKeyDictionary()

    async def check(self, work: Work, change: Change) -> None:
        """Refuse an object, or a record that its collection has no room for."""
        if change.action == "delete":
            return
        more = self._check_object(work, change)
        path = change.path
        if path.kind is not RECORD:
            return
        limits = self.limits.collection(*path.ids[:2])
        if limits.on_totals:
            clock = await work.unit.standing(path.list)
            self._total("collection", limits, Usage(clock.live, clock.bytes), more)

    async def check_together(self, work: Work, changes: Sequence[Change]) -> None:
        """Refuse objects. Of what is written many at once the totals count that it ends with: see `close`."""
        for change in changes:
            if change.action != "delete":
                self._check_object(work, change)

    async def close(self, unit: Unit) -> None:
        """Settle what a transaction did to the totals of collections, and of buckets."""
        more: dict[str, Usage] = {}
        mine: dict[str, dict[str, Usage]] = {}
        for path, before, after in changes(unit):
            bucket = path.parents[0]
            grown = after.minus(before)
            if path.kind is RECORD:
                self._total("collection", self.limits.collection(*path.parents), after, grown)
            more[bucket] = more.get(bucket, NOTHING).plus(grown)
            mine.setdefault(bucket, {})[str(path)] = before
        excused = self._excused.pop(unit, {})
        for bucket in sorted(more):
            limits = self.limits.bucket(bucket)
            if limits.on_totals and more[bucket] != NOTHING:
                total = await add(unit.transaction, bucket, more[bucket], mine[bucket])
                asked = more[bucket].minus(Usage(0, excused.get(bucket, 0)))
                self._total("bucket", limits, total, asked)

    def _check_object(self, work: Work, change: Change) -> Usage:
        """Refuse an object that is too large, and tell by how much there is more than before it."""
        path = change.path
        size = size_of(change.new_body)
        before = size_of(change.old_body) if change.old_body is not None else 0
        if work.context.unattended:
            excused = self._excused.setdefault(work.unit, {})
            excused[path.ids[0]] = excused.get(path.ids[0], 0) + size - before
        else:
            self._single("bucket", self.limits.bucket(path.ids[0]), size, before)
            if path.kind is RECORD:
                self._single("collection", self.limits.collection(*path.ids[:2]), size, before)
        return Usage(int(change.action == "create"), size - before)

    def _single(self, kind: str, limits: Limits, size: int, before: int) -> None:
        most = limits.item_bytes
        if most is not None and size > max(most, before):
            raise self._refusal(kind, NAMES[2], most, before, size - before)

    def _total(self, kind: str, limits: Limits, total: Usage, more: Usage) -> None:
        """Refuse a `total`, which has what is asked for in it already."""
        for name, most, used, asked in (
            (NAMES[0], limits.bytes, total.bytes, more.bytes),
            (NAMES[1], limits.items, total.items, more.items),
        ):
            if most is not None and used > most and asked > 0:
                raise self._refusal(kind, name, most, used - asked, asked)

    def _refusal(self, kind: str, name: str, most: int, used: int, asked: int) -> ProtocolError:
        quota = f"{kind}_{name}"
        self._refused.add(1, quota)
        unit = "records" if name == NAMES[1] else "bytes"
        return ProtocolError(
            507,
            FORBIDDEN,
            f"No room: {quota} is {most} {unit}, {used} are used, {asked} more are asked for.",
            details={"quota": quota, "limit": most, "used": used, "asked": asked},
        )


class Quotas(Plugin):
    """Limits on what buckets and collections hold."""

    name = SECTION
    settings = QuotasSettings
    migrations = MIGRATIONS
    kinto_includes = ("kinto.plugins.quotas",)
    kinto_keys = {  # noqa: RUF012
        **{f"quotas.{kind}_{name}": f"{kind}_{name}" for kind in ("bucket", "collection") for name in NAMES},
        "quotas.*": "named",
    }

    def setup(self, registry: Registry, settings: Any) -> None:
        declared: QuotasSettings = settings or QuotasSettings()
        guard = Guard(declared, registry.service.measures)
        kinds = (BUCKET, COLLECTION, GROUP, RECORD)
        registry.before_commit(guard.check, *kinds, together=guard.check_together)
        if guard.limits.any_on_totals:
            registry.closing(guard.close)
        if guard.limits.any_of_buckets:
            store = registry.service.store
            registry.background(lambda: recount(store), lease="quotas")
        general = {
            f"{kind}_{name}": value
            for kind in ("bucket", "collection")
            for name in NAMES
            if (value := getattr(declared, f"{kind}_{name}")) is not None
        }
        registry.capability(
            "quotas",
            "Limits on what buckets and collections hold.",
            f"{registry.settings.project.docs}concepts/limits-of-use/",
            limits=general,
        )
