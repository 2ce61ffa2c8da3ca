"""Adding rows to the tables of features by few statements.

On SQLite one statement for many rows costs half of what as many for one row each do. PostgreSQL takes any
number of rows in one statement, by columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from kintoun.storage.tables import ColumnType, Row, Table

MOST = 32
"""Rows of one statement, a power of two: there is a statement for each power up to it."""


def insertions(table: Table, rows: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
    """Statements for SQLite that add rows to a table, each with its parameters."""
    shared = table.shared
    for head, group in groupby(rows, itemgetter(slice(shared))):
        tails = [row[shared:] for row in group]
        start = 0
        while start < len(tails):
            count = 1 << (min(len(tails) - start, MOST).bit_length() - 1)
            values = [*head]
            for tail in tails[start : start + count]:
                values += tail
            yield _insertion(table, count), values
            start += count


@lru_cache(maxsize=256)
def _insertion(table: Table, rows: int) -> str:
    """The statement that adds so many rows, which name the parameters of what they share alike."""
    shared, width = table.shared, len(table.columns)
    head = [f"?{n}" for n in range(1, shared + 1)]
    values = []
    for first in range(shared + 1, shared + 1 + rows * (width - shared), width - shared):
        tail = [f"?{n}" for n in range(first, first + width - shared)]
        values.append(f"({', '.join(head + tail)})")
    # With the usual ABORT, SQLite would keep what it needs to take back the statement alone. Whoever it fails
    # for gives up the transaction.
    return f"INSERT OR FAIL INTO {table.name} ({table.names}) VALUES {', '.join(values)}"


# Arrays of numbers and ids are sent as text: the driver would look into every element for an array.
_ARRAYS: dict[ColumnType, str] = {
    "text": "text[]",
    "id": "text::text[]",
    "int": "text::bigint[]",
    "flag": "text::smallint[]",
    "bytes": "bytea[]",
}
_SCALARS: dict[ColumnType, str] = {
    "text": "text",
    "id": "text",
    "int": "bigint",
    "flag": "smallint",
    "bytes": "bytea",
}


class ByColumns(NamedTuple):
    """How rows are given to PostgreSQL: one array for each column.

    With `alike`, the columns that the rows of a table share are given as one value.
    """

    table: Table
    alike: bool

    def insert(self, first: int) -> str:
        """The statement that adds the rows, whose parameters are numbered from `$first`."""
        table = self.table
        shared = table.shared if self.alike else 0
        kinds = [kind for _, kind in table.columns]
        values = [f"${first + n}::{_SCALARS[kind]}" for n, kind in enumerate(kinds[:shared])]
        # In the place of values, and not of a table, arrays are not written to one first.
        values += [f"unnest(${first + n}::{_ARRAYS[kind]})" for n, kind in enumerate(kinds[shared:], shared)]
        return f"INSERT INTO {table.name} ({table.names}) SELECT {', '.join(values)}"


def by_columns(table: Table, rows: Sequence[Row]) -> tuple[ByColumns, list[Any]]:
    """How rows, one or more, are given, and the parameters."""
    shared = table.shared
    head = rows[0][:shared]
    alike = shared > 0 and all(row[:shared] == head for row in rows)
    values: list[Any] = []
    for n, ((_, kind), column) in enumerate(zip(table.columns, zip(*rows, strict=True), strict=True)):
        if alike and n < shared:
            values.append(head[n])
        else:
            values.append(_encoded(kind, column))
    return ByColumns(table, alike), values


def _encoded(kind: ColumnType, column: Sequence[Any]) -> Any:
    """A column as its array's parameter."""
    if kind == "id":
        joined = '","'.join(column)
        assert joined.count('"') == 2 * len(column) - 2, "ids have no quotation marks"
        assert "\\" not in joined, "ids have no backslashes"
        return f'{{"{joined}"}}'
    if kind in ("int", "flag"):
        return f"{{{','.join(['NULL' if number is None else str(number) for number in column])}}}"
    return column
