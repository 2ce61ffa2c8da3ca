"""Examining a database: is all as it should be, and what can be put right?"""

from __future__ import annotations

from dataclasses import dataclass, field

from kintoun.operations import Refused, open_patiently
from kintoun.operations.doctor.engine import check_configuration, check_engine, check_schema, check_time
from kintoun.operations.doctor.files import check_files
from kintoun.operations.doctor.findings import Check, Finding, Patient
from kintoun.operations.doctor.lists import check_clocks, check_orphans, check_parents
from kintoun.operations.doctor.publications import check_publications
from kintoun.operations.doctor.rights import check_bodies, check_members, check_permissions
from kintoun.operations.tables import check_known, versions_of
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.snapshots import open_snapshot

ABOUT_THE_SERVER: tuple[Check, ...] = (check_configuration, check_schema, check_engine, check_time)
ABOUT_THE_DATA: tuple[Check, ...] = (
    check_clocks,
    check_parents,
    check_orphans,
    check_permissions,
    check_members,
    check_bodies,
    check_files,
    check_publications,
)


@dataclass
class Examination:
    """What was found, and which of it was put right."""

    findings: list[Finding] = field(default_factory=list)
    repaired: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether no error is left."""
        return not any(finding.level == "error" for finding in self.findings)


async def examine(settings: Settings, *, repair: bool = False) -> Examination:
    """Examine the database as it is at one moment, while servers go on; put right what safely can be.

    Raises Refused for a database without a schema, or with one that is newer than this server's.
    """
    store = await open_patiently(settings.storage)
    try:
        found = await _look(store, settings)
        if not repair:
            return Examination(found)
        repaired = [finding for finding in found if finding.repair is not None]
        for finding in repaired:
            assert finding.repair is not None, "it was asked for just now"
            await store.transact(finding.repair)
        return Examination(await _look(store, settings) if repaired else found, repaired)
    finally:
        await store.close()


async def _look(store: Store, settings: Settings) -> list[Finding]:
    versions = await versions_of(store)
    check_known(versions)
    if versions.schema == 0:
        raise Refused("the database is empty: `kintoun migrate` makes the tables")
    snapshot = await open_snapshot(store)
    try:
        patient = Patient(settings, store, snapshot, versions)
        findings = [finding for check in ABOUT_THE_SERVER async for finding in check(patient)]
        if any(finding.check == "schema" for finding in findings):
            return findings
        return findings + [finding for check in ABOUT_THE_DATA async for finding in check(patient)]
    finally:
        await snapshot.close()
