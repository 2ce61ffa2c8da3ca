"""Filters, orders and positions as SQL: the clauses of a list's statement.

The statement calls the table of objects `o`. What a client sends reaches it as bound parameters only; names
of fields stand in it literally when they are made of letters, digits, `_` and `.`, so that indexes on
expressions can be used. `kintoun.model.filters` says what every clause must mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from kintoun.model.ordering import MISSING, Rank, rank
from kintoun.model.query import Filter, Op, Sort
from kintoun.storage.dialect import Dialect, Parameters
from kintoun.storage.select_postgresql import PostgreSQLFields
from kintoun.storage.select_sqlite import SQLiteFields, register_functions
from kintoun.storage.sources import NO_HINTS, Hints

__all__ = ["after", "index_expression", "order_by", "register_functions", "where"]

COLUMNS = {"id": "o.id", "last_modified": "o.ts"}
"""The fields that are columns; they are never missing."""

COLUMN_TYPES: dict[str, type] = {"o.id": str, "o.ts": int}

_SIGNS = {Op.LT: "<", Op.MAX: "<=", Op.GT: ">", Op.MIN: ">="}
_PLAIN_SIGNS = {Op.EQ: "=", Op.NOT: "<>", **_SIGNS}
_INDEXABLE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


class Fields(Protocol):
    """How an engine's SQL speaks of the fields inside of `body`.

    Conditions may be NULL where they are not true, except `compares`: there the missing value has its place.
    """

    def equals(self, field: str, value: Any) -> str:
        """The field is there and equal to a JSON value."""
        ...

    def is_one_of(self, field: str, values: Sequence[Any]) -> str:
        """The field is there and equal to one of the values, of which there is at least one."""
        ...

    def compares(self, field: str, sign: str, value: Any) -> str:
        """The field stands below or above a value, which may be MISSING; `sign` is <, <=, > or >=."""
        ...

    def exists(self, field: str) -> str:
        """The field is there."""
        ...

    def contains(self, field: str, values: Sequence[Any], every: bool) -> str:
        """The field is an array of which every value, or any value, is a member."""
        ...

    def text(self, field: str) -> str:
        """The text form of the field, an expression."""
        ...

    def like(self, text: str, operand: str) -> str:
        """The expression `text` matches the operand of `like_`."""
        ...

    def column_in(self, column: str, values: Sequence[Any]) -> str:
        """A column holds one of the strings, of which there is at least one."""
        ...

    def order(self, field: str, direction: str) -> str:
        """The terms that sort by the field; `direction` is ASC or DESC."""
        ...

    def index(self, field: str) -> str:
        """The expressions of an index on the field."""
        ...


def where(
    filters: Sequence[Filter],
    dialect: Dialect,
    params: Parameters,
    *,
    indexed: frozenset[str] = frozenset(),
    hints: Hints = NO_HINTS,
) -> str:
    """The condition that an object meets all filters. Its parameters are added to `params`.

    `indexed` names the fields that have an index made of `index_expression`, `hints` says what is true of
    columns that have one.
    """
    fields = _fields(dialect, params, indexed)
    conditions = [_condition(filter_, fields, params) for filter_ in filters]
    texts = {field: value for field, op, value in filters if op is Op.EQ and isinstance(value, str)}
    for field, columns in hints.items():
        if field in texts:
            conditions += [
                f"o.{column} {sign} {params.add(operand(texts[field]))}" for column, sign, operand in columns
            ]
    return _all(conditions)


def order_by(
    sort: Sequence[Sort],
    dialect: Dialect,
    params: Parameters,
    *,
    indexed: frozenset[str] = frozenset(),
    filters: Sequence[Filter] = (),
) -> str:
    """The terms of ORDER BY. `params` and `indexed` as in `where`; `filters` are the statement's."""
    if len(sort) == 1 and not indexed and sort[0].field in COLUMNS:
        return f"{COLUMNS[sort[0].field]} {'DESC' if sort[0].descending else 'ASC'}"
    fields = _fields(dialect, params, indexed)
    plus = ""
    if dialect is Dialect.SQLITE and any(_uses_index(filter_, indexed) for filter_ in filters):
        # Without statistics, SQLite takes any list for a short one and would rather walk through it in order
        # than sort what an index has found. A unary plus hides a column from it.
        plus = "+"
    terms = []
    for field, descending in sort:
        direction = "DESC" if descending else "ASC"
        column = COLUMNS.get(field)
        terms.append(f"{plus}{column} {direction}" if column else fields.order(field, direction))
    return ", ".join(terms)


