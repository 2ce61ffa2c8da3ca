"""Bringing a database to the schema of this server and of its features, within one transaction."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import structlog

from kintoun.storage import schema
from kintoun.storage.engine import Engine, Steps, Transaction, Writes
from kintoun.storage.rows import Conflict

ATTEMPTS = 20

log = structlog.get_logger()

FEATURE_VERSIONS = "SELECT feature, max(version) FROM feature_version GROUP BY feature"
FEATURES_SINCE = 2
"""The version of the schema from which on features have tables."""


async def outstanding(engine: Engine, name: str, version: int, features: Mapping[str, Steps]) -> bool:
    """Whether a database whose schema is at `version` lacks a step; `name` is that of the engine."""
    if schema.statements(name, version):
        return True
    versions = await engine.feature_versions() if features else {}
    newer = [feature for feature, steps in features.items() if versions.get(feature, 0) > len(steps)]
    if version > len(schema.STEPS) or newer:
        # Steps only add, so this server can go on. It is one of an older version beside newer ones.
        known = len(schema.STEPS)
        log.warning("the database is newer than this server", schema=version, known=known, features=newer)
    return any(len(steps) > versions.get(feature, 0) for feature, steps in features.items())


async def persistently(migrate: Callable[[], Awaitable[int]]) -> int:
    """Migrate, again and again while workers of an older version, which go on writing, are in the way."""
    for number in range(1, ATTEMPTS):
        try:
            return await migrate()
        except Conflict as error:
            log.warning("a migration waits for writers", error=str(error))
            await asyncio.sleep(random.uniform(0, 0.05 * number))
    return await migrate()


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
