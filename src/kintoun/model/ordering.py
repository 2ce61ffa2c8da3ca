"""JSON values as the query language sees them: where they stand in objects, their total order, their text.

The order is PostgreSQL's for `jsonb` (protocol section 4.4), on every engine: `[]`, null, strings by code
point, numbers, false, true, arrays, objects, and after everything the missing value. Arrays and objects of
fewer members come first; at the same size the first difference decides. An array without members stands
before null only as a whole value; inside of others it is an array like any.

Numbers compare as decimals. SQLite compares doubles, which is the same up to 2**53, and beyond that between
integers of 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

import msgspec


class Missing:
    """The type of `MISSING`: what a field holds that an object does not have."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class Rank(IntEnum):
    """The classes of values, in their order. Values of one class are ordered among themselves."""

    EMPTY_ARRAY = 0
    NULL = 1
    STRING = 2
    NUMBER = 3
    FALSE = 4
    TRUE = 5
    ARRAY = 6
    OBJECT = 7
    MISSING = 8


_EXPONENT_BIAS = 1 << 15
_COMPLEMENT = bytes(255 - byte for byte in range(256))
_ZERO = b"\x01"


def lookup(obj: Mapping[str, Any], field: str) -> Any:
    """The value at a dotted path, MISSING when there is none. A key that contains a dot is never found."""
    if "." not in field:
        return obj.get(field, MISSING)
    value: Any = obj
    for part in field.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value


def rank(value: Any) -> Rank:
    """The class of a value."""
    if isinstance(value, str):
        return Rank.STRING
    if isinstance(value, bool):
        return Rank.TRUE if value else Rank.FALSE
    if isinstance(value, (int, float)):
        return Rank.NUMBER
    if value is None:
        return Rank.NULL
    if isinstance(value, list):
        return Rank.ARRAY if value else Rank.EMPTY_ARRAY
    return Rank.MISSING if value is MISSING else Rank.OBJECT


def order_key(value: Any) -> bytes:
    """Bytes that compare as values do. Two values have the same key exactly when they are equal."""
    place = rank(value)
    if place in (Rank.EMPTY_ARRAY, Rank.NULL, Rank.MISSING):
        return bytes((place,))
    return _key(value, place)


def text_form(value: Any) -> str | None:
    """The text that `like_` searches: PostgreSQL's `jsonb ->>`. None for null and for what is missing."""
    if value is None or value is MISSING:
        return None
    return value if isinstance(value, str) else _text(value)


def _key(value: Any, place: Rank) -> bytes:
    tag = bytes((place,))
    if place is Rank.STRING:
        return tag + _string_key(value)
    if place is Rank.NUMBER:
        return tag + _number_key(value)
    if isinstance(value, list):
        members = b"".join(_key(item, rank(item)) for item in value)
        return bytes((Rank.ARRAY,)) + len(value).to_bytes(4, "big") + members
    if isinstance(value, dict):
        keys = sorted(value, key=_key_order)
        pairs = b"".join(_string_key(key) + _key(value[key], rank(value[key])) for key in keys)
        return tag + len(value).to_bytes(4, "big") + pairs
    return tag


def _string_key(text: str) -> bytes:
    # UTF-8 compares by code point; the end must compare below every character.
    return text.encode("utf-8", "surrogatepass") + b"\0"


def _key_order(key: str) -> tuple[int, bytes]:
    """The order in which `jsonb` keeps the keys of an object: the shorter first."""
    raw = key.encode("utf-8", "surrogatepass")
    return len(raw), raw


@lru_cache(maxsize=1024, typed=True)
def _number_key(number: int | float) -> bytes:
    """Sign, exponent, digits. A double counts as the shortest decimal that stands for it."""
    sign, digits, exponent = _decimal(number).normalize().as_tuple()
    assert isinstance(exponent, int), "JSON has no infinity"
    if not any(digits):
        return _ZERO
    magnitude = len(digits) + exponent + _EXPONENT_BIAS
    key = magnitude.to_bytes(2, "big") + bytes(digit + 1 for digit in digits) + b"\0"
    return b"\0" + key.translate(_COMPLEMENT) if sign else b"\x02" + key


def _decimal(number: int | float) -> Decimal:
    return Decimal(number) if isinstance(number, int) else Decimal(repr(number))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return _number_text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    members = (f"{_text(key)}: {_text(value[key])}" for key in sorted(value, key=_key_order))
    return f"{{{', '.join(members)}}}"


def _number_text(number: int | float) -> str:
    decimal = _decimal(number)
    return format(abs(decimal) if decimal.is_zero() else decimal, "f")


def json_order_key(text: str) -> bytes:
    """`order_key` of a value given as JSON text."""
    return order_key(msgspec.json.decode(text))


def json_text_form(text: str) -> str | None:
    """`text_form` of a value given as JSON text."""
    return text_form(msgspec.json.decode(text))
