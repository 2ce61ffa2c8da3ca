"""Canonical JSON: the one form of a value in which it is signed (signing section 3.1).

Pure ASCII, no space, keys in the order of their code points. Clients make the same text of what they have
parsed, in other languages; so values of which they would make another are refused: floats, integers that a
double cannot hold, and keys whose order depends on whether code points or UTF-16 units are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

SAFE_INTEGER = 2**53 - 1
"""The largest integer that every client holds exactly; as far it goes below zero."""

Rule = Literal["float", "integer", "key order", "surrogate"]

_SENTENCES: dict[Rule, str] = {
    "float": "field contains float value (tip: use integer or string)",
    "integer": f"field contains an integer beyond ±{SAFE_INTEGER} (tip: use string)",
    "key order": "field contains keys that not all clients sort alike (tip: no characters beyond U+FFFF)",
    "surrogate": "field contains half of a surrogate pair",
}

_encode_plain = msgspec.json.Encoder(order="sorted").encode
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
# What betrays, outside of strings and of literals, a value that may not be canonical.
_SUSPECT = re.compile(r"[.eNI]|\d{16}")
# The same of a text with every digit as "0", and nulls: that encoder writes NaN as one.
_SUSPECT_PLAIN = (b".", b"0e", b"n", b"0" * 16)
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)


class NotCanonical(ValueError):
    """A value without a canonical form; `path`, of keys and indexes with dots, leads to what has none."""

    def __init__(self, rule: Rule, path: str) -> None:
        super().__init__(f"{_SENTENCES[rule]}, '{path}'" if path else _SENTENCES[rule])
        self.rule = rule
        self.path = path


def canonical(value: Any) -> bytes:
    """The canonical form of a JSON value. Raises NotCanonical."""
    plain = _plain(value)
    if plain is not None:
        return plain
    text = canonical_text(value)
    if "\\ud" in text or _SUSPECT.search(_outside_strings(text)):
        check(value)
    return text.encode()


def canonical_text(value: Any) -> str:
    """The canonical form of a JSON value, without looking whether every client makes the same of it."""
    return _encode(value).replace("\x7f", "\\u007f")


def check(value: Any) -> None:
    """Raise NotCanonical, with the path of the first offender, unless a JSON value has a canonical form."""
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        path, item = todo.pop()
        if isinstance(item, dict):
            _check_keys(path, item)
            todo.extend((f"{path}.{key}" if path else key, item[key]) for key in reversed(item))
        elif isinstance(item, list):
            todo.extend((f"{path}.{at}" if path else str(at), item[at]) for at in reversed(range(len(item))))
        elif isinstance(item, str):
            _check_text(path, item)
        elif isinstance(item, float):
            raise NotCanonical("float", path)
        elif isinstance(item, int) and not -SAFE_INTEGER <= item <= SAFE_INTEGER:
            raise NotCanonical("integer", path)


def envelope(fragments: Iterable[bytes], timestamp: int) -> bytes:
    """What is signed of a list: the canonical form of `{"data": records, "last_modified": "timestamp"}`.

    `fragments` are the canonical forms of its records in the order of their ids, without tombstones;
    `timestamp` is the list's own (signing section 2.1).
    """
    return b'{"data":[%b],"last_modified":"%d"}' % (b",".join(fragments), timestamp)


def _plain(value: Any) -> bytes | None:
    """The canonical form of a value in which nothing has to be escaped or refused; None for others.

    Most records are such values, and another encoder writes those in a fraction of the time.
    """
    try:
        text = _encode_plain(value)
    except (OverflowError, UnicodeEncodeError):
        return None
    if not text.isascii() or b"\\" in text or b"\x7f" in text:
        return None
    outside = b"".join(text.split(b'"')[::2]).translate(_DIGITS)
    return None if any(mark in outside for mark in _SUSPECT_PLAIN) else text


def _outside_strings(text: str) -> str:
    """What stands outside of the strings of a JSON text, without its literals."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    outside = "".join(text.split('"')[::2])
    return outside.replace("true", "").replace("false", "").replace("null", "")


def _check_keys(path: str, item: dict[str, Any]) -> None:
    for key in item:
        _check_text(f"{path}.{key}" if path else key, key)
    if any(max(key, default="") > "\uffff" for key in item):
        by_units = sorted(item, key=lambda key: key.encode("utf-16-be"))
        if by_units != sorted(item):
            raise NotCanonical("key order", path)


def _check_text(path: str, text: str) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise NotCanonical("surrogate", shown)
