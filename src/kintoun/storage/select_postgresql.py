"""The fields of objects in PostgreSQL's SQL.

`jsonb` compares strings by the collation of the database, we by code point. So an order compares a row of
rank, text (in the "C" collation) and `jsonb`, computed by a subquery that parses the body once. Strings
inside of arrays and objects are left to `jsonb`.

A subquery cannot be indexed, and an index entry has at most some 2,700 bytes. The index of a field therefore
has its rank, the first characters of a string and the value of a number; clauses on an indexed field say
first what the index can find, then the exact condition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from kintoun.model.json import encode_text
from kintoun.model.like import folding, pattern
from kintoun.model.ordering import MISSING, Rank, rank
from kintoun.storage.dialect import Parameters

PREFIX = 100
"""Characters of a string that an index holds."""

_LITERAL = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_PLAIN = re.compile(r"[A-Za-z0-9 _.:,@+-]+")
_TEXT_NULL = 'NULL::text COLLATE "C"'


class PostgreSQLFields:
    """See `kintoun.storage.select.Fields`."""

    __slots__ = ("_indexed", "_params", "_paths")

    def __init__(self, params: Parameters, indexed: frozenset[str]) -> None:
        self._params = params
        self._indexed = indexed
        self._paths: dict[str, str] = {}

    def equals(self, field: str, value: Any) -> str:
        same = f"{self._value(field)} = {self._json(value)}"
        if field in self._indexed:
            return f"{self._found(field, '=', value)} AND {same}"
        if isinstance(value, str) and _PLAIN.fullmatch(value):
            # Looking for the text costs a tenth of parsing the body. Such a string has one spelling in JSON.
            quoted = self._params.add(f'"{value}"')
            return f"strpos(o.body, {quoted}) > 0 AND {same}"
        return same

    def is_one_of(self, field: str, values: Sequence[Any]) -> str:
        same = f"{self._value(field)} = ANY({self._json_array(values)})"
        if field not in self._indexed:
            return same
        choices = []
        for place in sorted({rank(value) for value in values}):
            alike = [value for value in values if rank(value) is place]
            rank_, text, number = _index_terms(self._value(field))
            if place is Rank.STRING:
                prefixes = self._params.add([value[:PREFIX] for value in alike])
                choices.append(f"{rank_} = 2 AND {text} = ANY({prefixes}::text[])")
            elif place is Rank.NUMBER:
                numbers = f"{self._params.add([encode_text(value) for value in alike])}::text[]::numeric[]"
                choices.append(f"{rank_} = 3 AND {text} = '' AND {number} = ANY({numbers})")
            else:
                choices.append(f"{rank_} = {place:d}")
        found = " OR ".join(f"({choice})" for choice in choices)
        return f"({found}) AND {same}"

    def compares(self, field: str, sign: str, value: Any) -> str:
        exact = f"{_row(self._value(field))} {sign} {self._operand(value)}"
        if field in self._indexed:
            return f"({self._found(field, sign, value)} AND {exact})"
        return exact

    def exists(self, field: str) -> str:
        return f"{self._value(field)} IS NOT NULL"

    def contains(self, field: str, values: Sequence[Any], every: bool) -> str:
        if not values and not every:
            return "FALSE"  # without a mention of the field: PostgreSQL refuses parameters that nothing uses
        value = self._value(field)
        is_array = f"jsonb_typeof({value}) = 'array'"
        if not values:
            return is_array
        if every and not any(isinstance(item, (dict, list)) for item in values):
            return f"{value} @> {self._json(list(values))}"  # exact for scalars, which only arrays contain
        wanted = self._json_array(values)
        members = f"SELECT e.value FROM jsonb_array_elements({value}) AS e"
        if every:
            found = f"NOT EXISTS (SELECT 1 FROM unnest({wanted}) AS w WHERE w <> ALL ({members}))"
        else:
            found = f"EXISTS ({members} WHERE e.value = ANY({wanted}))"
        return f"CASE WHEN {is_array} THEN {found} ELSE FALSE END"

    def text(self, field: str) -> str:
        head, _, last = self._value(field)[1:-1].rpartition(" -> ")
        return f'({head} ->> {last}) COLLATE "C"'

    def like(self, text: str, operand: str) -> str:
        table = folding(operand)
        if table:
            folded = self._params.add("".join(map(chr, table)))
            into = self._params.add("".join(map(chr, table.values())))
            text = f"translate({text}, {folded}, {into})"
        # In the "C" collation ILIKE ignores the case of ASCII letters, and of no others.
        return f"{text} ILIKE {self._params.add(pattern(operand))}"

    def column_in(self, column: str, values: Sequence[Any]) -> str:
        return f"{column} = ANY({self._params.add(list(values))}::text[])"

    def order(self, field: str, direction: str) -> str:
        value = self._value(field)
        terms = [*_index_terms(value), _row(value)] if field in self._indexed else [_row(value)]
        return ", ".join(f"{term} {direction}" for term in terms)

    def index(self, field: str) -> str:
        return ", ".join(f"({term})" for term in _index_terms(_literal(field, "body")))

    def _value(self, field: str) -> str:
        """The field as `jsonb`, NULL when it is missing."""
        path = self._paths.get(field)
        if path is None:
            if _LITERAL.fullmatch(field):
                path = _literal(field, "o.body")
            else:
                steps = " -> ".join(f"{self._params.add(part)}::text" for part in field.split("."))
                path = f"(o.body::jsonb -> {steps})"
            self._paths[field] = path
        return path

    def _json(self, value: Any) -> str:
        return f"{self._params.add(encode_text(value))}::jsonb"

    def _json_array(self, values: Sequence[Any]) -> str:
        return f"{self._params.add([encode_text(value) for value in values])}::jsonb[]"

    def _operand(self, value: Any) -> str:
        place = rank(value)
        if place is Rank.STRING:
            return f'ROW(2, {self._params.add(value)}::text COLLATE "C", NULL::jsonb)'
        if value is MISSING:
            return f"ROW({place:d}, {_TEXT_NULL}, NULL::jsonb)"
        return f"ROW({place:d}, {_TEXT_NULL}, {self._json(value)})"

    def _found(self, field: str, sign: str, value: Any) -> str:
        """What the index can say about a comparison: never less than what is true, sometimes more."""
        rank_, text, number = _index_terms(self._value(field))
        place = rank(value)
        weak = {"<": "<=", ">": ">="}.get(sign, sign)
        if place is Rank.STRING:
            prefix = f'{self._params.add(value[:PREFIX])}::text COLLATE "C"'
            return f"({rank_}, {text}) {weak} (2, {prefix})"
        if place is Rank.NUMBER:
            operand = f"{self._params.add(encode_text(value))}::text::numeric"
            return f"({rank_}, {text}, {number}) {sign} (3, '', {operand})"
        return f"{rank_} {weak} {place:d}"


@lru_cache(maxsize=512)
def _literal(field: str, body: str) -> str:
    path = " -> ".join(f"'{part}'" for part in field.split("."))
    return f"({body}::jsonb -> {path})"


def _rank_of(value: str) -> str:
    return (
        f"CASE jsonb_typeof({value}) WHEN 'string' THEN 2 WHEN 'number' THEN 3 WHEN 'null' THEN 1"
        f" WHEN 'boolean' THEN CASE {value} WHEN 'false'::jsonb THEN 4 ELSE 5 END WHEN 'object' THEN 7"
        f" WHEN 'array' THEN CASE {value} WHEN '[]'::jsonb THEN 0 ELSE 6 END ELSE 8 END"
    )


@lru_cache(maxsize=512)
def _row(value: str) -> str:
    """Rank, text and JSON of a value: a row whose order is total, for there NULL is a value like others."""
    return (
        f"(SELECT ROW({_rank_of('v.x')},"
        " CASE jsonb_typeof(v.x) WHEN 'string' THEN v.x #>> '{}' END COLLATE \"C\","
        " CASE jsonb_typeof(v.x) WHEN 'string' THEN NULL ELSE v.x END)"
        f" FROM (SELECT {value} AS x OFFSET 0) AS v)"
    )


@lru_cache(maxsize=512)
def _index_terms(value: str) -> tuple[str, str, str]:
    prefix = f"CASE jsonb_typeof({value}) WHEN 'string' THEN left({value} #>> '{{}}', {PREFIX}) ELSE '' END"
    number = f"CASE jsonb_typeof({value}) WHEN 'number' THEN {value}::numeric END"
    return f"({_rank_of(value)})", f'(({prefix}) COLLATE "C")', f"({number})"
