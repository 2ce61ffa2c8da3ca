"""The query language of list endpoints: what clients filter, sort, select and page by (protocol section 4).

Parsing has two steps, because the protocol looks at conditional headers between them: the *syntax* of the
parameters that have a type of their own (all errors are collected), then the *meaning* of filters, order and
token (the first error is raised).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from kintoun.model import json
from kintoun.model.errors import Detail, InvalidParameters, invalid
from kintoun.model.fields import Fields, parse_fields
from kintoun.model.ordering import lookup
from kintoun.model.parameters import (
    CACHED_LENGTH,
    DEFAULT_LIMITS,
    QueryLimits,
    bad_value,
    decode_value,
    nul_error,
    plain_text,
    split_query,
    string,
    whole_number,
)
from kintoun.model.tokens import MAX_TEXT, Token, invalid_token

__all__ = [
    "DEFAULT_LIMITS", "EVERYTHING", "NEWEST_FIRST", "Filter", "Op", "Query", "QueryLimits", "Sort",
    "binding", "check_syntax", "parse_query", "split_query",
]  # fmt: skip

DAY_MS = 24 * 3600 * 1000
_ALWAYS_KNOWN = frozenset({"id", "last_modified", "deleted", "schema"})


class Op(Enum):
    """What a filter does; the value is the prefix in the parameter's name."""

    EQ = "eq"
    NOT = "not"
    LT = "lt"
    MAX = "max"
    GT = "gt"
    MIN = "min"
    IN = "in"
    EXCLUDE = "exclude"
    LIKE = "like"
    HAS = "has"
    CONTAINS = "contains"
    CONTAINS_ANY = "contains_any"


class Filter(NamedTuple):
    """A condition on a field.

    `value` is a JSON value; a tuple of them for IN, EXCLUDE, CONTAINS and CONTAINS_ANY, a bool for HAS, a str
    for LIKE. On `last_modified` it is an int (milliseconds), with EQ, NOT, LT, MAX, GT or MIN.
    """

    field: str
    op: Op
    value: Any


class Sort(NamedTuple):
    """A field to sort by."""

    field: str
    descending: bool


