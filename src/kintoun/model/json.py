"""JSON as the protocol reads and writes it (protocol section 1.1): strict, bounded, fast.

What a client sends is decoded by msgspec; what msgspec leaves open is settled here: the depth, integers
beyond 64 bits, and the NUL character, which PostgreSQL cannot store.
"""

from __future__ import annotations

import json as lenient
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import msgspec

from kintoun.model.errors import Detail, InvalidParameters

MAX_DEPTH = 400
"""Arrays and objects within one another that a document may have."""

_INT64_MIN = -(2**63)
_UINT64_MAX = 2**64 - 1
_TOO_BIG = "Number too big to be stored in double."

Trail = tuple[Any, ...]
"""The way to an entry, `(trail of what holds it, key)`, empty at the top: cheaper than names for all."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
# Every digit to "0", all else to " ": 19 zeros in a row betray an integer that may not fit in 64 bits. (A
# regular expression takes eight times as long.)
_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_LONG_INTEGER = b"0" * 19
# Brackets to the steps +1 and -1 (as signed bytes), quotation marks kept, all else removed.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{}"')


class InvalidJSON(ValueError):
    """Text that is no JSON, or JSON that cannot be stored.

    `description` is the sentence for the client; `name` the dotted path of the offending field, when one can
    be named, else empty.
    """

    def __init__(self, description: str, name: str = "") -> None:
        super().__init__(description)
        self.description = description
        self.name = name

    def details(self, *, writes: bool) -> tuple[Detail, ...]:
        """What was wrong, as the protocol lists it: a request that `writes` misses its body as well."""
        broken = Detail("body", self.name, self.description)
        return (broken, Detail("body", "", "Required")) if writes and not self.name else (broken,)


def decode(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text.

    The last of duplicate keys wins. Integers beyond 64 bits become doubles. Raises InvalidJSON for anything
    that is not strict JSON in UTF-8, for more than `max_depth` levels, and for NUL characters.
    """
    if raw.count(b"[") + raw.count(b"{") > max_depth:
        _check_depth(raw, max_depth)
    try:
        value = _decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidJSON(f"Invalid JSON: {_TOO_BIG}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_characters(raw) or InvalidJSON(f"Invalid JSON: {error}") from error
    if b"\\u0000" in raw or _LONG_INTEGER in raw.translate(_DIGITS):
        return _storable(value)
    return value


def decode_stored(text: str) -> Any:
    """The value of a JSON text that was stored: nothing has to be refused in it any more."""
    return _decode(text)


def decode_body(raw: bytes, *, writes: bool, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a request body: an object or an array; no body at all counts as an empty object.

    `writes` tells whether the method is POST, PUT or PATCH. Raises InvalidParameters.
    """
    if not raw:
        return {}
    try:
        value = decode(raw, max_depth=max_depth)
        if not isinstance(value, (dict, list)):
            raise InvalidJSON("Should be a JSON object or an array")
    except InvalidJSON as error:
        raise InvalidParameters(*error.details(writes=writes)) from error
    return value


def encode(value: Any) -> bytes:
    """The value as JSON in UTF-8, without any space."""
    return _encode(value)


def encode_text(value: Any) -> str:
    """The value as JSON text, without any space."""
    return _encode(value).decode()


def clone(value: Any) -> Any:
    """A deep copy of a JSON value."""
    return _decode(_encode(value)) if isinstance(value, (dict, list)) else value


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: numbers by value, and booleans are not numbers."""
    if one != other:
        return False
    # Python's own comparison takes true for 1: look for such pairs, without recursion.
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, dict):
            pairs.extend((value, right[key]) for key, value in left.items())
        elif isinstance(left, list):
            pairs.extend(zip(left, right, strict=True))
        elif isinstance(left, bool) is not isinstance(right, bool):
            return False
    return True


def depth(value: Any) -> int:
    """How many arrays and objects stand within one another in a value; 0 for a scalar."""
    deepest = 0
    todo = [(value, 1)]
    while todo:
        item, level = todo.pop()
        if isinstance(item, dict):
            children = list(item.values())
        elif isinstance(item, list):
            children = item
        else:
            continue
        deepest = max(deepest, level)
        todo.extend((child, level + 1) for child in children if isinstance(child, (dict, list)))
    return deepest


def _check_depth(raw: bytes, max_depth: int) -> None:
    """Refuse a text of too many levels before anything recurses into it.

    Exact for every text up to its first syntax error, which is as far as a parser gets.
    """
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = raw.translate(_STEPS, _NO_STRUCTURE).split(b'"')[::2]
    steps = memoryview(b"".join(outside_strings)).cast("b")
    if max(accumulate(steps), default=0) > max_depth:
        raise InvalidJSON(f"Invalid JSON: nested deeper than {max_depth} levels")


def _storable(value: Any) -> Any:
    """The value with integers beyond 64 bits as doubles; raises InvalidJSON where a NUL character stands."""
    holder = [value]
    for container, key, item, trail in _entries(holder):
        if (isinstance(key, str) and "\0" in key) or (isinstance(item, str) and "\0" in item):
            shown = _name(trail).replace("\0", "\\u0000")
            raise InvalidJSON("Invalid JSON: the NUL character \\u0000 cannot be stored", shown)
        if isinstance(item, int) and not _INT64_MIN <= item <= _UINT64_MAX:
            container[key] = _double(item)
    return holder[0]


def _double(number: int) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise InvalidJSON(f"Invalid JSON: {_TOO_BIG}") from error


def _no_characters(raw: bytes) -> InvalidJSON | None:
    """The error whose words name the field with bytes or escapes that are no characters; None if none has."""
    try:
        value = lenient.loads(raw.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    for _, key, item, trail in _entries([value]):
        for text in (key, item):
            try:
                if isinstance(text, str):
                    text.encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(error.object[error.start]):04x} is half of a surrogate pair"
                words = (_name(trail), half if _is_utf8(raw) else "not encoded in UTF-8")
                return InvalidJSON(": ".join(("Invalid JSON", *filter(None, words))))
    return None


def _entries(holder: list[Any]) -> Iterator[tuple[Any, Any, Any, Trail]]:
    """What stands in containers below and including a list: `(container, key, item, trail)`."""
    todo: list[tuple[Any, Trail]] = [(holder, ())]
    while todo:
        container, above = todo.pop()
        entries = container.items() if isinstance(container, dict) else enumerate(container)
        for key, item in list(entries):
            trail = (above, key)
            yield container, key, item, trail
            if isinstance(item, (dict, list)):
                todo.append((item, trail))


def _name(trail: Trail) -> str:
    """The dotted path of an entry below the one that holds all."""
    keys = []
    while trail:
        trail, key = trail
        keys.append(str(key))
    return ".".join(reversed(keys[:-1])).encode("utf-8", "backslashreplace").decode()


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
