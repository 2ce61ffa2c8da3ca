"""Query strings and the values in them: splitting, decoding, typing (protocol sections 1.1 and 4.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from kintoun.model import json
from kintoun.model.errors import INVALID_PARAMETERS, InvalidParameters, ProtocolError, invalid


@dataclass(frozen=True, slots=True, eq=False)
class QueryLimits:
    """How much a client may ask for in one query. Beyond each there is a 400 that names the parameter.

    Limits are compared by identity: make them once.
    """

    filters: int = 100
    """Filters in a query."""
    sort_fields: int = 20
    """Fields in `_sort`."""
    selected_fields: int = 100
    """Fields in `_fields`."""
    items: int = 1000
    """Values of one `in_`, `exclude_`, `contains_` or `contains_any_` filter."""
    value_length: int = 4096
    """Characters of a filter's value; with `in_` and `exclude_`, of each of its items."""
    field_length: int = 256
    """Characters of a field's name."""
    depth: int = 64
    """Arrays and objects within one another in a filter's value, and dots in a field's name."""


_MAX_NUMBER = 2**63

DEFAULT_LIMITS = QueryLimits()


CACHED_LENGTH = 300
"""Bytes up to which what was read from a query string is remembered."""

_SEPARATOR = re.compile(rb"[&;]")


def split_query(raw: bytes) -> list[tuple[str, str]]:
    """The names and values of a raw query string, in their order; separators are `&` and `;`.

    Raises ProtocolError when it is not percent-encoded UTF-8 (protocol section 1.1).
    """
    if not raw:
        return []
    return list(_split_short(raw) if len(raw) <= CACHED_LENGTH else _split(raw))


def _split(raw: bytes) -> list[tuple[str, str]]:
    params = []
    try:
        for part in _SEPARATOR.split(raw):
            if part:
                name, _, value = part.partition(b"=")
                params.append((_unquoted(name), _unquoted(value)))
    except UnicodeDecodeError as error:
        shown = raw.decode("ascii", "backslashreplace")
        raise ProtocolError(
            400,
            INVALID_PARAMETERS,
            # The missing space is the protocol's.
            "A request with an incorrect encoding in the querystring wasreceived. "
            f"Please make sure your requests are encoded in UTF-8: {shown}",
        ) from error
    return params


_split_short = lru_cache(maxsize=1024)(_split)


def _unquoted(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()


_MAYBE_JSON = frozenset('"-0123456789[{tfn \t\r\n')
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,30}\s*")
_decode_scalar = msgspec.json.Decoder(str | int | float | bool | None).decode
_CONTAINERS = re.compile(r"[ \t\r\n]*[\[{]")
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1


def decode_value(name: str, text: str, limits: QueryLimits) -> Any:
    """A parameter's value: the JSON that the text is, else the text itself (protocol section 4.3)."""
    plain_text(name, text, limits)
    if not text or text[0] not in _MAYBE_JSON:
        return text
    if _CONTAINERS.match(text):
        return _container(name, text, limits)
    try:
        value = _decode_scalar(text)
        if isinstance(value, int) and not _LOWEST <= value <= _HIGHEST:
            return float(value)
    except (msgspec.MsgspecError, OverflowError):
        return text
    if isinstance(value, str) and "\0" in value:
        raise nul_error(name)
    return value


def _container(name: str, text: str, limits: QueryLimits) -> Any:
    try:
        return json.decode(text.encode(), max_depth=limits.depth)
    except json.InvalidJSON as error:
        if "\\u0000" in text:
            raise nul_error(name) from error
        if text.count("[") + text.count("{") > limits.depth:
            too_deep = f"A value has at most {limits.depth} arrays and objects within one another"
            raise invalid("querystring", name, too_deep) from error
        return text


def plain_text(name: str, text: str, limits: QueryLimits) -> str:
    """A value taken as it is, never as JSON."""
    if len(text) > limits.value_length:
        raise invalid("querystring", name, f"A value has at most {limits.value_length} characters")
    if "\0" in text:
        raise nul_error(name)
    return text


def nul_error(name: str) -> InvalidParameters:
    """The error for a NUL character, which PostgreSQL cannot store."""
    return invalid("querystring", name, "Invalid character 0x00")


def bad_value(name: str) -> InvalidParameters:
    """The error for a value that is not of the parameter's type."""
    return invalid("querystring", name, f"Invalid value for {name}")


def whole_number(name: str, raw: str | list[str]) -> int | None:
    """The whole number that a parameter holds, bare or in quotation marks; None when it is empty or null."""
    value: Any = raw
    if isinstance(raw, str):
        if not raw:
            return None
        value = decode_value(name, raw, DEFAULT_LIMITS)
    if value is None:
        return None
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, dict):
        raise bad_value(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        shown = value if isinstance(value, str) else raw
        raise invalid("querystring", name, f'"{shown}" is not a number')
    number = int(value)
    if number < 0:
        raise invalid("querystring", name, f"{number} is less than minimum value 0")
    if number > _MAX_NUMBER:
        raise invalid("querystring", name, f"{number} is greater than maximum value {_MAX_NUMBER}")
    return number


def string(name: str, raw: str | list[str], limits: QueryLimits) -> str | None:
    """The text of a parameter that must be a string, in quotation marks or not; None for null."""
    value: Any = raw
    if isinstance(raw, str):
        value = decode_value(name, raw, limits)
        if isinstance(value, bool):
            return raw.strip()
    if value is None or isinstance(value, str):
        return value
    raise invalid("querystring", name, f"{value!r} is not a string: {{{name!r}: ''}}")
