"""Tables of features' own, to which the unit of work adds rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ColumnType = Literal["text", "int", "flag", "bytes"]

ARRAYS = {"text": "text[]", "int": "bigint[]", "flag": "smallint[]", "bytes": "bytea[]"}
"""The arrays in which PostgreSQL is given the columns of many rows."""


Row = Sequence[Any]


@dataclass(frozen=True, eq=False)
class Table:
    """A table that transactions only add to, declared once for the process.

    `columns` are names and types, as in the feature's migrations: `(("id", "text"), ("ts", "int"))`. Rows are
    sequences of that order. A table whose rows are read by the same transaction has a `key`: the columns that
    tell its rows apart. The others are written at the transaction's end.
    """

    name: str
    columns: Sequence[tuple[str, ColumnType]]
    key: Sequence[str] = ()
    insert: str = field(init=False)
    """The statement that adds one row, with `?` for each value."""

    def __post_init__(self) -> None:
        marks = ", ".join("?" * len(self.columns))
        object.__setattr__(self, "insert", f"INSERT INTO {self.name} ({self._names}) VALUES ({marks})")

    @property
    def _names(self) -> str:
        return ", ".join(name for name, _ in self.columns)

    @property
    def delete(self) -> str:
        """The statement that takes back one row, with a numbered parameter for each column of the key."""
        condition = " AND ".join(f"{name} = ${n}" for n, name in enumerate(self.key, start=1))
        return f"DELETE FROM {self.name} WHERE {condition}"

    def key_of(self, row: Row) -> list[Any]:
        """The values of a row's key."""
        names = [name for name, _ in self.columns]
        return [row[names.index(name)] for name in self.key]

    def insert_arrays(self, first: int) -> str:
        """The statement that adds rows given as one array for each column, numbered from `$first`."""
        arrays = ", ".join(f"${first + n}::{ARRAYS[kind]}" for n, (_, kind) in enumerate(self.columns))
        return f"INSERT INTO {self.name} ({self._names}) SELECT * FROM unnest({arrays})"


class Added:
    """The rows that one transaction adds, in their order, until they are sent or taken back."""

    def __init__(self) -> None:
        self._rows: list[tuple[Table, Row]] = []
        self._unsent: list[int] = []
        self._retracted: dict[Table, list[Row]] = {}

    def add(self, table: Table, row: Row) -> None:
        self._unsent.append(len(self._rows))
        self._rows.append((table, row))

    def of(self, table: Table) -> list[Row]:
        """The rows for one table."""
        return [row for each, row in self._rows if each is table]

    def take_back(self) -> None:
        """Take back the last row, from the database too if it was sent."""
        table, row = self._rows.pop()
        if self._unsent and self._unsent[-1] == len(self._rows):
            self._unsent.pop()
        else:
            self._retracted.setdefault(table, []).append(table.key_of(row))

    def retracted(self) -> dict[Table, list[Row]]:
        """The keys of the rows to delete, once."""
        retracted, self._retracted = self._retracted, {}
        return retracted

    def to_send(self, *, last: bool) -> dict[Table, list[Row]]:
        """The rows to send, once: all at the end of the transaction, before it those that have a key."""
        rows: dict[Table, list[Row]] = {}
        kept = []
        for n in self._unsent:
            table, row = self._rows[n]
            if last or table.key:
                rows.setdefault(table, []).append(row)
            else:
                kept.append(n)
        self._unsent = kept
        return rows
