"""Tables of features' own, to which the unit of work adds rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ColumnType = Literal["text", "id", "int", "flag", "bytes"]
"""What a column holds. An `id` is a text without quotation marks and backslashes."""

Row = Sequence[Any]

Columns = tuple[tuple[str, ColumnType], ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A table that transactions only add to, declared once for the process.

    `columns` are names and types, as in the feature's migrations: `(("id", "text"), ("ts", "int"))`; a text
    may be an `id`. Rows are sequences of that order. A table whose rows are read by the same transaction has
    a `key`: the columns that tell its rows apart. The others are written at the transaction's end. `shared`
    is how many of the first columns hold the same in most rows of a transaction: those are given once.
    """

    name: str
    columns: Sequence[tuple[str, ColumnType]]
    key: Sequence[str] = ()
    shared: int = 0

    @property
    def names(self) -> str:
        """The names of the columns, as SQL lists them."""
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


class Added:
    """The rows that one transaction adds, in their order, until they are sent or taken back."""

    def __init__(self) -> None:
        self._rows: list[tuple[Table, Row]] = []
        self._unsent: list[int] = []
        self._retracted: dict[Table, list[Row]] = {}

    def add(self, table: Table, row: Row) -> None:
        self._unsent.append(len(self._rows))
        self._rows.append((table, row))

    def add_all(self, table: Table, rows: Collection[Row]) -> None:
        first = len(self._rows)
        self._unsent += range(first, first + len(rows))
        self._rows += [(table, row) for row in rows]

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
