"""Filters and orders applied to objects in memory: what the statements of every engine must agree with.

It serves endpoints that have no table, live streams, and the tests as their oracle (protocol section 4.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from kintoun.model.like import is_like
from kintoun.model.ordering import MISSING, lookup, order_key, text_form
from kintoun.model.query import Filter, Op, Sort

Object = TypeVar("Object", bound=Mapping[str, Any])


def matches(filters: Iterable[Filter], obj: Mapping[str, Any]) -> bool:
    """Whether an object meets every filter."""
    return all(_meets(filter_, lookup(obj, filter_.field)) for filter_ in filters)


def sort_objects(objs: Iterable[Object], sort: Sequence[Sort]) -> list[Object]:
    """The objects in order. A missing field stands after every value, so it comes first when descending."""
    result = list(objs)
    for field, descending in reversed(sort):
        result.sort(key=lambda obj, field=field: order_key(lookup(obj, field)), reverse=descending)  # type: ignore[misc]
    return result


def position(obj: Mapping[str, Any], sort: Sequence[Sort]) -> tuple[Any, ...]:
    """The values of the sort fields: where an object stands, as a token carries it."""
    return tuple(lookup(obj, field) for field, _ in sort)


def is_after(obj: Mapping[str, Any], sort: Sequence[Sort], values: Sequence[Any]) -> bool:
    """Whether an object comes strictly after the position that `values` name."""
    for (field, descending), value in zip(sort, values, strict=True):
        here, there = order_key(lookup(obj, field)), order_key(value)
        if here != there:
            return (here < there) if descending else (here > there)
    return False


def _meets(filter_: Filter, value: Any) -> bool:
    op, operand = filter_.op, filter_.value
    if op in _COMPARISONS:
        return _compares(op, order_key(value), order_key(operand))
    if op is Op.HAS:
        return (value is not MISSING) is bool(operand)
    if op is Op.LIKE:
        text = text_form(value)
        return text is not None and is_like(text, operand)
    operands = {order_key(item) for item in operand}
    if op is Op.IN:
        return order_key(value) in operands
    if op is Op.EXCLUDE:
        return order_key(value) not in operands
    if not isinstance(value, list):
        return False
    members = {order_key(item) for item in value}
    return operands <= members if op is Op.CONTAINS else not operands.isdisjoint(members)


_COMPARISONS = frozenset({Op.EQ, Op.NOT, Op.LT, Op.MAX, Op.GT, Op.MIN})


def _compares(op: Op, value: bytes, operand: bytes) -> bool:
    if op is Op.EQ:
        return value == operand
    if op is Op.NOT:
        return value != operand
    if op is Op.LT:
        return value < operand
    if op is Op.MAX:
        return value <= operand
    return value > operand if op is Op.GT else value >= operand
