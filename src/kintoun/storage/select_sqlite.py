"""The fields of objects in SQLite's SQL.

A field has three parts there: its rank, its value when that is a scalar, and for arrays and objects a key
whose bytes compare as they do. What SQLite cannot do by itself is done by functions written in Python, which
every connection must register.

SQLite finds no range of several expressions in an index, and an index that needs our functions would keep
other programs from writing to the file. So the index of a field holds one value made by what is built in,
which orders as the field does but is the same for some fields that differ. Clauses on an indexed field say
first what the index can find, then the exact condition.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from kintoun.model.json import encode_text
from kintoun.model.like import folding, is_like, pattern
from kintoun.model.ordering import MISSING, Rank, json_order_key, json_text_form, lookup, order_key, rank
from kintoun.storage.dialect import Parameters

_LITERAL = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_INT64 = range(-(2**63), 2**63)
_decode = msgspec.json.decode

_MEMBER_TYPES = {
    Rank.STRING: "e.type = 'text'",
    Rank.NUMBER: "e.type IN ('integer', 'real')",
    Rank.NULL: "e.type = 'null'",
    Rank.TRUE: "e.type = 'true'",
    Rank.FALSE: "e.type = 'false'",
}
_WITH_VALUE = frozenset({Rank.STRING, Rank.NUMBER})
_WITH_KEY = frozenset({Rank.ARRAY, Rank.OBJECT})


class SQLiteFields:
    """See `kintoun.storage.select.Fields`."""

    __slots__ = ("_indexed", "_params", "_sources")

    def __init__(self, params: Parameters, indexed: frozenset[str]) -> None:
        self._params = params
        self._indexed = indexed
        self._sources: dict[str, str] = {}

    def equals(self, field: str, value: Any) -> str:
        source = self._source(field)
        exact = self._is_among(source, rank(value), (value,))
        return f"{_indexable(source)} = {self._place(value)} AND {exact}" if field in self._indexed else exact

    def is_one_of(self, field: str, values: Sequence[Any]) -> str:
        source = self._source(field)
        choices = []
        for place in sorted({rank(value) for value in values}):
            alike = [value for value in values if rank(value) is place]
            choices.append(f"({self._is_among(source, place, alike)})")
        exact = " OR ".join(choices)
        if field not in self._indexed:
            return exact
        found = ", ".join(self._place(value) for value in values)
        return f"{_indexable(source)} IN ({found}) AND ({exact})"

    def _is_among(self, source: str, place: Rank, values: Sequence[Any]) -> str:
        """A field is equal to one of the values, which all are of one rank."""
        if place in _WITH_VALUE:
            marks = ", ".join([self._add(value) for value in values])
            return f"{_scalar(source)} IN ({marks}) AND {_rank(source)} = {place:d}"
        if place in _WITH_KEY:
            marks = ", ".join([self._params.add(order_key(value)) for value in values])
            return f"{_rank(source)} = {place:d} AND {_key(source)} IN ({marks})"
        return f"{_rank(source)} = {place:d}"

    def compares(self, field: str, sign: str, value: Any) -> str:
        place = rank(value)
        source = self._source(field)
        if place in _WITH_VALUE:
            exact = f"({_rank(source)}, {_scalar(source)}) {sign} ({place:d}, {self._add(value)})"
        elif place in _WITH_KEY:
            key = self._params.add(order_key(value))
            exact = f"({_rank(source)}, {_key(source)}) {sign} ({place:d}, {key})"
        else:
            exact = f"{_rank(source)} {sign} {place:d}"
        if field not in self._indexed:
            return exact
        return f"({_indexable(source)} {sign[0]}= {self._place(value)} AND {exact})"

    def exists(self, field: str) -> str:
        return f"json_type({self._source(field)}) IS NOT NULL"

    def contains(self, field: str, values: Sequence[Any], every: bool) -> str:
        source = self._source(field)
        is_array = f"json_type({source}) = 'array'"
        if not values:
            return is_array if every else "FALSE"
        if len(values) == 1 and rank(values[0]) in _MEMBER_TYPES:
            place = rank(values[0])
            same = f" AND e.value = {self._add(values[0])}" if place in _WITH_VALUE else ""
            member = f"SELECT 1 FROM json_each({source}) AS e WHERE {_MEMBER_TYPES[place]}{same}"
            return f"{is_array} AND EXISTS ({member})"
        wanted = self._params.add(encode_text(list(values)))
        return f"{is_array} AND kintoun_contains(json_extract({source}), {wanted}, {every:d})"

    def text(self, field: str) -> str:
        source = self._source(field)
        body, _, path = source.rpartition(", ")
        raw = f"({body} -> {path})"
        return (
            f"CASE json_type({source}) WHEN 'text' THEN json_extract({source}) WHEN 'integer' THEN {raw}"
            f" WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN NULL"
            f" ELSE kintoun_text({raw}) END"
        )

    def like(self, text: str, operand: str) -> str:
        if folding(operand):
            return f"kintoun_like({text}, {self._params.add(operand)})"
        # SQLite's LIKE ignores the case of ASCII letters, and of no others.
        return f"{text} LIKE {self._params.add(pattern(operand))} ESCAPE '\\'"

    def column_in(self, column: str, values: Sequence[Any]) -> str:
        return f"{column} IN ({', '.join(self._params.add(value) for value in values)})"

    def order(self, field: str, direction: str) -> str:
        source = self._source(field)
        first = _indexable(source) if field in self._indexed else _rank(source)
        return ", ".join(f"{term} {direction}" for term in (first, _scalar(source), _key(source)))

    def index(self, field: str) -> str:
        return f"({_indexable(_literal(field, 'body'))})"

    def _place(self, value: Any) -> str:
        """Where a value stands in an index."""
        place = rank(value)
        if place is Rank.NUMBER:
            return _indexable_number(self._add(value))
        return self._params.add(value) if place is Rank.STRING else _indexable_rank(place)

    def _source(self, field: str) -> str:
        """The arguments of SQLite's JSON functions that find the field."""
        source = self._sources.get(field)
        if source is None:
            if _LITERAL.fullmatch(field):
                source = _literal(field, "o.body")
            else:
                # Paths of SQLite have no escapes, and do not find keys that the body spells with escapes.
                source = f"kintoun_value(o.body, {self._params.add(field)}), '$'"
            self._sources[field] = source
        return source

    def _add(self, value: Any) -> str:
        if isinstance(value, int) and value not in _INT64:
            value = float(value)
        return self._params.add(value)


