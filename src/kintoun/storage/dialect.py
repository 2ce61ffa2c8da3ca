"""What differs between the SQL of the engines, as far as statements are concerned."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Any


class Dialect(Enum):
    """The SQL of an engine; the value is the mark of a numbered parameter."""

    SQLITE = "?"
    POSTGRESQL = "$"


class Parameters:
    """The values of a statement's parameters, numbered as they are added."""

    __slots__ = ("mark", "values")

    def __init__(self, dialect: Dialect, values: list[Any] | None = None) -> None:
        self.mark = dialect.value
        self.values: list[Any] = [] if values is None else values

    def add(self, value: Any) -> str:
        """The placeholder that stands for `value` in the statement."""
        self.values.append(value)
        return f"{self.mark}{len(self.values)}"


_NUMBERED = re.compile(r"\$(\d+)")


@lru_cache(maxsize=512)
def translated(sql: str, dialect: Dialect) -> str:
    """A statement with `$1`-numbered parameters in the dialect of an engine."""
    return sql if dialect is Dialect.POSTGRESQL else _NUMBERED.sub(r"?\1", sql)
