"""The names that most scenarios use."""

from __future__ import annotations

from tests.compat.fleet import USER_IDS
from tests.compat.scenario import Scenario, Step, batch, put

B = "/buckets/b"
C = f"{B}/collections/c"
G = f"{B}/groups/g"
R = f"{C}/records"
R1 = f"{R}/r1"
ALICE, BOB, CAROL, ADMIN = (USER_IDS[name] for name in ("alice", "bob", "carol", "admin"))
EVERYONE, AUTHENTICATED = "system.Everyone", "system.Authenticated"

BASE: list[Step] = [put(B), put(C)]
"""A bucket and a collection of alice."""

SCENARIOS: list[Scenario] = []


def record(name: str, **data: object) -> Step:
    """PUT a record."""
    return put(f"{R}/{name}", {"data": data})


def records(**data: dict[str, object]) -> Step:
    """PUT several records in one batch, in order."""
    return batch(
        *[{"method": "PUT", "path": f"{R}/{name}", "body": {"data": item}} for name, item in data.items()]
    )
