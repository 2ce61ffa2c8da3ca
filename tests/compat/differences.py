"""Every deliberate difference from Kinto 26.5.0, by name: why it is there, and exactly where it may appear.

An entry explains a disagreement only when Kinto does what the specification says of it *and* we do what we
promise instead; any other disagreement fails the comparison. `docs/differences.md` is made from this table
(`python -m tests.compat.document`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.compat.compare import Exchange, Mismatch


@dataclass(frozen=True)
class Difference:
    """One deliberate difference: `applies` recognises it, and nothing else; `section` is of the protocol."""

    name: str
    section: str
    kinto: str
    ours: str
    reason: str
    applies: Callable[[Exchange, Mismatch], bool]


DIFFERENCES: tuple[Difference, ...] = ()


def explanation(exchange: Exchange, mismatch: Mismatch) -> Difference | None:
    """The entry that accounts for a disagreement, if there is one."""
    return next((entry for entry in DIFFERENCES if entry.applies(exchange, mismatch)), None)
