"""Bringing a database to the schema of this server and of its features, within one transaction."""

from __future__ import annotations

from collections.abc import Mapping

from kintoun.storage import schema
from kintoun.storage.engine import Engine, Steps, Transaction, Writes

FEATURE_VERSIONS = "SELECT feature, max(version) FROM feature_version GROUP BY feature"
FEATURES_SINCE = 2
"""The version of the schema from which on features have tables."""


async def outstanding(engine: Engine, name: str, version: int, features: Mapping[str, Steps]) -> bool:
    """Whether a database whose schema is at `version` lacks a step; `name` is that of the engine."""
    if schema.statements(name, version):
        return True
    versions = await engine.feature_versions() if features else {}
    return any(len(steps) > versions.get(feature, 0) for feature, steps in features.items())


async def bring_up(transaction: Transaction, name: str, features: Mapping[str, Steps]) -> int:
    """Take every step that is lacking, once; returns the version that the schema had before.

    The transaction keeps others from doing so at the same time. Nothing is done to a database that is newer.
    """
    rows = await transaction.fetch("SELECT coalesce(max(version), 0) FROM schema_version")
    before = int(rows[0][0])
    for version, statements in schema.statements(name, before):
        for sql in statements:
            await transaction.fetch(sql)
        await transaction.fetch("INSERT INTO schema_version (version) VALUES ($1)", (version,))
    if before == 0:
        await transaction.write(Writes(clocks=schema.first_clocks()))
    versions = {row[0]: int(row[1]) for row in await transaction.fetch(FEATURE_VERSIONS)}
    for feature, steps in features.items():
        for version, statements in schema.statements(name, versions.get(feature, 0), steps):
            for sql in statements:
                await transaction.fetch(sql)
            await transaction.fetch(
                "INSERT INTO feature_version (feature, version) VALUES ($1, $2)", (feature, version)
            )
    return before
