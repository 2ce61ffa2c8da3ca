"""Rows that are added many at once arrive as they were given, on both engines."""

from __future__ import annotations

import sqlite3
from typing import Any

import asyncpg
from hypothesis import given
from hypothesis import strategies as st

from kintoun.storage.insertions import MOST, by_columns, insertions
from kintoun.storage.tables import Table
from tests.support.postgres import Postgres

THINGS = Table(
    "thing",
    (
        *(("list", "int"), ("acl", "bytes"), ("author", "text")),
        *(("id", "id"), ("ts", "int"), ("gone", "flag"), ("body", "text"), ("digest", "bytes")),
    ),
    shared=3,
)
CREATE = (
    "CREATE TABLE thing (list {0}, acl {1}, author text, id text, ts {0}, gone {2}, body text, digest {1})"
)

heads = st.sampled_from([(2**62, b"\0a", "alice"), (2**62, b"\0a", None), (7, None, "b'\"\\ob")])
tails = st.tuples(
    st.text("aZ0_-,{}' ", min_size=0, max_size=6),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.sampled_from([0, 1]),
    st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    st.one_of(st.none(), st.binary(max_size=20)),
)
rows_given = st.lists(st.tuples(heads, tails).map(lambda pair: (*pair[0], *pair[1])), min_size=1, max_size=70)


@given(rows_given)
def test_sqlite_takes_them_in_few_statements(rows: list[tuple[Any, ...]]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(CREATE.format("integer", "blob", "integer"))
    for sql, values in insertions(THINGS, rows):
        connection.execute(sql, values)
    assert connection.execute("SELECT * FROM thing ORDER BY rowid").fetchall() == rows
    connection.close()


def test_there_is_a_statement_for_each_power_of_two() -> None:
    rows = [(1, b"a", "alice", f"r{n}", n, 0, "{}", b"") for n in range(2 * MOST + 11)]
    sizes = [(len(values) - 3) // 5 for _, values in insertions(THINGS, rows)]
    assert sizes == [MOST, MOST, 8, 2, 1]
    assert len({sql for sql, _ in insertions(THINGS, rows)}) == 4


async def test_postgresql_takes_them_in_one(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.create_database())
    await connection.execute(CREATE.format("bigint", "bytea", "smallint"))
    one = (2**62, None, 'a"\\b', "null", None, 0, '{"a": "\\\\"}', b"\0")
    alike = [one, (*one[:3], "", -5, 1, None, None), (*one[:3], "a,{}' b", 2**62, 0, "é", b"x")]
    mixed = [*alike, (3, b"acl", None, "r", 1, 1, "", b"")]
    for rows in ([one], alike, mixed):
        way, values = by_columns(THINGS, rows)
        assert way.alike is (rows is not mixed)
        await connection.execute(way.insert(1), *values)
        found = await connection.fetch("DELETE FROM thing RETURNING *")
        assert [tuple(row) for row in found] == rows
    await connection.close()
