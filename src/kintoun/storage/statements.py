"""The questions of `Wanted` as one SQL statement, for every engine.

Every part of a question is a branch of one UNION ALL, so that the answer comes from one snapshot in one
round trip. All branches give the columns `tag, id, ts, body, grants`; the tag tells what a row is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from kintoun.model.paths import ListPath
from kintoun.storage.dialect import Dialect, Parameters
from kintoun.storage.rows import Clock, Found, Page, Stored, Wanted
from kintoun.storage.select import after, order_by, where

# A point's tag is twice its position in the question, plus one when the row is a tombstone.
GROUP = -1
CLOCK = -2
TOTAL = -3
ROW = 1_000_000

CLOCK_COLUMNS = "path, list, ts, version, live, dead, bytes, watermark"

_POINT = (
    # A subquery, not a join: it can only be run first, whatever the planner believes about the tables.
    "SELECT {tag} + o.deleted AS tag, o.id AS id, o.ts AS ts, o.body AS body, o.grants AS grants"
    " FROM object o WHERE o.list = (SELECT k.list FROM clock k WHERE k.path = {path}) AND o.id = {id}"
)
_GROUPS = (
    f"SELECT {GROUP} AS tag, m.principal AS id, 0 AS ts,"
    " '/buckets/' || k.bucket || '/groups/' || m.id AS body, '' AS grants"
    " FROM member m JOIN clock k ON k.list = m.list WHERE m.principal IN ({principals})"
)
_CLOCK = (
    f"SELECT {CLOCK} AS tag, '' AS id, k.ts AS ts, coalesce(k.list, 0) || ' ' || k.version || ' ' || k.live"
    " || ' ' || k.dead || ' ' || k.bytes || ' ' || k.watermark AS body, '' AS grants FROM clock k"
    " WHERE k.path = {path}"
)


@lru_cache(maxsize=512)
def _context(dialect: Dialect, points: int, principals: int, clock: bool) -> tuple[str, int]:
    """The branches that do not depend on the request's values, and how many parameters they take."""
    params = Parameters(dialect)
    branches = []
    for n in range(points):
        path, object_id = params.add(None), params.add(None)
        branches.append(_POINT.format(tag=2 * n, path=path, id=object_id))
    if principals:
        marks = ", ".join(params.add(None) for _ in range(principals))
        branches.append(_GROUPS.format(principals=marks))
    if clock:
        branches.append(_CLOCK.format(path=params.add(None)))
    return " UNION ALL ".join(branches), len(params.values)


def question(
    wanted: Wanted, dialect: Dialect, indexed: frozenset[str] = frozenset()
) -> tuple[str, list[Any]]:
    """The statement and its parameters for a question; `indexed` are the fields that have an index."""
    values: list[Any] = []
    for kind, ids in wanted.points:
        values += (kind.list_form % ids[:-1], ids[-1])
    values += wanted.principals
    if wanted.clock:
        values.append(str(wanted.clock))
    sql, _ = _context(dialect, len(wanted.points), len(wanted.principals), wanted.clock is not None)
    if wanted.page is None and wanted.total is None:
        return sql, values
    params = Parameters(dialect, values)
    branches = [sql] if sql else []
    if wanted.page is not None:
        branches.append(_page(wanted, wanted.page, dialect, params, indexed))
    if wanted.total is not None:
        branches.append(_total(wanted, wanted.total, dialect, params, indexed))
    return " UNION ALL ".join(branches), params.values


def _list_of(wanted: Wanted) -> ListPath:
    assert wanted.clock is not None, "a page is of the list whose clock is read with it"
    return wanted.clock


def _conditions(
    wanted: Wanted, page: Page, dialect: Dialect, params: Parameters, indexed: frozenset[str]
) -> str:
    """The condition that a row belongs to the page: first of all, that it stands in the list asked for."""
    parts = [f"o.list = (SELECT k.list FROM clock k WHERE k.path = {params.add(str(_list_of(wanted)))})"]
    if not page.deleted:
        parts.append("o.deleted = 0")
    if page.until is not None:
        parts.append(f"o.ts <= {params.add(page.until)}")
    if page.holders is not None:
        parts.append(_held(page.source.acls, page.holders, page.permissions, params))
    if page.filters:
        hints = page.source.hints
        parts.append(where(page.filters, dialect, params, indexed=indexed, hints=hints))
    if page.after is not None:
        parts.append(after(page.sort, page.after, dialect, params, indexed=indexed))
    return " AND ".join(f"({part})" for part in parts)


def _held(
    acls: Sequence[str], holders: Iterable[str], permissions: Sequence[str] | None, params: Parameters
) -> str:
    marks = ", ".join(params.add(principal) for principal in sorted(holders))
    named = ""
    if permissions is not None:
        named = f" AND e.permission IN ({', '.join(params.add(name) for name in permissions)})"
    named_by = f"(SELECT e.acl FROM acl_entry e WHERE e.principal IN ({marks}){named})"
    return " OR ".join(f"o.{column} IN {named_by}" for column in acls)


def _page(wanted: Wanted, page: Page, dialect: Dialect, params: Parameters, indexed: frozenset[str]) -> str:
    condition = _conditions(wanted, page, dialect, params, indexed)
    order = order_by(page.sort, dialect, params, indexed=indexed, filters=page.filters)
    return (
        f"SELECT * FROM (SELECT {ROW} + o.deleted AS tag, o.id AS id, o.ts AS ts, o.body AS body,"
        " '' AS grants"
        f" FROM {page.source.rows(_list_of(wanted), params)} o WHERE {condition} ORDER BY {order}"
        f" LIMIT {params.add(page.limit)}) AS page"
    )


def _total(wanted: Wanted, page: Page, dialect: Dialect, params: Parameters, indexed: frozenset[str]) -> str:
    condition = _conditions(wanted, page, dialect, params, indexed)
    columns = f"{TOTAL} AS tag, '' AS id, count(*) AS ts, '' AS body, '' AS grants"
    return f"SELECT {columns} FROM {page.source.rows(_list_of(wanted), params)} o WHERE {condition}"


def answer(wanted: Wanted, rows: Sequence[Any]) -> Found:
    """What the rows of a question's statement say."""
    found = Found([None] * len(wanted.points), [])
    page: list[Any] = []
    for row in rows:
        tag = row[0]
        if tag >= ROW:
            page.append(row)
        elif tag >= 0:
            found.points[tag >> 1] = stored(row)
        elif tag == GROUP:
            found.groups.append((row[1], row[3]))
        elif tag == CLOCK:
            assert wanted.clock is not None, "no clock was asked for"
            found.clock = clock_of(wanted.clock, row)
        else:
            found.total = row[2]
    if wanted.page is not None:
        found.rows = page
    return found


def stored(row: Any) -> Stored:
    """The object that a row of a statement spells."""
    return Stored(row[1], row[2], bool(row[0] & 1), row[3], row[4])


def clock_of(path: ListPath, row: Any) -> Clock:
    """The clock of a list that a row of a statement spells."""
    number, version, live, dead, size, watermark = map(int, row[3].split(" "))
    return Clock(path, number or None, row[2], version, live, dead, size, watermark)
