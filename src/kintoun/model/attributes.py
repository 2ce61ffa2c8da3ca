"""The attributes that a rule of the protocol looks at, by kind (protocol sections 3.1, 5.6, 8.2 and 9.3).

Objects are otherwise free of any schema. A rule may correct a value (`"10"` becomes 10) and reports what it
cannot correct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kintoun.model.errors import Detail, InvalidParameters
from kintoun.model.schemas import schema_error

MAX_PASSWORD_BYTES = 4096
"""Longer passwords are refused: nobody types them, and hashing costs by the byte."""

_MAX_SHOWN = 1000
_INT64 = range(-(2**63), 2**63)

Rule = Callable[[dict[str, Any], str], Iterator[Detail]]
"""Corrects the attributes in place; yields what is wrong, names beginning with the given prefix."""


def shown(value: Any) -> str:
    """A value as error messages quote it."""
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def not_a_mapping(value: Any) -> str:
    """What is said of a value that had to be a JSON object."""
    return f'"{shown(value)}" is not a mapping type: Does not implement dict-like functionality.'


def not_iterable(value: Any) -> str:
    """What is said of a value that had to be a JSON array."""
    return f'"{shown(value)}" is not iterable'


def string_error(value: Any, field: str) -> str | None:
    """What is wrong with a value that has to be a non-empty string; `field` is its key, "" in an array."""
    if not value:
        return "Required"
    if not isinstance(value, str):
        return f"{shown(value)} is not a string: {{'{field}': ''}}"
    return None


def correct(kind: str, data: dict[str, Any], prefix: str = "") -> tuple[dict[str, Any], list[Detail]]:
    """The attributes of an object of a kind, corrected, and everything that is wrong with them.

    `prefix` begins the names: "data." for the attributes of a request, nothing for those of a patched object.
    """
    rule = RULES.get(kind)
    if rule is None:
        return data, []
    corrected = dict(data)
    return corrected, list(rule(corrected, prefix))


def check_attributes(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a patched object, corrected; raises InvalidParameters for the first wrong one."""
    corrected, wrong = correct(kind, data)
    if wrong:
        raise InvalidParameters(wrong[0])
    return corrected


def _bucket(data: dict[str, Any], prefix: str) -> Iterator[Detail]:
    for name in ("collection:schema", "group:schema", "record:schema"):
        yield from _schema(data, name, prefix)


def _collection(data: dict[str, Any], prefix: str) -> Iterator[Detail]:
    yield from _schema(data, "schema", prefix)
    yield from _cache_expires(data, prefix)


def _group(data: dict[str, Any], prefix: str) -> Iterator[Detail]:
    members = data.setdefault("members", [])
    if not isinstance(members, list):
        yield Detail("body", f"{prefix}members", not_iterable(members))
        return
    for index, member in enumerate(members):
        wrong = string_error(member, "")
        if wrong is None and (member == "system.Everyone" or member.startswith("/buckets/")):
            wrong = f"'{shown(member)}' is not a valid user ID."
        if wrong is not None:
            yield Detail("body", f"{prefix}members.{index}", wrong)


def _account(data: dict[str, Any], prefix: str) -> Iterator[Detail]:
    password = data.get("password")
    wrong = string_error(password, "password")
    if wrong is None and len(password.encode()) > MAX_PASSWORD_BYTES:  # type: ignore[union-attr]
        wrong = f"Longer than {MAX_PASSWORD_BYTES} bytes"
    if wrong is not None:
        yield Detail("body", f"{prefix}password", wrong)


def _schema(data: dict[str, Any], name: str, prefix: str) -> Iterator[Detail]:
    if name not in data:
        return
    schema = data[name]
    wrong = schema_error(schema) if isinstance(schema, dict) else not_a_mapping(schema)
    if wrong is not None:
        yield Detail("body", prefix + name, wrong)


def _cache_expires(data: dict[str, Any], prefix: str) -> Iterator[Detail]:
    if "cache_expires" not in data:
        return
    value = data["cache_expires"]
    if not value and value != 0:
        del data["cache_expires"]
        return
    try:
        seconds = int(value)
    except (TypeError, ValueError):
        seconds = None
    if seconds is None or seconds not in _INT64:
        yield Detail("body", f"{prefix}cache_expires", f'"{shown(value)}" is not a number')
    else:
        data["cache_expires"] = seconds


RULES: Mapping[str, Rule] = {
    "account": _account,
    "bucket": _bucket,
    "collection": _collection,
    "group": _group,
}
"""The rule of each kind that has one."""
