"""The three ways to PATCH an object (protocol section 5.3): plain, merge-patch and JSON-Patch.

A patch is parsed once and may be applied several times: nothing it holds is ever changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kintoun.model import json
from kintoun.model.attributes import not_a_mapping
from kintoun.model.envelope import (
    Envelope,
    parse_patch_envelope,
    permission_name_error,
    principals_of,
)
from kintoun.model.errors import Detail, InvalidParameters, invalid
from kintoun.model.json_patch import (
    MAX_OPERATIONS,
    Operation,
    PatchFailed,
    apply_operations,
    parse_operations,
    tokens_of,
)

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Permissions = Mapping[str, Collection[str]]


class Patched(NamedTuple):
    """The outcome of a patch.

    `data` are all the attributes. `permissions` are those to write, with all their principals, None when no
    permission is touched. `submitted` are the attributes that the client gave, as they were applied.
    """

    data: dict[str, Any]
    permissions: dict[str, list[str]] | None
    submitted: dict[str, Any]


class Patch(ABC):
    """Changes to an object that a client asks for."""

    @property
    @abstractmethod
    def submitted(self) -> dict[str, Any]:
        """The attributes that the patch sets, as far as they are known without the object."""

    @abstractmethod
    def with_data(self, data: dict[str, Any]) -> Patch:
        """The same patch with other values for the submitted attributes."""

    @abstractmethod
    def apply(self, data: dict[str, Any], permissions: Permissions) -> Patched:
        """The attributes and permissions of an object, patched. Raises InvalidParameters."""


class PlainPatch(Patch):
    """Attributes and permissions replace those of the same name."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope

    @property
    def submitted(self) -> dict[str, Any]:
        return self.envelope.data or {}

    def with_data(self, data: dict[str, Any]) -> Patch:
        return type(self)(self.envelope._replace(data=data))

    def apply(self, data: dict[str, Any], permissions: Permissions) -> Patched:
        self._check()
        return Patched({**data, **self.submitted}, self.envelope.permissions or None, self.submitted)

    def _check(self) -> None:
        if self.envelope == Envelope(None, None):
            raise invalid("body", "data", "Provide at least one of data or permissions")


class MergePatch(PlainPatch):
    """Attributes are merged as RFC 7396 has it; null removes an attribute and empties a permission."""

    def apply(self, data: dict[str, Any], permissions: Permissions) -> Patched:
        self._check()
        merged = merge(data, self.submitted)
        emptied: dict[str, list[str]] = {name: [] for name in self.envelope.emptied}
        submitted = {name: merged[name] for name in self.submitted if name in merged}
        return Patched(merged, {**emptied, **(self.envelope.permissions or {})} or None, submitted)


