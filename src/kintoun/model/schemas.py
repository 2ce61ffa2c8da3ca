"""JSON Schemas that records, collections and groups have to satisfy (protocol section 5.6).

A schema is accepted when it is a valid one of draft 7. To validate, its `$schema` picks the draft, 2020-12
if there is none. Nothing is ever fetched, and `format` is never enforced.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs as rs

from kintoun.model import json
from kintoun.model.errors import Detail, InvalidParameters
from kintoun.model.schema_cost import MAX_LEVELS, MAX_REFERENCES, MAX_VISITS, Document
from kintoun.model.schema_errors import first_broken, named_path, quoted

COMPILED_SCHEMAS = 256
"""Schemas that are kept compiled in each process."""

RECORD_IGNORES = ("last_modified", "schema")
"""Attributes of a record that its schemas do not see."""

PARENT_IGNORES = ("last_modified",)
"""Attributes of a collection or a group that its bucket's schema does not see."""

_MAX_REGEX_BYTES = 1 << 20
_BACKTRACKS = 5000
# Backtracks times patterns times characters: some seconds of work at the very worst.
_MAX_BACKTRACKING = 5_000_000_000
# Of a validation of more visits only the first error met is looked at, and of more errors only so many.
_MAX_LISTED_VISITS = 20_000
_MAX_COMPARED_ERRORS = 500

_METASCHEMA = "http://json-schema.org/draft-07/schema"
# fmt: off
_KEYWORDS = (
    "$id", "$schema", "$ref", "$comment", "title", "description", "default", "readOnly", "examples",
    "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
    "pattern", "additionalItems", "items", "maxItems", "minItems", "uniqueItems", "contains", "maxProperties",
    "minProperties", "required", "additionalProperties", "definitions", "properties", "patternProperties",
    "dependencies", "propertyNames", "const", "enum", "type", "format", "contentMediaType", "contentEncoding",
    "if", "then", "else", "allOf", "anyOf", "oneOf", "not",
)
# fmt: on
"""The order in which the metaschema of draft 7 looks at keywords."""
_KEYWORD_PLACES = {keyword: place for place, keyword in enumerate(_KEYWORDS)}

_DRAFTS: dict[str, type[rs.Validator]] = {
    "http://json-schema.org/draft-03/schema": rs.Draft4Validator,
    "http://json-schema.org/draft-04/schema": rs.Draft4Validator,
    "http://json-schema.org/draft-06/schema": rs.Draft6Validator,
    "http://json-schema.org/draft-07/schema": rs.Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": rs.Draft201909Validator,
}
_unresolved = re.compile(r"(Pointer|Anchor|Resource) '(.*?)' (?:does not exist|is not present)", re.DOTALL)


class _Ignored:
    """A keyword that asserts nothing."""

    def __init__(self, parent: dict[str, Any], argument: Any, path: list[str | int]) -> None:
        pass

    def validate(self, instance: Any) -> None:
        pass


def schema_error(schema: dict[str, Any]) -> str | None:
    """What is wrong with a schema, if anything: the keyword glued to the sentence, as the protocol has it."""
    if json.depth(schema) > MAX_LEVELS:
        return f"nested deeper than {MAX_LEVELS} levels"
    document = Document(schema)
    if document.references > MAX_REFERENCES:
        return f"more than {MAX_REFERENCES} references"
    metaschema = _metaschema()
    if metaschema.is_valid(schema):
        return None
    errors = sorted(metaschema.iter_errors(schema), key=lambda error: _keyword_order(error, schema))
    broken = first_broken(errors[:1], None, schema)
    last = broken.path[-1] if broken.path else ""
    return f"{last}{broken.description}"


def validate(schema: dict[str, Any], value: dict[str, Any], ignored: Sequence[str] = RECORD_IGNORES) -> None:
    """Check the attributes of an object against a schema.

    The `ignored` names are invisible to the schema, and so is `id` unless its `properties` mention it.
    Raises InvalidParameters for the first rule that is broken, or for a schema that cannot be used.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict) or "id" not in properties:
        ignored = (*ignored, "id")
    try:
        compiled = _compile(json.encode(schema), tuple(ignored))
    except _Unusable as error:
        raise InvalidParameters(Detail("body", "schema", str(error))) from error
    compiled.validate({name: item for name, item in value.items() if name not in ignored})


class _Unusable(Exception):
    """A schema that is valid, but cannot validate anything."""


class _Compiled:
    """A schema, ready to validate."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._document = Document(schema)
        if self._document.references > MAX_REFERENCES or json.depth(schema) > MAX_LEVELS:
            raise _Unusable("The schema is too complex")
        self._weight = self._document.weight()
        if self._weight.visits > MAX_VISITS:
            raise _Unusable("The schema is too complex")
        self._validator, self._backtracking_patterns = _build(schema)

    def validate(self, value: dict[str, Any]) -> None:
        visits = self._check_cost(value)
        if self._validator.is_valid(value):
            return
        if visits <= _MAX_LISTED_VISITS:
            errors = list(islice(self._validator.iter_errors(value), _MAX_COMPARED_ERRORS))
        else:
            errors = [_first_error(self._validator, value)]
        broken = first_broken(errors, self._schema, value)
        raise InvalidParameters(Detail("body", broken.name, broken.description))

    def _check_cost(self, value: dict[str, Any]) -> int:
        """How many visits a validation takes at most; raises InvalidParameters for too many."""
        text = json.encode(value)
        values = 1 + text.count(b",") + text.count(b"[") + text.count(b"{") + text.count(b":")
        visits = self._weight.visits * values
        if self._weight.cyclic or visits > MAX_VISITS:
            visits = self._document.visits(value)
        if visits > MAX_VISITS or self._backtracking_patterns * _BACKTRACKS * len(text) > _MAX_BACKTRACKING:
            raise InvalidParameters(Detail("body", "schema", "Too complex to validate by this schema"))
        return visits


