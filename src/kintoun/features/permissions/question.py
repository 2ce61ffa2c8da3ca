"""One caller's question for its entries: what the database answers of it, and what is left to do here."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from kintoun.features.permissions.entries import Entries, expanded, given_by_settings
from kintoun.features.permissions.select import NOTHING, Held, Selection, holdings, versioned
from kintoun.model.filters import is_after, matches, position, sort_objects
from kintoun.model.kinds import KINDS, Kind
from kintoun.model.paths import ListPath
from kintoun.model.query import Filter, Query, Sort
from kintoun.resources.context import Context

T = TypeVar("T")

Entry = dict[str, Any]
Position = tuple[Any, ...]

KNOWN_ACLS = 500
"""ACLs that name the caller, up to which a filter by `permissions` is one by ACLs."""

MANY = 500
"""Entries from which building them would keep other requests waiting too long."""


class Asked(NamedTuple):
    """What a request asks of the list.

    `filters` and `sort` are without timestamps, which entries do not have; `sort` ends with the URI, by which
    no two entries are level. `after` is where the page before ended.
    """

    query: Query
    filters: tuple[Filter, ...]
    sort: tuple[Sort, ...]
    limit: int
    after: Position | None


class Question:
    """One request's question to the database. `versions` are those of the moments that answers are of."""

    def __init__(self, context: Context, asked: Asked) -> None:
        self.context = context
        self.asked = asked
        self.versions: set[str] = set()
        self._given = given_by_settings(context.service.access.settings, context.principals)
        self._entries = Entries(context.principals, self._given)

    async def version(self) -> str:
        """What changes with every change of anything."""
        await self._rows(NOTHING, [])
        return self.versions.pop()

    async def entries(self) -> list[Entry]:
        """The entries of the page, and one more when there is a next page."""
        asked = self.asked
        selection = await self._selection()
        if selection is None:
            return (await self._sifted())[: asked.limit + 1]
        rows = await self._rows(*selection.page(asked.sort, asked.after, asked.limit + 1))
        page = await beside(len(rows), lambda: _built(self._entries, rows))
        root = self._entries.root()
        if root is not None and matches(asked.filters, root) and _is_due(root, asked):
            place = position(root, asked.sort)
            index = bisect_left(page, True, key=lambda entry: is_after(entry, asked.sort, place))
            page.insert(index, root)
        return page

    async def total(self) -> int:
        """How many entries match."""
        selection = await self._selection()
        if selection is None:
            self.asked = self.asked._replace(after=None)
            return len(await self._sifted())
        [[total]] = await self._fetch(*selection.total())
        root = self._entries.root()
        return int(total) + (root is not None and matches(self.asked.filters, root))

    async def _selection(self) -> Selection | None:
        """The rows that match; None when the database cannot tell: it does not know what implies what."""
        by_permissions = [each for each in self.asked.filters if _is_of_permissions(each)]
        if any(each.field == "permissions" for each in self.asked.sort):
            return None
        if not by_permissions:
            return self._selected(self.asked.filters)
        if any(self._given.get(kind) for kind in self._kinds):
            return None
        held = await self._held(by_permissions)
        return None if held is None else self._selected(self._others, held)

    @property
    def _kinds(self) -> list[Kind]:
        rules = self.context.service.rules
        return [kind for kind in KINDS if kind in rules and rules[kind].known_fields is None]

    @property
    def _others(self) -> list[Filter]:
        return [filter_ for filter_ in self.asked.filters if not _is_of_permissions(filter_)]

    def _selected(self, filters: Sequence[Filter], held: Held | None = None) -> Selection:
        context = self.context
        everywhere = [kind for kind in self._kinds if self._given.get(kind)]
        dialect = context.service.store.engine.dialect
        return Selection(dialect, self._kinds, context.principals, everywhere, filters, held)

    async def _held(self, filters: Sequence[Filter]) -> Held | None:
        """The ACLs that give the caller what filters by `permissions` ask for; None when they are many."""
        dialect = self.context.service.store.engine.dialect
        rows = await self._rows(*holdings(dialect, sorted(self.context.principals), 4 * KNOWN_ACLS))
        permissions: dict[bytes, set[str]] = {}
        for permission, acl, _ in rows:
            permissions.setdefault(bytes.fromhex(acl), set()).add(permission)
        if len(permissions) > KNOWN_ACLS or len(rows) == 4 * KNOWN_ACLS:
            return None
        return {
            kind: [
                acl
                for acl, held in permissions.items()
                if matches(filters, {"permissions": expanded(kind, held)})
            ]
            for kind in self._kinds
        }

    async def _sifted(self) -> list[Entry]:
        """What the database cannot select or sort: all that it can, sifted here, beside the event loop."""
        rows = await self._rows(*self._selected(self._others).everything())
        asked = self.asked

        def sift() -> list[Entry]:
            root = self._entries.root()
            found = _built(self._entries, rows) + ([root] if root is not None else [])
            found = [entry for entry in found if matches(asked.filters, entry) and _is_due(entry, asked)]
            return sort_objects(found, asked.sort)

        return await asyncio.to_thread(sift)

    async def _rows(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """The rows of a statement, after taking note of the version that they are of."""
        (version, _, _), *rows = await self._fetch(versioned(sql), values)
        self.versions.add(version)
        return rows

    async def _fetch(self, sql: str, values: Sequence[Any]) -> list[Any]:
        context = self.context
        if context.work is None:
            return await context.service.store.fetch(sql, values)
        await context.work.unit.flush()
        return await context.work.unit.transaction.fetch(sql, values)


def _is_of_permissions(filter_: Filter) -> bool:
    return filter_.field.split(".", 1)[0] == "permissions"


def _is_due(entry: Entry, asked: Asked) -> bool:
    return asked.after is None or is_after(entry, asked.sort, asked.after)


async def beside(size: int, work: Callable[[], T]) -> T:
    """The result of work on so many entries, done beside the event loop when it takes long."""
    return await asyncio.to_thread(work) if size > MANY else work()


def _built(entries: Entries, rows: Sequence[Any]) -> list[Entry]:
    lists: dict[str, ListPath] = {}
    built = []
    for text, object_id, acl in rows:
        path = lists.get(text)
        if path is None:
            path = lists[text] = ListPath.parse(text)
        built.append(entries.entry(path.kind, path.parents, object_id, f"{text}/{object_id}", acl))
    return built
