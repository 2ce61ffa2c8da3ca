"""The few statistics the tables need."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import median


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of an ascending sequence; *share* is between 0 and 1.

    Raises ValueError on an empty sequence or a share out of range.
    """
    if not ordered:
        raise ValueError("no samples")
    if not 0 <= share <= 1:
        raise ValueError("a share lies between 0 and 1")
    rank = ceil(share * len(ordered) - 1e-9)  # 0.99 * 100 must be 99, not 99.00000000000001
    return ordered[max(rank, 1) - 1]


def median_or_none(values: Sequence[float | None]) -> float | None:
    """Median of the values that exist, None when there is none."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def paired_ratios(base: Sequence[float | None], other: Sequence[float | None]) -> list[float]:
    """``base / other`` round by round.

    Neighbours in time share the machine's mood, so the ratio of each round says more than that of medians.
    Rounds where either side has no figure (or the other is zero) are left out.
    """
    return [a / b for a, b in zip(base, other, strict=False) if a is not None and b]
