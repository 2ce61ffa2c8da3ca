"""Lists as they were: what stands there now, with the changes since then taken back.

Every entry has the row that its change replaced. So the state of a list at a time is made of the objects that
have not changed since, and of what the first change after that time replaced of the others.

A list's version grows by one with every change of it. That is how it is known whether an entry is missing:
the versions since then must be there, up to the present one, without a gap, whatever made the gap (a purge,
an exclusion, a time without history).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kintoun.features.history.table import RECORDED
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.model.errors import InvalidParameters, ProtocolError, invalid
from kintoun.model.parameters import whole_number
from kintoun.model.paths import ListPath
from kintoun.model.query import split_query
from kintoun.resources.context import Context
from kintoun.resources.listing import (
    look,
    not_modified,
    page_answer,
    page_of,
    parse_list_request,
    present_list,
    read_page,
    totals,
)
from kintoun.storage.dialect import Parameters
from kintoun.storage.sources import Source

AT = "_at"


class Past(Source):
    """The rows of a list as they were at a time: a timestamp of the list, in milliseconds."""

    def __init__(self, time: int) -> None:
        super().__init__("history", counted=False)
        self.time = time

    def rows(self, path: ListPath, params: Parameters) -> str:
        number = f"(SELECT k.list FROM clock k WHERE k.path = {params.add(str(path))})"
        later = f"FROM history h WHERE h.origin = {number} AND h.became > {params.add(self.time)}"
        return (
            "(SELECT c.list, c.id, c.ts, c.deleted, c.body, c.acl FROM object c"
            f" WHERE c.list = {number} AND c.id NOT IN (SELECT h.name {later})"
            " UNION ALL SELECT f.origin, f.name, f.old_ts, f.old_deleted, f.old_body, f.old_acl FROM"
            f" (SELECT h.*, row_number() OVER (PARTITION BY h.name ORDER BY h.version) AS place {later}) f"
            " WHERE f.place = 1 AND f.old_body IS NOT NULL)"
        )


_REACH = (
    "SELECT k.list, k.ts, k.version, count(h.version), min(h.version), max(h.version), min(h.since)"
    " FROM clock k LEFT JOIN history h ON h.origin = k.list AND h.became > $2"
    " WHERE k.path = $1 GROUP BY k.list, k.ts, k.version"
)
_FLOOR = (
    "SELECT max(g.since) FROM (SELECT h.since, h.version - lag(h.version) OVER (ORDER BY h.version) AS step"
    " FROM history h JOIN clock k ON k.list = h.origin WHERE k.path = $1) g"
    " WHERE g.step IS NULL OR g.step <> 1"
)


class Asked(NamedTuple):
    """A time, and where in the request it stands: location and name."""

    time: int
    location: str = "querystring"
    name: str = AT


async def reached(context: Context, path: ListPath, asked: Asked) -> int:
    """The timestamp that a list had at a time. Raises InvalidParameters when its history reaches less far.

    It is asked after the list was read: of a list that is complete now nothing was missing then.
    """
    time = asked.time
    rows = await _fetch(context, _REACH, (str(path), time))
    if not rows or rows[0][0] is None:
        raise _out_of_reach(asked, None)
    _, timestamp, version, count, first, last, since = rows[0]
    first_change = 1 if path.kind.parent is None else 2  # a list below a parent begins with version 1
    if not count and (timestamp <= time or version < first_change):
        return int(timestamp)
    if count and last == version and last - first + 1 == count and (since <= time or first == first_change):
        return int(since)
    if last != version:
        raise _out_of_reach(asked, timestamp)
    floor = await _fetch(context, _FLOOR, (str(path),))
    raise _out_of_reach(asked, floor[0][0])


def _out_of_reach(asked: Asked, floor: int | None) -> InvalidParameters:
    if floor is None:
        return invalid(asked.location, asked.name, "There is no history of this list")
    return invalid(asked.location, asked.name, f"The history of this list is complete since {floor} only")


async def _fetch(context: Context, sql: str, values: tuple[Any, ...]) -> list[Any]:
    if context.work is not None:
        return await context.work.unit.transaction.fetch(sql, values)
    return await context.service.store.fetch(sql, values)


async def get_past_list(context: Context, request: Request, path: ListPath) -> Answer:
    """GET and HEAD of a list with `_at`: everything else in the query string is about the list as it was."""
    given = [value for name, value in split_query(request.query) if name == AT]
    if not given:
        return await present_list(context, request, path)
    head = request.method == "HEAD"
    time = _time(path, given)
    place = f"{path}@{time}" if isinstance(time, int) else ""
    asked = parse_list_request(context, request, path, place)
    if isinstance(asked, ProtocolError):
        await look(context, path, None, head)
        raise asked
    if isinstance(time, ProtocolError):
        await look(context, path, None, head)
        raise time
    page = page_of(context.service.rules[path.kind], asked)._replace(source=Past(time))
    found, _ = await look(context, path, page, head)
    timestamp = await reached(context, path, Asked(time))
    assert found.clock is not None, "a list has a clock while its parent exists"
    found.clock = found.clock._replace(timestamp=timestamp)
    unchanged = not_modified(asked.preconditions, found.clock, head)
    if unchanged is not None:
        return unchanged
    if asked.misuse is not None:
        raise asked.misuse
    if head:
        return totals(context, path, asked, found)
    return page_answer(context, path, asked, found, read_page(context, request, asked, found))


def _time(path: ListPath, given: list[str]) -> int | InvalidParameters:
    """The time that is asked for, or what is wrong with it."""
    if path.kind not in RECORDED:
        return invalid("querystring", AT, "There is no history of this list")
    try:
        time = whole_number(AT, given[0] if len(given) == 1 else given)
    except InvalidParameters as error:
        return error
    return time if time is not None else invalid("querystring", AT, f"Invalid value for {AT}")
