"""Declared indexes are used, on both engines, and never change an answer."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

import pytest

from kintoun.model.query import NEWEST_FIRST, Filter, Op, Sort
from kintoun.storage.dialect import Dialect
from kintoun.storage.select import index_expression
from tests.support.object_tables import (
    OTHER_LIST,
    PostgreSQLTable,
    SQLiteTable,
    Table,
    add_index,
    selected,
    statement,
)


def plan(table: Table, filters: list[Filter], sort: tuple[Sort, ...], **page: Any) -> str:
    sql, values_ = statement(table, filters, sort, **page)
    explain = "EXPLAIN QUERY PLAN " if isinstance(table, SQLiteTable) else "EXPLAIN "
    return "\n".join(str(row[-1]) for row in table.run(explain + sql, values_))


@pytest.fixture(scope="module", params=["sqlite", "sqlite-analyzed", "postgresql-analyzed"])
def large(request: pytest.FixtureRequest) -> Iterator[Table]:
    made: Table
    engine, _, analyzed = request.param.partition("-")
    if engine == "sqlite":
        made = SQLiteTable()
    else:
        made = PostgreSQLTable(request.getfixturevalue("postgres").create_database())
    letters = string.ascii_lowercase
    made.fill(
        {"id": f"r{n}", "last_modified": n, "b": n, "o": {"k": n}, "a": f"{3 * letters[n % 26]}{n * 7}"}
        for n in range(3000)
    )
    others = ({"id": f"r{n}", "last_modified": n, "a": str(n), "o": {"k": n}} for n in range(3000))
    made.fill(others, OTHER_LIST)
    for field in ("a", "o.k"):
        add_index(made, field)
    if analyzed:
        made.run("ANALYZE")
    yield made
    made.close()


@pytest.mark.parametrize(
    "filter_",
    [
        Filter("a", Op.EQ, "bbb7"),
        Filter("a", Op.IN, ("bbb7", "ccc14", 3)),
        Filter("a", Op.LT, "aaa1"),
        Filter("a", Op.MAX, "aaa1"),
        Filter("a", Op.GT, "zzzz"),
        Filter("a", Op.MIN, "zzz9"),
        Filter("o.k", Op.EQ, 17),
        Filter("o.k", Op.IN, (17, 18.5)),
        Filter("o.k", Op.LT, 17),
        Filter("o.k", Op.MAX, 17),
        Filter("o.k", Op.GT, 2990),
        Filter("o.k", Op.MIN, 2990.5),
        Filter("o.k", Op.EQ, None),
    ],
    ids=lambda filter_: f"{filter_.field}-{filter_.op.value}",
)
def test_declared_indexes_find(large: Table, filter_: Filter) -> None:
    name = f"object_{filter_.field.replace('.', '_')}"
    assert name in plan(large, [filter_], (NEWEST_FIRST,))
    with_index = selected(large, [filter_], (NEWEST_FIRST,))
    large.indexed, declared = frozenset(), large.indexed
    try:
        assert selected(large, [filter_], (NEWEST_FIRST,)) == with_index
    finally:
        large.indexed = declared


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("field", ["a", "o.k"])
def test_declared_indexes_sort(large: Table, field: str, descending: bool) -> None:
    name = f"object_{field.replace('.', '_')}"
    sort = (Sort(field, descending), NEWEST_FIRST)
    assert name in plan(large, [], sort, limit=10)
    position_ = ("mmm" if field == "a" else 1500, 1)
    assert name in plan(large, [], sort, limit=10, position=position_)


def test_what_is_not_declared_is_scanned(large: Table) -> None:
    assert "object_a" not in plan(large, [Filter("b", Op.EQ, 17)], (NEWEST_FIRST,))


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("field", ["id", "last_modified", "", "a'b", "é", "a b", "a..b", ".a", "a)"])
def test_what_cannot_be_indexed(field: str, dialect: Dialect) -> None:
    with pytest.raises(ValueError, match="index"):
        index_expression(field, dialect)
