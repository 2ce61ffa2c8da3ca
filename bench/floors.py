"""How many times less server CPU per request than Kinto ours must spend, at least."""

from __future__ import annotations

from bench.contenders import POSTGRESQL, SQLITE

FLOORS: dict[str, dict[str, float]] = {
    POSTGRESQL: {
        "W1": 20, "W2": 20, "W3": 15, "W4": 20, "W5": 25, "W6": 10, "W7": 20, "W8": 50, "W9": 20,
    },
    SQLITE: {
        "W1": 35, "W2": 20, "W3": 10, "W4": 30, "W5": 30, "W6": 10, "W7": 35, "W8": 50, "W9": 30,
    },
}  # fmt: skip

WORKER_RSS_BYTES = 80 * 1024 * 1024


def floor(engine: str, workload: str) -> float | None:
    """The floor for a workload; its variants (``W1a``, ``W6b``) share one. None where none is set."""
    return FLOORS.get(engine, {}).get(workload.rstrip("ab"))
