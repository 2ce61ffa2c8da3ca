# ruff: noqa: S608 - statements are composed of constants, values are parameters
"""Entries as SQL: which there are, filtered, sorted and paged by the database.

`python -m bench permissions` measures what that costs.

Every field of an entry but `permissions` is an expression of type text over the row of an object and that of
its list, NULL where entries of its kind lack the field. `kintoun.model.filters` says what every clause must
mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kintoun.model.filters import matches
from kintoun.model.kinds import BUCKET, COLLECTION, Kind
from kintoun.model.ordering import Rank, rank
from kintoun.model.query import Filter, Op, Sort
from kintoun.storage.dialect import Dialect, Parameters
from kintoun.storage.select import Fields
from kintoun.storage.select_postgresql import PostgreSQLFields
from kintoun.storage.select_sqlite import SQLiteFields

COLUMNS = ("uri", "id", "resource_name", "bucket_id", "collection_id", "group_id", "record_id")

_ENGINES: dict[Dialect, Callable[[Parameters, frozenset[str]], Fields]] = {
    Dialect.SQLITE: SQLiteFields,
    Dialect.POSTGRESQL: PostgreSQLFields,
}
_AMONG: dict[Dialect, Callable[[str, str], str]] = {
    Dialect.SQLITE: lambda column, select: f"{column} IN ({select})",
    # As an array it is there before the planner's guesses matter, and both columns of the index go by it.
    Dialect.POSTGRESQL: lambda column, select: f"{column} = ANY (ARRAY({select}))",
}
_ROW = "SELECT p.path, p.id, p.grants"
_COMPARISONS = {Op.LT: "<", Op.MAX: "<=", Op.GT: ">", Op.MIN: ">="}


Held = Mapping[Kind, Sequence[bytes]]
"""The digests of ACLs, by the kind of the objects that have them."""


def versioned(sql: str) -> str:
    """The statement that puts a row before those of another: what changes with every change of any list."""
    version = "SELECT CAST(CAST(coalesce(sum(k.version + 1), 0) AS BIGINT) AS TEXT) AS path"
    return f"{version}, '' AS id, '' AS grants FROM clock k UNION ALL SELECT * FROM ({sql}) AS page"


NOTHING = "SELECT '' AS path, '' AS id, '' AS grants WHERE 1 = 0"
"""The statement without a row."""

_HEX = {Dialect.SQLITE: "hex(e.acl)", Dialect.POSTGRESQL: "encode(e.acl, 'hex')"}


def holdings(dialect: Dialect, principals: Sequence[str], limit: int) -> tuple[str, list[Any]]:
    """The statement for what principals hold by which ACLs: permission, and digest in hexadecimal digits."""
    marks = ", ".join(f"${n}" for n in range(1, len(principals) + 1))
    columns = f"e.permission AS path, {_HEX[dialect]} AS id, '' AS grants"
    sql = f"SELECT DISTINCT {columns} FROM acl_entry e WHERE e.principal IN ({marks}) LIMIT {limit}"
    return sql, list(principals)


class Selection:
    """The rows of a caller's entries: path of the list, id, text of the ACL. Good for one statement."""

    def __init__(
        self,
        dialect: Dialect,
        kinds: Collection[Kind],
        principals: Collection[str],
        everywhere: Collection[Kind],
        filters: Sequence[Filter],
        held: Held | None = None,
    ) -> None:
        """`kinds` are those listed at all, `everywhere` those of which all objects are, `held` the ACLs
        whose objects are to be listed, when they are known already.
        """
        # Numbered as PostgreSQL does, whatever the engine: that is what `fetch` takes.
        self._params = Parameters(Dialect.POSTGRESQL)
        self._fields = _ENGINES[dialect](self._params, frozenset())
        named = [filter_ for filter_ in filters if filter_.field == "resource_name"]
        wanted = [kind for kind in kinds if matches(named, {"resource_name": kind.name})]
        own = [kind for kind in wanted if kind not in everywhere]
        others = [kind for kind in wanted if kind in everywhere]
        self._among = _AMONG[dialect]
        sources = []
        if own and held is None:
            sources.append(self._own(own, sorted(principals)))
        elif held is not None:
            sources += [self._held([kind], held[kind]) for kind in own if held.get(kind)]
        if others:
            sources.append(self._source(others, "TRUE"))
        if not sources:
            sources.append(self._source((), "FALSE"))
        conditions = [self._condition(filter_) for filter_ in filters]
        where = " AND ".join(f"({condition})" for condition in conditions) or "TRUE"
        self._from = f"FROM ({' UNION ALL '.join(sources)}) AS p WHERE {where}"

    def _own(self, kinds: Sequence[Kind], principals: Sequence[str]) -> str:
        marks = ", ".join(self._params.add(principal) for principal in principals)
        named = f"SELECT e.acl FROM acl_entry e WHERE e.principal IN ({marks})"
        return self._source(kinds, self._among("o.acl", named))

    def _held(self, kinds: Sequence[Kind], acls: Sequence[bytes]) -> str:
        return self._source(kinds, f"o.acl IN ({', '.join(self._params.add(acl) for acl in acls)})")

    def _source(self, kinds: Sequence[Kind], condition: str) -> str:
        """The live objects of some kinds that meet a condition, with the fields of their entries."""
        wanted = " OR ".join(map(_is, kinds)) or "FALSE"
        return (
            f"SELECT k.path || '/' || o.id AS uri, o.id AS id, {_name(kinds)} AS resource_name,"
            f" {_bucket()} AS bucket_id, {_collection(kinds)} AS collection_id,"
            f" {_own_id(kinds, 'group')} AS group_id, {_own_id(kinds, 'record')} AS record_id,"
            " k.path AS path, o.grants AS grants FROM object o JOIN clock k ON k.list = o.list"
            f" WHERE o.deleted = 0 AND {condition}"
            # The index of ACLs knows the list: of what is not wanted no row is looked at.
            f" AND {self._among('o.list', f'SELECT k.list FROM clock k WHERE {wanted}')}"
        )

    def page(self, sort: Sequence[Sort], after: Sequence[Any] | None, limit: int) -> tuple[str, list[Any]]:
        """The statement for `limit` rows in order, after the position that the sort fields' values name."""
        beyond = f" AND ({self._after(sort, after)})" if after is not None else ""
        sql = f"{_ROW} {self._from}{beyond} ORDER BY {_order(sort)} LIMIT {self._params.add(limit)}"
        return sql, self._params.values

    def everything(self) -> tuple[str, list[Any]]:
        """The statement for all rows, in no order."""
        return f"{_ROW} {self._from}", self._params.values

    def total(self) -> tuple[str, list[Any]]:
        """The statement that counts the rows."""
        return f"SELECT count(*) {self._from}", self._params.values

    def _condition(self, filter_: Filter) -> str:
        field, op, value = filter_
        if field not in COLUMNS:  # no entry has it
            return "TRUE" if matches((filter_,), {}) else "FALSE"
        column = f"p.{field}"
        if op is Op.EQ or op is Op.NOT:
            same = f"{column} = {self._params.add(value)}" if isinstance(value, str) else "FALSE"
            return same if op is Op.EQ else f"({same}) IS NOT TRUE"
        if op is Op.IN or op is Op.EXCLUDE:
            texts = [item for item in value if isinstance(item, str)]
            among = self._fields.column_in(column, texts) if texts else "FALSE"
            return among if op is Op.IN else f"({among}) IS NOT TRUE"
        if op is Op.LIKE:
            return self._fields.like(column, value)
        if op is Op.HAS:
            return f"{column} IS {'NOT ' if value else ''}NULL"
        if op in _COMPARISONS:
            return self._compares(field, _COMPARISONS[op], value)
        return "FALSE"  # no text is an array

    def _compares(self, field: str, sign: str, value: Any) -> str:
        """The field stands below or above a value: strings among the types, and nothing above all of them."""
        column, place = f"p.{field}", rank(value)
        if place is Rank.STRING:
            beyond = f"{column} {sign} {self._params.add(value)}"
            return f"({beyond} OR {column} IS NULL)" if sign[0] == ">" else beyond
        if place is Rank.MISSING:
            return {"<": f"{column} IS NOT NULL", "<=": "TRUE", ">": "FALSE", ">=": f"{column} IS NULL"}[sign]
        if place < Rank.STRING:
            return "TRUE" if sign[0] == ">" else "FALSE"
        return f"{column} IS {'NULL' if sign[0] == '>' else 'NOT NULL'}"

    def _after(self, sort: Sequence[Sort], values: Sequence[Any]) -> str:
        clause = ""
        for (field, descending), value in reversed(list(zip(sort, values, strict=True))):
            sign = "<" if descending else ">"
            beyond = self._compares(field, sign, value)
            if clause:
                beyond = f"{self._compares(field, sign + '=', value)} AND ({beyond} OR ({clause}))"
            clause = beyond
        return clause