@lru_cache(maxsize=COMPILED_SCHEMAS)
def _compile(text: bytes, ignored: tuple[str, ...]) -> _Compiled:
    schema = json.decode(text)
    required = schema.get("required")
    if isinstance(required, list):
        schema["required"] = [name for name in required if name not in ignored]
    return _Compiled(schema)


def _build(schema: dict[str, Any]) -> tuple[rs.Validator, int]:
    """The validator for a schema, and how many of its patterns may backtrack.

    Patterns are matched in linear time where that is possible, else within a limit of backtracks. A schema
    that is none of the draft it names is taken for one of draft 7, as which it was accepted.
    """
    declared = schema.get("$schema")
    draft = _DRAFTS.get(declared.removesuffix("#")) if isinstance(declared, str) else None
    problem: Exception | None = None
    classes: list[type[rs.Validator]] = [draft or rs.Draft202012Validator, rs.Draft7Validator]
    for cls in classes:
        for backtracking in (False, True):
            try:
                validator = _construct(cls, schema, backtracking=backtracking)
            except ValueError as error:
                if isinstance(error, rs.ValidationError) and isinstance(
                    error.kind, rs.ValidationErrorKind.Referencing
                ):
                    raise _Unusable(_unresolvable(error, schema)) from error
                problem = problem or error
            else:
                return validator, _count_patterns(schema) if backtracking else 0
    raise _Unusable(str(getattr(problem, "message", problem))) from problem


def _construct(cls: type[rs.Validator], schema: dict[str, Any], *, backtracking: bool) -> rs.Validator:
    options: rs.FancyRegexOptions | rs.RegexOptions
    if backtracking:
        options = rs.FancyRegexOptions(
            backtrack_limit=_BACKTRACKS, size_limit=_MAX_REGEX_BYTES, dfa_size_limit=_MAX_REGEX_BYTES
        )
    else:
        options = rs.RegexOptions(size_limit=_MAX_REGEX_BYTES, dfa_size_limit=_MAX_REGEX_BYTES)
    keywords: dict[str, Any] = {"contentEncoding": _Ignored, "contentMediaType": _Ignored}
    if cls in (rs.Draft201909Validator, rs.Draft202012Validator):
        keywords["dependencies"] = _Ignored
    return cls(schema, validate_formats=False, offline=True, pattern_options=options, keywords=keywords)


@lru_cache(maxsize=1)
def _metaschema() -> rs.Validator:
    unenforced = {"uri": _anything, "uri-reference": _anything}
    return rs.Draft7Validator({"$ref": _METASCHEMA + "#"}, validate_formats=True, formats=unenforced)


def _anything(_text: str) -> bool:
    return True


def _keyword_order(error: rs.ValidationError, schema: dict[str, Any]) -> tuple[int, ...]:
    """Where the metaschema comes across an error in a schema."""
    order: list[int] = []
    node: Any = schema
    for step in named_path(schema, error.instance_path):
        if isinstance(step, int):
            order.append(step)
        else:
            order.append(_KEYWORD_PLACES.get(step, len(_KEYWORDS) + list(node).index(step)))
        node = node[step]
    return tuple(order)


def _first_error(validator: rs.Validator, value: dict[str, Any]) -> rs.ValidationError:
    """The first error that the validator meets, whatever the order: collecting all would take too much."""
    try:
        validator.validate(value)
    except rs.ValidationError as error:
        return error
    raise AssertionError("an invalid value validates")


def _unresolvable(error: rs.ValidationError, schema: dict[str, Any]) -> str:
    """What is said of a reference that leads nowhere."""
    found = _unresolved.search(error.message)
    if found is None:
        return f"Unresolvable: {error.message}"
    what, where = found.groups()
    if what == "Resource":
        return f"Unresolvable: {where}"
    kind = "PointerToNowhere" if what == "Pointer" else "NoSuchAnchor"
    return f"{kind}: {quoted(where)} does not exist within {quoted(schema)}"


def _count_patterns(schema: dict[str, Any]) -> int:
    count = 0
    todo: list[Any] = [schema]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            count += "pattern" in item
            patterns = item.get("patternProperties")
            count += len(patterns) if isinstance(patterns, dict) else 0
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
    return max(count, 1)
