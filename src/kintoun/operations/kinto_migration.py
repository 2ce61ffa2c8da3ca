"""Migrating a Kinto: copy, compare, and only then commit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from kintoun.config import migrations_of
from kintoun.operations import begin_bulk, open_patiently
from kintoun.operations.kinto_copy import Copied, Copy
from kintoun.operations.kinto_history import HistoryComparison, HistoryCopy
from kintoun.operations.kinto_source import KintoSource
from kintoun.operations.kinto_verify import Verification, Verified
from kintoun.settings import Settings
from kintoun.storage.engine import Transaction

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many objects are done, and of how many."""


@dataclass
class Migration:
    """What a migration did; `seconds` are those of the copy and of the comparison."""

    copied: Copied
    verified: Verified
    seconds: tuple[float, float]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Objects and tombstones that were copied."""
        return sum(self.copied.objects.values()) + self.copied.tombstones

    @property
    def sound(self) -> bool:
        """Whether both sides are the same."""
        return not self.verified.faults


async def migrate(
    settings: Settings,
    storage_url: str,
    permission_url: str | None,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> Migration:
    """Copy a Kinto's database into the one of these settings, which must be empty.

    All of it is one transaction, committed when the comparison found no difference and it is no `dry_run`:
    whatever happens before, nothing has happened. Raises Refused.
    """
    source = await KintoSource.open(storage_url, permission_url)
    try:
        store = await open_patiently(settings.storage)
        try:
            await store.migrate(migrations_of(settings.features))
            history = "history" in settings.features
            transaction = await begin_bulk(store)
            try:
                result = await _copy_and_compare(source, transaction, progress, history=history)
            except BaseException:
                await transaction.rollback()
                raise
            if result.sound and not dry_run:
                await transaction.commit()
            else:
                await transaction.rollback()
            return result
        finally:
            await store.close()
    finally:
        await source.close()


async def _copy_and_compare(
    source: KintoSource, transaction: Transaction, progress: Progress, *, history: bool
) -> Migration:
    size = await source.size(history=history)
    started = time.monotonic()
    copy = Copy(transaction)
    await copy.begin()
    done = 0
    async for piece in source.stream():
        await copy.take(piece)
        done += len(piece.objects)
        progress("copying", done, size)
    await copy.finish(source)
    left_out = Counter(source.skipped) + Counter(await source.not_copied(history=history))
    if history:
        entries = HistoryCopy(transaction, copy.report)
        async for piece in source.history():
            await entries.take(piece)
            done += len(piece.objects)
            progress("copying", done, size)
        await entries.finish()
    if copy.report.dropped_grants:
        left_out["permissions that the objects' kinds do not have"] = copy.report.dropped_grants
    copied = time.monotonic()
    verification = Verification(transaction)
    done = 0
    async for piece in source.stream():
        await verification.take(piece)
        done += len(piece.objects)
        progress("comparing", done, size)
    verified = await verification.finish()
    if history:
        await _compare_history(source, HistoryComparison(transaction, verified), progress, done, size)
    times = (copied - started, time.monotonic() - copied)
    return Migration(copy.report, verified, times, left_out)


async def _compare_history(
    source: KintoSource, comparison: HistoryComparison, progress: Progress, done: int, size: int
) -> None:
    async for piece in source.history():
        await comparison.take(piece)
        done += len(piece.objects)
        progress("comparing", done, size)
    await comparison.finish()