@lru_cache(maxsize=512)
def _literal(field: str, body: str) -> str:
    path = ".".join(f'"{part}"' for part in field.split("."))
    return f"{body}, '$.{path}'"


@lru_cache(maxsize=512)
def _rank(source: str) -> str:
    return (
        f"CASE json_type({source}) WHEN 'text' THEN 2 WHEN 'integer' THEN 3 WHEN 'real' THEN 3"
        f" WHEN 'null' THEN 1 WHEN 'false' THEN 4 WHEN 'true' THEN 5 WHEN 'object' THEN 7"
        f" WHEN 'array' THEN CASE json_array_length({source}) WHEN 0 THEN 0 ELSE 6 END ELSE 8 END"
    )


@lru_cache(maxsize=512)
def _scalar(source: str) -> str:
    value = f"json_extract({source})"
    return f"CASE json_type({source}) WHEN 'array' THEN NULL WHEN 'object' THEN NULL ELSE {value} END"


@lru_cache(maxsize=512)
def _key(source: str) -> str:
    key = f"kintoun_order(json_extract({source}))"
    return f"CASE json_type({source}) WHEN 'array' THEN {key} WHEN 'object' THEN {key} END"


@lru_cache(maxsize=512)
def _indexable(source: str) -> str:
    """A value that orders as the field does, except that some different values share one.

    SQLite orders numbers before texts before blobs: what stands before strings becomes a number, what stands
    after them a blob.
    """
    number = _indexable_number(f"json_extract({source})")
    empty, other = _indexable_rank(Rank.EMPTY_ARRAY), _indexable_rank(Rank.ARRAY)
    return (
        f"CASE json_type({source}) WHEN 'text' THEN json_extract({source})"
        f" WHEN 'integer' THEN {number} WHEN 'real' THEN {number}"
        f" WHEN 'null' THEN {_indexable_rank(Rank.NULL)} WHEN 'false' THEN {_indexable_rank(Rank.FALSE)}"
        f" WHEN 'true' THEN {_indexable_rank(Rank.TRUE)} WHEN 'object' THEN {_indexable_rank(Rank.OBJECT)}"
        f" WHEN 'array' THEN CASE json_array_length({source}) WHEN 0 THEN {empty} ELSE {other} END"
        f" ELSE {_indexable_rank(Rank.MISSING)} END"
    )


def _indexable_rank(place: Rank) -> str:
    return f"{place:d}" if place < Rank.STRING else f"x'{0x30 + place:02x}'"


def _indexable_number(number: str) -> str:
    """A number as a blob of decimal digits: its millionths, which the cast confines to 64 bits."""
    millionths = f"CAST({number} * 1000000 AS INTEGER)"
    below_zero = f"printf('3-%019d', {2**63 - 1} + max({millionths}, {1 - 2**63}))"
    return f"CAST(CASE WHEN {number} < 0 THEN {below_zero} ELSE printf('3.%019d', {millionths}) END AS BLOB)"


# The functions


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the clauses call."""
    connection.create_function("kintoun_value", 2, _function_value, deterministic=True)
    connection.create_function("kintoun_order", 1, json_order_key, deterministic=True)
    connection.create_function("kintoun_text", 1, _function_text, deterministic=True)
    connection.create_function("kintoun_like", 2, _function_like, deterministic=True)
    connection.create_function("kintoun_contains", 3, _function_contains, deterministic=True)


def _function_value(body: str, field: str) -> str | None:
    value = lookup(_decode(body), field)
    return None if value is MISSING else encode_text(value)


def _function_text(value: str | None) -> str | None:
    return None if value is None else json_text_form(value)


def _function_like(text: str | None, operand: str) -> bool | None:
    return None if text is None else is_like(str(text), operand)


def _function_contains(array: str, wanted: str, every: int) -> bool:
    members = {order_key(item) for item in _decode(array)}
    keys = _keys(wanted)
    return keys <= members if every else not keys.isdisjoint(members)


@lru_cache(maxsize=64)
def _keys(wanted: str) -> frozenset[bytes]:
    return frozenset(order_key(item) for item in _decode(wanted))