NEWEST_FIRST = Sort("last_modified", True)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed query string.

    `sort` always ends the order among objects of one list. `include_deleted` tells that a filter on
    `last_modified` was given, which is what makes tombstones appear. `limit` is the client's own.
    `deprecated_to` tells that `_to` was used, which deserves an `Alert` header.
    """

    filters: tuple[Filter, ...] = ()
    sort: tuple[Sort, ...] = (NEWEST_FIRST,)
    include_deleted: bool = False
    limit: int | None = None
    fields: Fields | None = None
    token: Token | None = None
    deprecated_to: bool = False

    def token_after(
        self,
        last: Mapping[str, Any],
        etag: int,
        *,
        list_path: str,
        key: bytes = b"",
        nonce: str | None = None,
    ) -> str:
        """The `_token` of the page after the object `last`; see `Token` for the rest.

        Raises InvalidParameters when the object's values are too long for a URL.
        """
        values = tuple(lookup(last, sort.field) for sort in self.sort)
        return Token(values, etag, nonce).encode(binding(list_path, self.filters, self.sort), key)


EVERYTHING = Query()


def binding(list_path: str, filters: Sequence[Filter], sort: Sequence[Sort]) -> bytes:
    """What a token is bound to: the list, the filters and the order, but not the page size or the fields."""
    return json.encode((list_path, filters, sort))


# The parameters that have a type of their own

_BOUNDS = {"_since": Op.GT, "_before": Op.LT, "_to": Op.LT, "last_modified": Op.EQ}
_TOKEN_LIMITS = QueryLimits(value_length=MAX_TEXT)
_TYPED = frozenset(_BOUNDS) | {"_limit", "_token", "_sort", "_fields", "id"}


class _Typed:
    """What the typed parameters of a query string hold."""

    __slots__ = ("bounds", "fields", "id", "limit", "sort", "token")

    def __init__(self) -> None:
        self.bounds: dict[str, int] = {}
        self.limit: int | None = None
        self.id: str | None = None
        self.token = self.sort = self.fields = ""


def check_syntax(params: Sequence[tuple[str, str]], *, now_ms: int) -> None:
    """Raise InvalidParameters for what is wrong before conditional headers are looked at (section 1.5)."""
    _read_typed(_grouped(params), now_ms)


def _grouped(params: Sequence[tuple[str, str]]) -> dict[str, str | list[str]]:
    """The parameters by name; those that were repeated have a list of texts."""
    grouped: dict[str, str | list[str]] = {}
    for name, text in params:
        before = grouped.get(name)
        if before is None:
            grouped[name] = text
        elif isinstance(before, list):
            before.append(text)
        else:
            grouped[name] = [before, text]
    return grouped


def _read_typed(grouped: Mapping[str, str | list[str]], now_ms: int) -> _Typed:
    typed = _Typed()
    broken: list[Detail] = []
    for name in grouped.keys() & _TYPED:
        try:
            _read_one(typed, name, grouped[name], now_ms)
        except InvalidParameters as error:
            broken += error.broken
    if broken:
        raise InvalidParameters(*broken)
    return typed


def _read_one(typed: _Typed, name: str, raw: str | list[str], now_ms: int) -> None:
    if name in _BOUNDS:
        bound = whole_number(name, raw)
        if bound is not None:
            if bound >= now_ms + DAY_MS:
                raise bad_value(name)
            typed.bounds[name] = bound
        elif name == "last_modified" or not raw:
            raise bad_value(name)
        # `_since=null` is no bound: clients that never synced send it.
    elif name == "_limit":
        typed.limit = whole_number(name, raw) or None
    elif name == "_sort":
        typed.sort = ",".join(raw) if isinstance(raw, list) else raw
    elif name == "_fields":
        typed.fields = ",".join(raw) if isinstance(raw, list) else raw
    elif name == "_token":
        typed.token = _token_text(name, raw) or ""
    else:
        typed.id = string(name, raw, DEFAULT_LIMITS)


# Filters and order

_OPERATION = re.compile(r"(lt|min|max|not|eq|gt|in|exclude|like|has|contains_any|contains)_([\w.]+)")
_SORT_FIELD = re.compile(r"\s*([-+]?)([\w.]+)\s*")
_LONG_NAME = "A field's name has at most {0.field_length} characters and {0.depth} dots"
_LISTS = {Op.IN, Op.EXCLUDE}
_MEMBERS = {Op.CONTAINS, Op.CONTAINS_ANY}
_TIME_OPS = {Op.EQ, Op.NOT, Op.LT, Op.MAX, Op.GT, Op.MIN}


def parse_query(
    params: Sequence[tuple[str, str]],
    *,
    known_fields: frozenset[str] | None = None,
    now_ms: int,
    limits: QueryLimits = DEFAULT_LIMITS,
    list_path: str = "",
    token_key: bytes = b"",
) -> Query:
    """The query that the parameters of a list endpoint spell.

    `known_fields` are the attributes of objects of a fixed schema, None when they may have any. `list_path`
    and `token_key` are those with which `Query.token_after` makes tokens. Raises InvalidParameters.
    """
    if not params:
        return EVERYTHING
    remembered = (tuple(params), known_fields, limits)
    query = _parsed.get(remembered)
    if query is not None:
        return query
    query = _parse(params, known_fields, now_ms, limits, list_path, token_key)
    # A time that was not in the future once never will be. A token depends on the list, too.
    if query.token is None and sum(len(name) + len(value) for name, value in params) <= CACHED_LENGTH:
        if len(_parsed) >= _MOST_PARSED:
            _parsed.clear()
        _parsed[remembered] = query
    return query


_MOST_PARSED = 1024
_parsed: dict[tuple[Any, ...], Query] = {}


def _parse(
    params: Sequence[tuple[str, str]],
    known_fields: frozenset[str] | None,
    now_ms: int,
    limits: QueryLimits,
    list_path: str,
    token_key: bytes,
) -> Query:
    grouped = _grouped(params)
    typed = _read_typed(grouped, now_ms)
    filters = _filters(grouped, typed, known_fields, now_ms, limits)
    sort = _sort(typed.sort, known_fields, limits) if typed.sort else EVERYTHING.sort
    fields = parse_fields(typed.fields, limits.selected_fields) if typed.fields else None
    if fields is not None and known_fields is not None:
        fields.check(known_fields)
    token = None
    if typed.token:
        bound_to = binding(list_path, filters, sort)
        token = Token.decode(typed.token, bound_to, token_key, fields=[item.field for item in sort])
    return Query(
        filters=filters,
        sort=sort,
        include_deleted=any(item.field == "last_modified" for item in filters),
        limit=typed.limit,
        fields=fields,
        token=token,
        deprecated_to="_to" in typed.bounds,
    )


def _token_text(name: str, raw: str | list[str]) -> str | None:
    if isinstance(raw, str) and (len(raw) > MAX_TEXT or "\0" in raw):
        raise invalid_token()
    return string(name, raw, _TOKEN_LIMITS)


def _filters(
    grouped: Mapping[str, str | list[str]],
    typed: _Typed,
    known_fields: frozenset[str] | None,
    now_ms: int,
    limits: QueryLimits,
) -> tuple[Filter, ...]:
    filters = []
    for name, raw in grouped.items():
        if name in _TYPED:
            if name == "id":
                filters.append(Filter("id", Op.EQ, typed.id))
            elif name in typed.bounds:
                filters.append(Filter("last_modified", _BOUNDS[name], typed.bounds[name]))
        elif not name.startswith("_"):
            filters.append(_filter(name, raw, known_fields, now_ms, limits))
        if len(filters) > limits.filters:
            raise invalid("querystring", name, f"A query has at most {limits.filters} filters")
    return tuple(filters)


def _filter(
    name: str, raw: str | list[str], known_fields: frozenset[str] | None, now_ms: int, limits: QueryLimits
) -> Filter:
    if "\0" in name:
        raise nul_error(name)
    match = _OPERATION.fullmatch(name)
    field, op = (match[2], Op(match[1])) if match else (name, Op.EQ)
    if len(field) > limits.field_length or field.count(".") > limits.depth:
        raise invalid("querystring", name, _LONG_NAME.format(limits))
    if known_fields is not None:
        root = field.split(".", 1)[0]
        if root not in known_fields and root not in _ALWAYS_KNOWN:
            raise invalid("querystring", name, f"Unknown filter field '{name}'")
    if field == "last_modified":
        return Filter(field, op, _time_operand(name, op, raw, now_ms))
    value = _operand(name, op, raw, limits)
    if field == "id":
        value = _id_operand(name, op, value)
    return Filter(field, op, value)


def _time_operand(name: str, op: Op, raw: str | list[str], now_ms: int) -> int:
    if op not in _TIME_OPS:
        raise bad_value(name)
    try:
        number = whole_number(name, raw)
    except InvalidParameters as error:
        raise bad_value(name) from error
    if number is None or number >= now_ms + DAY_MS:
        raise bad_value(name)
    return number


def _operand(name: str, op: Op, raw: str | list[str], limits: QueryLimits) -> Any:
    """What a filter compares with. A repeated parameter is a list of its texts, whatever they look like."""
    value: Any
    if isinstance(raw, list):
        _check_items(name, raw, limits)
        value = [plain_text(name, text, limits) for text in raw]
    elif op in _LISTS:
        texts = [text for text in raw.split(",", limits.items) if text]
        _check_items(name, texts, limits)
        value = [decode_value(name, text, limits) for text in texts]
    else:
        value = decode_value(name, raw, limits)
    if op in _LISTS:
        return tuple(value)
    if op in _MEMBERS:
        members = value if isinstance(value, list) else [value]
        _check_items(name, members, limits)
        return tuple(members)
    if op is Op.HAS:
        return bool(value)
    if op is Op.LIKE and not isinstance(value, str):
        raise bad_value(name)
    return value


def _check_items(name: str, items: Sequence[Any], limits: QueryLimits) -> None:
    if len(items) > limits.items:
        raise invalid("querystring", name, f"A filter has at most {limits.items} values")


def _id_operand(name: str, op: Op, value: Any) -> Any:
    """Ids are strings: a number that a client forgot to quote is taken for one where that cannot mislead."""
    if op in _MEMBERS:
        raise invalid("querystring", name, "Field 'id' is not an array")
    if op in _LISTS:
        if not all(isinstance(item, str) for item in value):
            raise bad_value(name)
        return value
    if op is not Op.HAS and isinstance(value, (int, float)):
        return json.encode_text(value)
    return value


def _sort(text: str, known_fields: frozenset[str] | None, limits: QueryLimits) -> tuple[Sort, ...]:
    """The order of `_sort` (protocol section 4.5). What looks like no field is passed over silently."""
    order: list[Sort] = []
    for item in text.split(","):
        match = _SORT_FIELD.fullmatch(item)
        if not match:
            continue
        sign, field = match.groups()
        if known_fields is not None:
            root = field.split(".", 1)[0]
            if root not in known_fields and root not in _ALWAYS_KNOWN:
                raise invalid("querystring", None, f"Unknown sort field '{field}'")
        if len(field) > limits.field_length or field.count(".") > limits.depth:
            raise invalid("querystring", "_sort", _LONG_NAME.format(limits))
        if len(order) == limits.sort_fields:
            raise invalid("querystring", "_sort", f"A query has at most {limits.sort_fields} sort fields")
        order.append(Sort(field, sign == "-"))
    if not any(sort.field == "last_modified" for sort in order):
        order.append(NEWEST_FIRST)
    return tuple(order)
