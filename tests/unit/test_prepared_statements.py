"""Statements are parsed and planned once in each session of PostgreSQL, and not without end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kintoun.settings import Storage
from kintoun.storage import connections
from kintoun.storage.connections import Connection, Pool
from tests.support.postgres import Postgres

PREPARED = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements"


@pytest_asyncio.fixture
async def connection(postgres: Postgres) -> AsyncIterator[Connection]:
    pool = Pool(Storage(url=postgres.create_database()))
    taken = await pool.take()
    yield taken
    pool.give(taken)
    await pool.close()


async def test_a_statement_is_prepared_once(connection: Connection) -> None:
    for n in range(7):
        assert [row[0] for row in await connection.fetch("SELECT $1::int + 1", (n,))] == [n + 1]
    rows = [tuple(row) for row in await connection.raw.fetch(PREPARED)]
    assert ("SELECT $1::int + 1", 7, 0) in rows


async def test_the_oldest_ones_are_let_go(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_STATEMENTS", 3)
    for n in range(12):
        assert (await connection.fetch(f"SELECT {n}"))[0][0] == n
    kept = {row[0] for row in await connection.raw.fetch(PREPARED)}
    assert {"SELECT 9", "SELECT 10", "SELECT 11"} <= kept
    assert "SELECT 0" not in kept
    assert len(kept) < 6
    assert (await connection.fetch("SELECT 0"))[0][0] == 0
