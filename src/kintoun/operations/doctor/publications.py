"""The publication log: that nothing in it was changed, removed, moved, or added by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

from kintoun.operations.doctor.findings import Finding, Patient

FEATURE, SINCE = "signing", 2
"""The feature that keeps the log, and the version of its tables from which on there is one."""
SHOWN = 20


async def check_publications(patient: Patient) -> AsyncIterator[Finding]:
    """The log is whole, and has what is published."""
    if patient.versions.features.get(FEATURE, 0) < SINCE:
        return
    from kintoun.features.signing.auditing import audit
    from kintoun.features.signing.resources import resources_of
    from kintoun.features.signing.signers import elsewhere_of

    resources, elsewhere = resources_of(patient.settings), elsewhere_of(patient.settings)
    number = 0
    async for problem in audit(patient.snapshot.fetch, resources, elsewhere=elsewhere):
        number += 1
        if number <= SHOWN:
            message = f"entry {problem.number} of the log: {problem.sentence}"
            yield Finding("publications", "error", message)
    if number > SHOWN:
        yield Finding("publications", "error", f"{number - SHOWN} more entries of the log are not sound")