class JSONPatch(Patch):
    """Operations on `{"data": {...}, "permissions": {name: {principal: principal}}}`."""

    def __init__(
        self, operations: tuple[Operation, ...], *, kind: str, permissions_allowed: Collection[str]
    ) -> None:
        self._operations = operations
        self._kind = kind
        self._allowed = permissions_allowed

    @property
    def submitted(self) -> dict[str, Any]:
        submitted: dict[str, Any] = {}
        for operation in self._operations:
            submitted.update(_attributes_set_by(operation))
        return submitted

    def with_data(self, data: dict[str, Any]) -> Patch:
        operations = tuple(_with_attributes(operation, data) for operation in self._operations)
        return JSONPatch(operations, kind=self._kind, permissions_allowed=self._allowed)

    def apply(self, data: dict[str, Any], permissions: Permissions) -> Patched:
        # These two can be added to even when nobody holds them; any other has to be added as a whole.
        grants: dict[str, Collection[str]] = {"read": (), "write": (), **permissions}
        document = {
            "data": data,
            "permissions": {name: {who: who for who in holders} for name, holders in grants.items()},
        }
        try:
            patched = apply_operations(document, [_with_principal(each) for each in self._operations])
        except PatchFailed as error:
            raise invalid("body", None, f"JSON Patch operation failed: {error}") from error
        if "data" not in patched:
            raise invalid("body", "data", "Required")
        attributes = patched["data"]
        if not isinstance(attributes, dict):
            raise invalid("body", "data", not_a_mapping(attributes))
        self._check_password(data, attributes)
        touched = self._touched(patched.get("permissions"), grants)
        return Patched(attributes, touched, attributes)

    def _touched(self, patched: Any, before: Permissions) -> dict[str, list[str]] | None:
        """The permissions that are not what they were. Those that the patch removes stay (trap 45)."""
        if patched is None:
            return None
        if not isinstance(patched, dict):
            raise invalid("body", "permissions", not_a_mapping(patched))
        wrong: list[Detail] = []
        touched = {}
        for name, holders in patched.items():
            if name not in self._allowed:
                raise InvalidParameters(permission_name_error(name, self._allowed))
            principals = principals_of(name, list(holders) if isinstance(holders, dict) else holders, wrong)
            if set(principals) != set(before.get(name, ())):
                touched[name] = principals
        if wrong:
            raise InvalidParameters(*wrong)
        return touched or None

    def _check_password(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """What is moved or copied to a password would not have been hashed."""
        if self._kind != "account" or after.get("password") == before.get("password"):
            return
        if "password" in after and after["password"] != self.submitted.get("password"):
            raise invalid("body", "password", "Only 'add' and 'replace' can set a password")


def parse_patch(
    body: Any,
    media_type: str,
    *,
    kind: str,
    permissions_allowed: Collection[str],
    max_operations: int = MAX_OPERATIONS,
) -> Patch:
    """The patch in a request body; its media type, without parameters, tells of which sort it is.

    `kind` is the name of the object's kind, `permissions_allowed` what may be granted on it. Raises
    InvalidParameters.
    """
    if media_type == JSON_PATCH:
        operations = parse_operations(body, max_operations=max_operations)
        return JSONPatch(operations, kind=kind, permissions_allowed=permissions_allowed)
    envelope = parse_patch_envelope(body, permissions_allowed=permissions_allowed)
    return MergePatch(envelope) if media_type == MERGE_PATCH else PlainPatch(envelope)


def merge(target: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396: the target with the members of the patch merged in; the target itself stays as it is."""
    merged = dict(target) if isinstance(target, dict) else {}
    todo = [(merged, patch)]
    while todo:
        into, changes = todo.pop()
        for name, value in changes.items():
            if value is None:
                into.pop(name, None)
            elif isinstance(value, dict):
                old = into.get(name)
                into[name] = dict(old) if isinstance(old, dict) else {}
                todo.append((into[name], value))
            else:
                into[name] = value
    return merged


def response_body(
    behavior: str, submitted: dict[str, Any], old: dict[str, Any], new: dict[str, Any]
) -> dict[str, Any]:
    """The attributes that the answer to a PATCH shows, by its Response-Behavior.

    `full`: all of them; `light`: the submitted ones that changed; `diff`: the submitted ones whose value in
    the end is not the submitted one.
    """
    if behavior == "full":
        return new
    reference = old if behavior == "light" else submitted
    return {
        name: new[name]
        for name in submitted
        if name in new and not json.equal(reference.get(name), new[name])
    }


def _attributes_set_by(operation: Operation) -> dict[str, Any]:
    if operation.op not in ("add", "replace") or not operation.has_value:
        return {}
    try:
        tokens = tokens_of(operation.path)
    except PatchFailed:
        return {}
    if tokens[0] != "data":
        return {}
    if len(tokens) == 2:
        return {tokens[1]: operation.value}
    return operation.value if len(tokens) == 1 and isinstance(operation.value, dict) else {}


def _with_attributes(operation: Operation, data: dict[str, Any]) -> Operation:
    """The operation with the values of the given attributes, for those that it sets."""
    replaced = {name: data.get(name, value) for name, value in _attributes_set_by(operation).items()}
    if not replaced:
        return operation
    tokens = tokens_of(operation.path)
    return operation._replace(value=replaced if len(tokens) == 1 else replaced[tokens[1]])


def _with_principal(operation: Operation) -> Operation:
    """The operation with the value that may be left out: the principal of `/permissions/read/principal`."""
    if operation.has_value or not operation.path.startswith(("/permissions/read/", "/permissions/write/")):
        return operation
    tokens = operation.path.split("/")
    if len(tokens) != 4:
        return operation
    principal = tokens[3].replace("~1", "/").replace("~0", "~")
    return operation._replace(value=principal, has_value=True)
