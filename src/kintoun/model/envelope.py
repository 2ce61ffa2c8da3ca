"""The envelope of an object in a request: `{"data": {...}, "permissions": {...}}` (protocol section 3.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kintoun.model.attributes import RULES, correct, not_a_mapping, not_iterable, shown, string_error
from kintoun.model.errors import Detail, InvalidParameters
from kintoun.model.tuples import made

MEMBERS = frozenset(("data", "permissions"))


class Envelope(NamedTuple):
    """What a request says of an object; None for a member that it does not mention.

    `permissions` maps names to principals, each once, in the order given. A name that was given as null is
    in `emptied` instead: a merge-patch empties it, every other write ignores it.
    """

    data: dict[str, Any] | None
    permissions: dict[str, list[str]] | None
    emptied: tuple[str, ...] = ()


def parse_envelope(
    body: Any, *, kind: str, permissions_allowed: Collection[str], data_required: bool = False
) -> Envelope:
    """The envelope of a POST or a PUT, its attributes corrected by the rules of the kind.

    `data_required` refuses a body without data, as accounts do. Raises InvalidParameters with everything
    that is wrong.
    """
    if isinstance(body, dict) and len(body) == 1 and isinstance(body.get("data"), dict) and kind not in RULES:
        return made(Envelope, (body["data"], None, ()))  # as most are
    data, permissions, emptied, wrong = _members(body, permissions_allowed)
    if data is not None:
        data, wrong_attributes = correct(kind, data, "data.")
        wrong.extend(wrong_attributes)
    elif data_required and "data" not in body:
        wrong.append(Detail("body", "data", "Required"))
    if wrong:
        raise InvalidParameters(*wrong)
    return Envelope(data, permissions, emptied)


def parse_patch_envelope(body: Any, *, permissions_allowed: Collection[str]) -> Envelope:
    """The envelope of a PATCH, plain or merge, whose attributes are checked once they are merged.

    That at least one member is there is checked then too: 404 and 412 come first (protocol section 1.5).
    Raises InvalidParameters.
    """
    data, permissions, emptied, wrong = _members(body, permissions_allowed)
    if wrong:
        raise InvalidParameters(*wrong)
    return Envelope(data, permissions, emptied)


def unknown_keys(value: Mapping[str, Any], known: frozenset[str]) -> str | None:
    """What is said of a JSON object that has other keys than the known ones."""
    if value.keys() <= known:
        return None
    return f'Unrecognized keys in mapping: "{shown({key: value[key] for key in value if key not in known})}"'


def check_mapping(value: Any, known: frozenset[str]) -> None:
    """Refuse a body that is no JSON object or has unknown keys; nothing else is said of such a body."""
    if not isinstance(value, dict):
        raise InvalidParameters(Detail("body", "", not_a_mapping(value)))
    unknown = unknown_keys(value, known)
    if unknown is not None:
        raise InvalidParameters(Detail("body", "", unknown))


def permission_name_error(name: str, allowed: Collection[str]) -> Detail:
    """What is said of a permission that the kind does not have."""
    return Detail("body", "permissions", f'"{shown(name)}" is not one of {", ".join(allowed)}')


_Members = tuple[dict[str, Any] | None, dict[str, list[str]] | None, tuple[str, ...], list[Detail]]


def _members(body: Any, permissions_allowed: Collection[str]) -> _Members:
    check_mapping(body, MEMBERS)
    wrong: list[Detail] = []
    data = permissions = None
    emptied: tuple[str, ...] = ()
    if "data" in body:
        data = body["data"]
        if not isinstance(data, dict):
            wrong.append(Detail("body", "data", not_a_mapping(data)))
            data = None
    if "permissions" in body:
        given = body["permissions"]
        if isinstance(given, dict):
            permissions, emptied = _permissions(given, permissions_allowed, wrong)
        else:
            wrong.append(Detail("body", "permissions", not_a_mapping(given)))
    return data, permissions, emptied, wrong


def _permissions(
    given: dict[str, Any], allowed: Collection[str], wrong: list[Detail]
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    mentioned = {name: principals for name, principals in given.items() if principals is not None}
    for name in mentioned:
        if name not in allowed:
            wrong.append(permission_name_error(name, allowed))
            return {}, ()
    emptied = tuple(name for name in given if given[name] is None and name in allowed)
    return {name: principals_of(name, given, wrong) for name, given in mentioned.items()}, emptied


def principals_of(permission: str, given: Any, wrong: list[Detail]) -> list[str]:
    """The principals of one permission, each once; what is wrong with them is added to `wrong`."""
    name = f"permissions.{permission}"
    if not isinstance(given, list):
        wrong.append(Detail("body", name, not_iterable(given)))
        return []
    for index, principal in enumerate(given):
        error = string_error(principal, "")
        if error is not None:
            wrong.append(Detail("body", f"{name}.{index}", error))
    return list(dict.fromkeys(p for p in given if isinstance(p, str)))
