"""Tables of features' own, to which the unit of work adds rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ColumnType = Literal["text", "int", "flag", "bytes"]

ARRAYS = {"text": "text[]", "int": "bigint[]", "flag": "smallint[]", "bytes": "bytea[]"}
"""The arrays in which PostgreSQL is given the columns of many rows."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table that transactions only add to, declared once for the process.

    `columns` are names and types, as in the feature's migrations: `(("id", "text"), ("ts", "int"))`. Rows are
    sequences of that order.
    """

    name: str
    columns: Sequence[tuple[str, ColumnType]]
    insert: str = field(init=False)
    """The statement that adds one row, with `?` for each value."""

    def __post_init__(self) -> None:
        marks = ", ".join("?" * len(self.columns))
        object.__setattr__(self, "insert", f"INSERT INTO {self.name} ({self._names}) VALUES ({marks})")

    @property
    def _names(self) -> str:
        return ", ".join(name for name, _ in self.columns)

    def insert_arrays(self, first: int) -> str:
        """The statement that adds rows given as one array for each column, numbered from `$first`."""
        arrays = ", ".join(f"${first + n}::{ARRAYS[kind]}" for n, (_, kind) in enumerate(self.columns))
        return f"INSERT INTO {self.name} ({self._names}) SELECT * FROM unnest({arrays})"


Row = Sequence[Any]
