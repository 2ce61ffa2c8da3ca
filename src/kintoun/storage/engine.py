"""What an engine offers to the store. Two are built in: `sqlite` and `postgresql`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kintoun.model.paths import ListPath, Path
from kintoun.storage.dialect import Dialect
from kintoun.storage.rows import Clock, Found, Stored, Wanted
from kintoun.storage.tables import Row, Table

ObjectRow = tuple[int, str, int, int, str, str, bytes]
"""`(list, id, timestamp, deleted, body, grants, digest of the grants)`."""

Steps = Sequence[Sequence[str]]
"""Statements that bring tables from one version to the next, step by step: see `schema.STEPS`."""


@dataclass(slots=True)
class Writes:
    """What one transaction has to write, in whole rows, each key once.

    `new` are the objects of which it is known that the database has none of that id, `rewritten` those that
    it has with the same grants already, `objects` the others. `members` are the members of a group by the
    number of its list and its id, `added` the new rows of features' tables.
    """

    clocks: list[Clock] = field(default_factory=list)
    new: list[ObjectRow] = field(default_factory=list)
    objects: list[ObjectRow] = field(default_factory=list)
    rewritten: list[ObjectRow] = field(default_factory=list)
    erased: list[tuple[int, str]] = field(default_factory=list)
    members: list[tuple[int, str, list[str]]] = field(default_factory=list)
    unlinked: list[int] = field(default_factory=list)
    added: dict[Table, list[Row]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(getattr(self, name) for name in self.__slots__)


class Transaction(Protocol):
    """One transaction of an engine. It ends by `commit` or `rollback`, once."""

    async def lock(self, paths: Sequence[str], buckets: Sequence[str]) -> list[Clock]:
        """The clocks of the lists at `paths` and of all lists in `buckets`, locked until the end."""
        ...

    async def points(
        self, paths: Sequence[Path], principals: Sequence[str]
    ) -> tuple[list[Stored | None], list[tuple[str, str]]]:
        """Objects, in the order of `paths`, and the groups of `principals` as `Found.groups`."""
        ...

    async def read(self, wanted: Wanted) -> Found:
        """The answer to a question, what this transaction wrote included."""
        ...

    async def write(self, writes: Writes) -> None:
        """Write rows. Raises `Conflict` when the transaction must be run again."""
        ...

    async def taken(self, number: int, timestamp: int) -> bool:
        """Whether an object of the list with this number bears the timestamp."""
        ...

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement of the engine's dialect, with `$1`-numbered parameters on every engine."""
        ...

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        ...

    async def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add many rows to a table that has none of them yet, the fastest way that the engine has."""
        ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


class Engine(Protocol):
    """A database."""

    dialect: Dialect
    indexed: frozenset[str]
    """The fields that are declared to have an index."""

    def lane(self, lists: Sequence[ListPath]) -> str | None:
        """The name of the queue in which a write of these lists waits; None: it runs by itself."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, wanted: Wanted) -> Found: ...

    async def fetch(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a reading statement by itself: see `Transaction.fetch`."""
        ...

    async def begin(self) -> Transaction: ...

    async def schema_version(self) -> int:
        """The version of the schema; 0 for an empty database."""
        ...

    async def feature_versions(self) -> dict[str, int]:
        """The versions of the tables of features, as far as they have any here."""
        ...

    async def migrate(self, features: Mapping[str, Steps]) -> int:
        """Bring the schema to the present version, then the tables of these features to theirs.

        Returns the version that the schema had before.
        """
        ...

    def connections(self) -> dict[str, int]:
        """How many connections there are, by what they do: `idle`, `busy`, and those that `wait` for one."""
        ...

    async def ping(self) -> None:
        """Raise `Unavailable` when the database does not answer."""
        ...
