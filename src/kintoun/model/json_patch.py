"""RFC 6902 JSON Patch, with limits: the operations, and their application to a document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from kintoun.model import json
from kintoun.model.attributes import not_a_mapping, not_iterable, shown, string_error
from kintoun.model.envelope import unknown_keys
from kintoun.model.errors import Detail, InvalidParameters

OPERATIONS = ("test", "add", "remove", "replace", "move", "copy")
MAX_OPERATIONS = 1000
MAX_CARRIED_BYTES = 4 * 1024 * 1024
"""JSON that the copies and moves of one patch may carry, so that no patch doubles a document at will."""

_FIELDS = frozenset(("op", "path", "from", "value"))
_NEEDS_VALUE = frozenset({"test", "add", "replace"})
_NEEDS_SOURCE = frozenset({"move", "copy"})
_index = re.compile(r"0|[1-9][0-9]{0,8}").fullmatch
_invalid_escape = re.compile(r"~(?![01])").search


class Operation(NamedTuple):
    """One operation. `path` and `source` (`from`) are JSON pointers; `has_value` tells a null from none."""

    op: str
    path: str
    source: str | None = None
    value: Any = None
    has_value: bool = False


class PatchFailed(Exception):
    """An operation that the document does not allow."""


def parse_operations(body: Any, *, max_operations: int = MAX_OPERATIONS) -> tuple[Operation, ...]:
    """The operations of a patch. Raises InvalidParameters with all that is ill-formed, named `0.op`, …"""
    if not isinstance(body, list):
        raise InvalidParameters(Detail("body", "", not_iterable(body)))
    if len(body) > max_operations:
        limit = f"Number of operations is limited to {max_operations}"
        raise InvalidParameters(Detail("body", "", limit))
    wrong = [detail for index, item in enumerate(body) for detail in _errors(str(index), item)]
    if wrong:
        raise InvalidParameters(*wrong)
    return tuple(
        Operation(item["op"], item["path"], item.get("from") or None, item.get("value"), "value" in item)
        for item in body
    )


def _errors(name: str, item: Any) -> list[Detail]:
    if not isinstance(item, dict):
        return [Detail("body", name, not_a_mapping(item))]
    unknown = unknown_keys(item, _FIELDS)
    if unknown is not None:
        return [Detail("body", name, unknown)]
    op = item.get("op")
    error = string_error(op, "op")
    if error is None and op not in OPERATIONS:
        error = f'"{shown(op)}" is not one of {", ".join(OPERATIONS)}'
    errors = {"op": error, "path": _pointer_error(item.get("path"), "path")}
    if item.get("from"):
        errors["from"] = _pointer_error(item["from"], "from")
    return [Detail("body", f"{name}.{field}", error) for field, error in errors.items() if error]


def _pointer_error(pointer: Any, field: str) -> str | None:
    error = string_error(pointer, field)
    if error is None and not pointer.startswith("/"):
        return "String does not match expected pattern"
    return error


def tokens_of(pointer: str) -> list[str]:
    """The reference tokens of a JSON pointer that is not empty. Raises PatchFailed."""
    if _invalid_escape(pointer):
        raise PatchFailed(f"invalid escape in '{shown(pointer)}'")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def apply_operations(document: Any, operations: Sequence[Operation]) -> Any:
    """A copy of the document with the operations applied. Raises PatchFailed; nothing given is changed."""
    engine = _Engine(json.clone(document))
    for operation in operations:
        engine.apply(operation)
    return engine.document


class _Engine:
    """The document while it is being patched."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._carried = 0

    def apply(self, operation: Operation) -> None:
        if operation.op in _NEEDS_VALUE and not operation.has_value:
            raise PatchFailed(f"'{operation.op}' needs a 'value'")
        if operation.op in _NEEDS_SOURCE and operation.source is None:
            raise PatchFailed(f"'{operation.op}' needs a 'from'")
        tokens = tokens_of(operation.path)
        if operation.op == "test":
            if not json.equal(self._read(tokens), operation.value):
                raise PatchFailed(f"'{shown(operation.path)}' is not equal to the tested value")
        elif operation.op == "add":
            self._add(tokens, json.clone(operation.value))
        elif operation.op == "remove":
            self._remove(tokens)
        elif operation.op == "replace":
            self._replace(tokens, json.clone(operation.value))
        else:
            self._carry(operation, tokens)

    def _carry(self, operation: Operation, tokens: list[str]) -> None:
        source = tokens_of(operation.source or "")
        moves = operation.op == "move"
        if moves and source == tokens[: len(source)] and len(source) < len(tokens):
            raise PatchFailed("a value cannot be moved into itself")
        value = self._read(source)
        text = json.encode(value)
        self._carried += len(text)
        if self._carried > MAX_CARRIED_BYTES:
            raise PatchFailed(f"more than {MAX_CARRIED_BYTES} bytes are copied or moved")
        if moves:
            self._remove(source)
        else:
            value = json.clone(value)
        self._add(tokens, value)

    def _read(self, tokens: list[str]) -> Any:
        value = self.document
        for token in tokens:
            if isinstance(value, dict) and token in value:
                value = value[token]
            elif isinstance(value, list):
                value = value[_existing(value, token)]
            else:
                raise PatchFailed(f"'{shown(token)}' does not exist")
        return value

    def _add(self, tokens: list[str], value: Any) -> None:
        container, last = self._read(tokens[:-1]), tokens[-1]
        _check_depth(tokens, value)
        if isinstance(container, dict):
            container[last] = value
        elif isinstance(container, list):
            index = len(container) if last == "-" else _position(last)
            if index > len(container):
                raise PatchFailed(f"'{last}' is beyond the end of the array")
            container.insert(index, value)
        else:
            raise PatchFailed(f"'{shown(last)}' cannot be added to a scalar")

    def _remove(self, tokens: list[str]) -> None:
        container, last = self._read(tokens[:-1]), tokens[-1]
        if isinstance(container, dict) and last in container:
            del container[last]
        elif isinstance(container, list):
            del container[_existing(container, last)]
        else:
            raise PatchFailed(f"'{shown(last)}' does not exist")

    def _replace(self, tokens: list[str], value: Any) -> None:
        container, last = self._read(tokens[:-1]), tokens[-1]
        _check_depth(tokens, value)
        if isinstance(container, dict) and last in container:
            container[last] = value
        elif isinstance(container, list):
            container[_existing(container, last)] = value
        else:
            raise PatchFailed(f"'{shown(last)}' does not exist")


def _check_depth(tokens: list[str], value: Any) -> None:
    if isinstance(value, (dict, list)) and len(tokens) + json.depth(value) > json.MAX_DEPTH:
        raise PatchFailed(f"the result is nested deeper than {json.MAX_DEPTH} levels")


def _position(token: str) -> int:
    if not _index(token):
        raise PatchFailed(f"'{shown(token)}' is not a position in an array")
    return int(token)


def _existing(array: list[Any], token: str) -> int:
    index = _position(token)
    if index >= len(array):
        raise PatchFailed(f"'{token}' is beyond the end of the array")
    return index