def _order(sort: Sequence[Sort]) -> str:
    """What is missing stands after everything."""
    directions = {True: "DESC NULLS FIRST", False: "ASC NULLS LAST"}
    return ", ".join(f"p.{field} {directions[descending]}" for field, descending in sort)


def _name(kinds: Sequence[Kind]) -> str:
    names = "".join(f" WHEN {_is(kind)} THEN '{kind.name}'" for kind in kinds)
    return f"CASE{names} END" if names else "NULL"


def _is(kind: Kind) -> str:
    """The list is one of objects of this kind: ids have no slash, so the end of its path tells."""
    if kind.parent is None:
        return f"k.path = '/{kind.plural}'"
    return f"substr(k.path, length(k.path) - {len(kind.plural)}) = '/{kind.plural}'"


def _own_id(kinds: Sequence[Kind], name: str) -> str:
    own = "".join(f" WHEN {_is(kind)} THEN o.id" for kind in kinds if kind.name == name)
    return f"CASE{own} END" if own else "NULL"


def _bucket() -> str:
    return f"CASE WHEN {_is(BUCKET)} THEN o.id ELSE k.bucket END"


def _collection(kinds: Sequence[Kind]) -> str:
    """The collection's own id, or the part of a record's path between `/collections/` and `/records`."""
    whens = ""
    for kind in kinds:
        if kind is COLLECTION:
            whens += f" WHEN {_is(kind)} THEN o.id"
        elif kind.parent is COLLECTION:
            before = f"(length(k.bucket) + {len('/buckets/') + len('/collections/')})"
            rest = f"length(k.path) - {before} - {len(kind.plural) + 1}"
            whens += f" WHEN {_is(kind)} THEN substr(k.path, {before} + 1, {rest})"
    return f"CASE{whens} END" if whens else "NULL"