def _uses_index(filter_: Filter, indexed: frozenset[str]) -> bool:
    return filter_.field in indexed and (filter_.op in _SIGNS or filter_.op in (Op.EQ, Op.IN))


def after(
    sort: Sequence[Sort],
    values: Sequence[Any],
    dialect: Dialect,
    params: Parameters,
    *,
    indexed: frozenset[str] = frozenset(),
) -> str:
    """The condition that an object stands after the one whose sort fields hold `values` (MISSING included).

    `params` and `indexed` as in `where`.
    """
    assert len(sort) == len(values), "a position has a value for every sort field"
    fields = _fields(dialect, params, indexed)
    clause = ""
    for (field, descending), value in reversed(list(zip(sort, values, strict=True))):
        beyond = _beyond(field, "<" if descending else ">", value, fields, params)
        if not clause:
            clause = beyond
            continue
        # Not before it, and then beyond it or (being level with it) beyond it by the fields that follow.
        not_before = _beyond(field, "<=" if descending else ">=", value, fields, params)
        clause = f"{not_before} AND ({beyond} OR ({clause}))"
    return clause


def index_expression(field: str, dialect: Dialect) -> str:
    """The expressions that equality, range and sort clauses use when a field is among their `indexed` ones.

    They follow the list in an index: `CREATE INDEX ... ON object (list, <these>)`. Raises ValueError for a
    field that cannot be indexed.
    """
    if field in COLUMNS:
        raise ValueError(f"{field}: this field has an index already")
    if not _INDEXABLE.fullmatch(field):
        raise ValueError(f"{field}: only fields of letters, digits, '_' and '.' can be indexed")
    return _fields(dialect, Parameters(dialect), frozenset()).index(field)


def _fields(dialect: Dialect, params: Parameters, indexed: frozenset[str]) -> Fields:
    if dialect is Dialect.SQLITE:
        return SQLiteFields(params, indexed)
    return PostgreSQLFields(params, indexed)


def _all(conditions: Sequence[str]) -> str:
    """The conjunction, as a balanced tree: SQLite limits the depth of expressions."""
    if not conditions:
        return "TRUE"
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return f"({_all(conditions[:middle])}) AND ({_all(conditions[middle:])})"


def _condition(filter_: Filter, fields: Fields, params: Parameters) -> str:
    field, op, value = filter_
    column = COLUMNS.get(field)
    if column is not None:
        if op in _PLAIN_SIGNS and type(value) is COLUMN_TYPES[column]:
            return f"{column} {_PLAIN_SIGNS[op]} {params.add(value)}"
        return _column_condition(column, op, value, fields, params)
    if op is Op.EQ:
        return fields.equals(field, value)
    if op is Op.NOT:
        return f"({fields.equals(field, value)}) IS NOT TRUE"
    if op in _SIGNS:
        return fields.compares(field, _SIGNS[op], value)
    if op is Op.IN:
        return fields.is_one_of(field, value) if value else "FALSE"
    if op is Op.EXCLUDE:
        return f"({fields.is_one_of(field, value)}) IS NOT TRUE" if value else "TRUE"
    if op is Op.LIKE:
        return fields.like(fields.text(field), value)
    if op is Op.HAS:
        return fields.exists(field) if value else f"NOT ({fields.exists(field)})"
    return fields.contains(field, value, op is Op.CONTAINS)


def _column_condition(column: str, op: Op, value: Any, fields: Fields, params: Parameters) -> str:
    if op is Op.HAS:
        return "TRUE" if value else "FALSE"
    if op is Op.LIKE:
        return fields.like(column, value)
    if op in (Op.IN, Op.EXCLUDE):
        if not value:
            return "FALSE" if op is Op.IN else "TRUE"
        return f"{'' if op is Op.IN else 'NOT '}({fields.column_in(column, value)})"
    # What is left are comparisons of an id with what is no string.
    if op is Op.EQ or op is Op.NOT:
        return "FALSE" if op is Op.EQ else "TRUE"
    return _column_compares(column, _SIGNS[op], value, params)


def _column_compares(column: str, sign: str, value: Any, params: Parameters) -> str:
    if type(value) is COLUMN_TYPES[column]:
        return f"{column} {sign} {params.add(value)}"
    own, place = Rank.STRING if column == "o.id" else Rank.NUMBER, rank(value)
    return "TRUE" if (own < place) is (sign[0] == "<") else "FALSE"


def _beyond(field: str, sign: str, value: Any, fields: Fields, params: Parameters) -> str:
    column = COLUMNS.get(field)
    if column is None:
        return fields.compares(field, sign, value)
    assert value is not MISSING, "columns are never missing"
    return _column_compares(column, sign, value, params)
