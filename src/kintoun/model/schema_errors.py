"""The words for a value that breaks a JSON Schema (protocol section 5.6): clients show them to people.

The validator reports every error in an order of its own; the protocol names the first one in the order of
the schema's text, in the wording and with the notation of Python's values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jsonschema_rs import ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

_MAX_QUOTED = 1000
_NAMES_MEMBERS = frozenset({"properties", "patternProperties"})
_NAMES_CONDITIONS = frozenset({"dependentSchemas", "dependencies"})
_CHILDREN = frozenset(
    {"items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties"}
)


class Broken(NamedTuple):
    """The rule that a value breaks: the field's name, the path of it in the value, and the sentence."""

    name: str
    path: tuple[str | int, ...]
    description: str


def first_broken(errors: Iterable[ValidationError], schema: Any, value: Any) -> Broken:
    """The first error in the order of the schema, in words; the schema is None for the metaschema."""
    found = list(errors)
    error = found[0] if len(found) == 1 else min(found, key=lambda each: _order(each, schema, value))
    return _in_words(error, schema, value)


def named_path(container: Any, path: Iterable[str | int]) -> tuple[str | int, ...]:
    """A path that the validator gives, with the keys as they stand in the value."""
    steps: list[str | int] = []
    for step in path:
        steps.append(_key(container, step) if isinstance(container, dict) else step)
        container = _child(container, step)
    return tuple(steps)


def quoted(value: Any) -> str:
    """A value in Python's notation, shortened if need be."""
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


def _order(error: ValidationError, schema: Any, value: Any) -> tuple[int, ...]:
    """Where the broken keyword stands: the places of the steps that lead to it, in schema and value."""
    order: list[int] = []
    node = schema
    path = list(error.instance_path)
    holder = ""  # the keyword whose names the next step picks from; none: the step is a keyword
    for step in error.evaluation_path:
        order.append(_place(node, step))
        node = _child(node, step)
        descends = holder in _NAMES_MEMBERS if holder else step in _CHILDREN
        if descends and path:
            order.append(_place(value, path[0]))
            value = _child(value, path.pop(0))
        if not holder and step == "$ref":
            node = _local_target(schema, node)
        holder = str(step) if not holder and step in _NAMES_MEMBERS | _NAMES_CONDITIONS else ""
    return tuple(order)


def _place(container: Any, step: str | int) -> int:
    if isinstance(container, dict):
        key = _key(container, step)
        return list(container).index(key) if key in container else -1
    return step if isinstance(step, int) else -1


def _child(container: Any, step: str | int) -> Any:
    if isinstance(container, dict):
        return container.get(_key(container, step))
    if isinstance(container, list) and isinstance(step, int) and step < len(container):
        return container[step]
    return None


def _key(container: dict[str, Any], step: str | int) -> str:
    """The key that a step stands for: the validator gives the key `007` as the number 7."""
    if isinstance(step, str) or str(step) in container:
        return str(step)
    alike = (key for key in container if key.isascii() and (key.lstrip("0") or "0") == str(step))
    return next(alike, str(step))


