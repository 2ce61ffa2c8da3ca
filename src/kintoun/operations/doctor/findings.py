"""What an examination finds, and what it looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from kintoun.operations.tables import Versions
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.engine import Transaction
from kintoun.storage.snapshots import Snapshot

Level = Literal["error", "warning", "note"]
Repair = Callable[[Transaction], Awaitable[None]]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    An `error` gives wrong answers or may lose data, a `warning` may come to that, a `note` costs nothing but
    space. `repair` puts it right in one transaction, while servers go on; None: somebody has to decide.
    """

    check: str
    level: Level
    message: str
    repair: Repair | None = None

    def as_json(self) -> dict[str, Any]:
        """The finding for programs."""
        return {
            "check": self.check,
            "level": self.level,
            "message": self.message,
            "repairable": self.repair is not None,
        }


@dataclass(frozen=True)
class Patient:
    """What is examined: the settings, the database, and what it is in one moment."""

    settings: Settings
    store: Store
    snapshot: Snapshot
    versions: Versions


Check = Callable[[Patient], AsyncIterator[Finding]]
