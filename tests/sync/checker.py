"""The sync guarantee, checked on a history: which promise was broken, where, and by which requests.

The clauses, with the names that violations carry:

========  ================================================================================================
S1        No loss: who holds ETag *e* of a list has every write committed with a timestamp up to *e*, or what
          superseded it; the pages of one listing carry the ETag of the first.
S2        Order: timestamps are unique in a list and grow in commit order; a write that begins after another
          was answered has the greater one; a batch has rising ones with nobody else's among them.
S3        Reads do not go back: nobody is shown a state older than one that was already shown to anybody, and
          an answer shows exactly the state of its ETag.
S4        Preconditions: of the writes with one ``If-Match`` exactly one is done, on the version it names.
S5        A batch is done whole or not at all, and nobody sees a part of it.
S6        Tombstones are true: what is deleted stays so until it is written again, and only deletes delete.
S7        Convergence: once nobody writes, every local copy is the server's list.
S8        Isolation: no answer shows anything of another tenant.
S10       Durability: what was acknowledged survives the death of the server; no clock goes back.
X1        No refusal: a write without a precondition is not refused because others write too.
X2        No invention: answers show only what was written, and each write once.
========  ================================================================================================

(S9, signed truth, belongs to published data and is checked there.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.sync import check_reads, check_world, check_writes
from tests.sync.history import History
from tests.sync.steps import Listing, Step, join_listings, open_steps
from tests.sync.versions import Versions, Violation

LIMIT = 20
"""How many violations of one clause are reported; more of them say nothing new."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A history prepared for the checks."""

    history: History
    steps: list[Step]
    listings: list[Listing]
    versions: Versions


Check = Callable[[Evidence], Iterator[Violation]]

CHECKS: tuple[Check, ...] = (
    check_reads.listings,
    check_reads.pages,
    check_reads.counts,
    check_reads.real_time,
    check_writes.succession,
    check_writes.preconditions,
    check_writes.refusals,
    check_writes.list_deletes,
    check_writes.batches,
    check_world.tenants,
    check_world.convergence,
    check_world.durability,
)


def prepare(history: History) -> Evidence:
    steps = open_steps(history)
    return Evidence(history, steps, join_listings(steps), Versions(steps))


def check(history: History) -> list[Violation]:
    """Every broken promise in a history, at most `LIMIT` per clause; empty when all were kept.

    Reads the history only. Takes about n log n steps for n operations, plus the size of the answers.
    """
    evidence = prepare(history)
    found: defaultdict[str, list[Violation]] = defaultdict(list)
    for violation in evidence.versions.violations:
        found[violation.clause].append(violation)
    for run in CHECKS:
        for violation in run(evidence):
            if len(found[violation.clause]) < LIMIT:
                found[violation.clause].append(violation)
    return [violation for clause in sorted(found) for violation in found[clause][:LIMIT]]


def explain(history: History, violations: list[Violation]) -> str:
    """The violations with the operations that show them, for a person."""
    lines = []
    for violation in violations:
        lines.append(str(violation))
        lines += [f"    {history.operations[number]}" for number in violation.operations]
    return "\n".join(lines)
