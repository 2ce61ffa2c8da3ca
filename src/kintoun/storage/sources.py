"""Where the rows of a page stand: in the table of objects, or in one that is laid out like it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kintoun.model.paths import ListPath
from kintoun.storage.dialect import Parameters

Hint = tuple[str, str, Callable[[str], str]]
"""A column, an operator of comparison, and what the column compares with when a field holds a text."""

Hints = Mapping[str, Sequence[Hint]]
"""By field: what is true of the columns of an index when the field holds a text."""

NO_HINTS: Hints = {}


class Source:
    """A table with the columns `list`, `id`, `ts`, `deleted` and `body` of the table of objects.

    `acls` are its columns of ACLs' digests, of which each can let a principal see a row, and `seen_by` the
    permissions that do, None for any. `hints` help filters on equality to find them. `counted` is whether
    the list's clock counts these rows.
    """

    def __init__(
        self,
        table: str,
        *,
        acls: tuple[str, ...] = ("acl",),
        seen_by: tuple[str, ...] | None = None,
        hints: Hints = NO_HINTS,
        counted: bool = True,
    ) -> None:
        self.table = table
        self.acls = acls
        self.seen_by = seen_by
        self.hints = hints
        self.counted = counted

    def rows(self, path: ListPath, params: Parameters) -> str:
        """What FROM names for the list at a path: the table, or a subquery in parentheses."""
        return self.table


OBJECTS = Source("object")