def _local_target(root: Any, reference: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target = root
    for token in reference.split("/")[1:]:
        target = _child(target, token.replace("~1", "/").replace("~0", "~"))
    return target


def _follow(container: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        container = _child(container, step)
    return container


def _in_words(error: ValidationError, schema: Any, value: Any) -> Broken:
    path = named_path(value, error.instance_path)
    argument = _follow(schema, error.schema_path)
    keyword = error.kind.name
    if path:
        name = str(path[-1])
    elif keyword == "required" and isinstance(argument, list) and argument:
        # Not the one that is missing, but the last one: this is what clients have always been told.
        name = str(argument[-1])
    elif keyword == "propertyNames":
        name = str(error.kind.error.instance)  # type: ignore[attr-defined]
    else:
        name = _keyword(error)
    return Broken(name, path, _describe(error, schema, _follow(value, path)))


def _keyword(error: ValidationError) -> str:
    """The keyword that is broken, as it is written in the schema."""
    written = [step for step in error.schema_path if isinstance(step, str)]
    return written[-1] if written else error.kind.name


_SENTENCES: dict[type, str] = {
    Kind.Minimum: "{what} is less than the minimum of {kind.limit!r}",
    Kind.ExclusiveMinimum: "{what} is less than or equal to the minimum of {kind.limit!r}",
    Kind.Maximum: "{what} is greater than the maximum of {kind.limit!r}",
    Kind.ExclusiveMaximum: "{what} is greater than or equal to the maximum of {kind.limit!r}",
    Kind.MultipleOf: "{what} is not a multiple of {kind.multiple_of}",
    Kind.Pattern: "{what} does not match {argument}",
    Kind.BacktrackLimitExceeded: "{what} takes too long to match {argument}",
    Kind.RegexEngineFailure: "{what} cannot be matched to {argument}",
    Kind.Format: "{what} is not a {kind.format!r}",
    Kind.Enum: "{what} is not one of {argument}",
    Kind.Constant: "{argument} was expected",
    Kind.UniqueItems: "{what} has non-unique elements",
    Kind.AnyOf: "{what} is not valid under any of the given schemas",
    Kind.OneOfNotValid: "{what} is not valid under any of the given schemas",
    Kind.Not: "{what} should not be valid under {argument}",
}
"""By the kind of an error; `what` and `argument` stand for the value and what the keyword says, quoted."""

_LENGTHS: dict[type, tuple[int, str, str]] = {
    Kind.MinLength: (1, "should be non-empty", "is too short"),
    Kind.MinItems: (1, "should be non-empty", "is too short"),
    Kind.MinProperties: (1, "should be non-empty", "does not have enough properties"),
    Kind.MaxLength: (0, "is expected to be empty", "is too long"),
    Kind.MaxItems: (0, "is expected to be empty", "is too long"),
    Kind.MaxProperties: (0, "is expected to be empty", "has too many properties"),
}
"""By the kind of an error: a limit that has words of its own, these words, and those of any other limit."""


def _describe(error: ValidationError, schema: Any, instance: Any) -> str:
    """The sentence for an error about the given part of the value."""
    kind: Any = error.kind
    argument = _follow(schema, error.schema_path)
    what = quoted(instance)
    if type(kind) in _SENTENCES:
        return _SENTENCES[type(kind)].format(what=what, kind=kind, argument=quoted(argument))
    if type(kind) in _LENGTHS:
        special, its_words, words = _LENGTHS[type(kind)]
        return f"{what} {its_words if kind.limit == special else words}"
    if isinstance(kind, Kind.Type):
        # The validator sorts the types, which the metaschema (not at hand here) writes the other way round.
        types = argument or sorted(kind.types, reverse=True)
        types = types if isinstance(types, list) else [types]
        return f"{what} is not of type {', '.join(map(quoted, types))}"
    if isinstance(kind, Kind.OneOfMultipleValid):
        fits = [_child(argument, index) for index, errors in enumerate(kind.context) if not errors]
        return f"{what} is valid under each of {', '.join(map(quoted, [*fits[1:], *fits[:1]]))}"
    if isinstance(kind, Kind.PropertyNames):
        return _describe(kind.error, schema, kind.error.instance)
    return _describe_members(error, schema, instance)


def _describe_members(error: ValidationError, schema: Any, instance: Any) -> str:
    """The sentence for an error about what an object or an array lacks or has too much."""
    kind: Any = error.kind
    keyword = _keyword(error)
    if isinstance(kind, Kind.Required):
        return _missing(kind.property, _follow(schema, error.schema_path), instance, keyword)
    if keyword == "additionalProperties" and isinstance(instance, dict):
        patterns = _follow(schema, error.schema_path[:-1]).get("patternProperties")
        return _additional(sorted(getattr(kind, "unexpected", instance)), patterns)
    if isinstance(kind, Kind.UnevaluatedProperties):
        return _unexpected(sorted(kind.unexpected), "Unevaluated properties are not allowed")
    if isinstance(kind, Kind.AdditionalItems):
        return _unexpected(instance[kind.limit :], "Additional items are not allowed")
    if keyword == "contains":
        if _is_before_2019(schema):
            return f"None of {quoted(instance)} are valid under the given schema"
        return f"{quoted(instance)} does not contain items matching the given schema"
    if isinstance(kind, Kind.FalseSchema):
        return f"False schema does not allow {quoted(instance)}"
    return str(error.message)


def _is_before_2019(schema: Any) -> bool:
    return "/draft-0" in str(schema.get("$schema", "")) if isinstance(schema, dict) else False


def _missing(name: str, argument: Any, instance: Any, keyword: str) -> str:
    if keyword == "required":
        return f"{quoted(name)} is a required property"
    for member, needed in argument.items() if isinstance(argument, dict) else ():
        if member in instance and isinstance(needed, list) and name in needed:
            return f"{quoted(name)} is a dependency of {quoted(member)}"
    return f"{quoted(name)} is a dependency"


def _additional(extras: Sequence[str], patterns: Any) -> str:
    if not patterns:
        return _unexpected(extras, "Additional properties are not allowed")
    names = ", ".join(map(quoted, extras))
    verb = "does" if len(extras) == 1 else "do"
    return f"{names} {verb} not match any of the regexes: {', '.join(map(quoted, sorted(patterns)))}"


def _unexpected(extras: Sequence[Any], sentence: str) -> str:
    names = ", ".join(map(quoted, extras))
    return f"{sentence} ({names} {'was' if len(extras) == 1 else 'were'} unexpected)"
