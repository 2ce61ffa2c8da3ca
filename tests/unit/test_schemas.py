"""JSON Schemas: which are accepted, what they see, the words of their errors, and what they may cost."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model import json
from kintoun.model.errors import InvalidParameters
from kintoun.model.schema_cost import MAX_LEVELS, MAX_REFERENCES, MAX_VISITS, Document
from kintoun.model.schemas import PARENT_IGNORES, RECORD_IGNORES, schema_error, validate

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DIGITS = "1" * 5000
"""A number that Python refuses to read."""


def broken(
    schema: dict[str, Any], value: dict[str, Any], ignored: Any = RECORD_IGNORES
) -> tuple[str | None, str]:
    with pytest.raises(InvalidParameters) as caught:
        validate(schema, value, ignored)
    assert (caught.value.status, caught.value.errno) == (400, 107)
    [detail] = caught.value.broken
    assert detail.location == "body"
    return detail.name, detail.description


def a(schema: Any) -> dict[str, Any]:
    return {"properties": {"a": schema}}


# Which schemas are accepted: what the reference answers.


@pytest.mark.parametrize(
    "schema",
    [
        {}, {"type": "object"}, {"$ref": "http://x/y"}, {"$ref": "#/nowhere"}, {"enum": []}, {"enum": [1, 1]},
        {"$schema": "http://foo"}, {"$id": "a b"}, {"default": None}, {"const": 1}, {"a": None},
        {"items": [{"type": "string"}]}, {"dependencies": {"a": ["b"]}}, {"pattern": "^(?=a)b$"},
        {"properties": {"a": True, "b": False}}, {"format": "no such format"}, {"minLength": 1.0},
    ],
)  # fmt: skip
def test_a_schema_of_draft_7_is_accepted(schema: dict[str, Any]) -> None:
    assert schema_error(schema) is None


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ({"type": "bogus"}, "type'bogus' is not valid under any of the given schemas"),
        ({"properties": 1}, "properties1 is not of type 'object'"),
        ({"properties": {"a": {"type": 1}}}, "type1 is not valid under any of the given schemas"),
        ({"required": "x"}, "required'x' is not of type 'array'"),
        ({"required": ["a", 1]}, "11 is not of type 'string'"),
        ({"required": ["a", "a"]}, "required['a', 'a'] has non-unique elements"),
        ({"minimum": "x", "maximum": "y"}, "maximum'y' is not of type 'number'"),
        ({"maximum": "x", "$id": 1, "type": 1}, "$id1 is not of type 'string'"),
        ({"type": "x", "properties": 1}, "properties1 is not of type 'object'"),
        ({"pattern": "("}, "pattern'(' is not a 'regex'"),
        ({"patternProperties": {"(": {}}}, "patternProperties'(' is not a 'regex'"),
        ({"$ref": 1}, "$ref1 is not of type 'string'"),
        ({"enum": 1}, "enum1 is not of type 'array'"),
        (
            {"exclusiveMinimum": True, "$schema": DRAFT_4},
            "exclusiveMinimumTrue is not of type 'number'",
        ),
        ({"additionalProperties": 1}, "additionalProperties1 is not of type 'object', 'boolean'"),
        ({"minLength": -1}, "minLength-1 is less than the minimum of 0"),
        ({"minLength": 1.5}, "minLength1.5 is not of type 'integer'"),
        ({"multipleOf": 0}, "multipleOf0 is less than or equal to the minimum of 0"),
        ({"definitions": {"a": {"type": "zz"}}}, "type'zz' is not valid under any of the given schemas"),
        ({"definitions": {"007": {"minimum": "x"}}}, "minimum'x' is not of type 'number'"),
        ({"definitions": {DIGITS: {}, "007": {"minimum": "x"}}}, "minimum'x' is not of type 'number'"),
        ({"items": [{"type": "q"}]}, "items[{'type': 'q'}] is not valid under any of the given schemas"),
        ({"anyOf": []}, "anyOf[] should be non-empty"),
        ({"allOf": [1]}, "01 is not of type 'object', 'boolean'"),
        ({"dependencies": {"a": 1}}, "a1 is not valid under any of the given schemas"),
        ({"format": 1}, "format1 is not of type 'string'"),
        ({"minimum": None}, "minimumNone is not of type 'number'"),
    ],
)
def test_any_other_is_refused_with_its_keyword_glued_to_the_sentence(schema: Any, error: str) -> None:
    assert schema_error(schema) == error


# Validation: what the reference answers. The name is that of the field, or of the keyword.

REQUIRED_B = {"required": ["b"]}
CASES: list[tuple[dict[str, Any], dict[str, Any], tuple[str, str]]] = [
    ({"required": ["t"]}, {}, ("t", "'t' is a required property")),
    ({"required": ["a", "b"]}, {"b": 1}, ("b", "'a' is a required property")),
    ({"properties": {"o": REQUIRED_B}}, {"o": {}}, ("o", "'b' is a required property")),
    (a({"type": "string"}), {"a": 1}, ("a", "1 is not of type 'string'")),
    (a({"type": "string"}), {"a": 1.0}, ("a", "1.0 is not of type 'string'")),
    (a({"type": "string"}), {"a": None}, ("a", "None is not of type 'string'")),
    (a({"type": "string"}), {"a": [1, {"x": "é"}]}, ("a", "[1, {'x': 'é'}] is not of type 'string'")),
    (a({"type": ["string", "null"]}), {"a": True}, ("a", "True is not of type 'string', 'null'")),
    (a({"type": "integer"}), {"a": True}, ("a", "True is not of type 'integer'")),
    (a({"items": {"type": "string"}}), {"a": ["x", 1, 2]}, ("1", "1 is not of type 'string'")),
    (a({"prefixItems": [{"type": "string"}]}), {"a": [1]}, ("0", "1 is not of type 'string'")),
    ({"maxProperties": 0}, {"a": 1}, ("maxProperties", "{'a': 1} is expected to be empty")),
    ({"minProperties": 2}, {}, ("minProperties", "{} does not have enough properties")),
    ({"type": "array"}, {}, ("type", "{} is not of type 'array'")),
    ({"not": REQUIRED_B}, {"b": 1}, ("not", "{'b': 1} should not be valid under {'required': ['b']}")),
    ({"anyOf": [REQUIRED_B]}, {}, ("anyOf", "{} is not valid under any of the given schemas")),
    ({"const": {"a": 1}}, {}, ("const", "{'a': 1} was expected")),
    (
        {"additionalProperties": False, "properties": {"b": {}}},
        {"z": 1, "a": 2},
        ("additionalProperties", "Additional properties are not allowed ('a', 'z' were unexpected)"),
    ),
    (
        {"additionalProperties": False},
        {"z": 1},
        ("additionalProperties", "Additional properties are not allowed ('z' was unexpected)"),
    ),
    (
        {"additionalProperties": False, "patternProperties": {"^x": {}}},
        {"z": 1, "a": 2},
        ("additionalProperties", "'a', 'z' do not match any of the regexes: '^x'"),
    ),
    (
        {"unevaluatedProperties": False},
        {"b": 1, "a": 2},
        ("unevaluatedProperties", "Unevaluated properties are not allowed ('a', 'b' were unexpected)"),
    ),
    ({"additionalProperties": {"type": "string"}}, {"007": 1}, ("007", "1 is not of type 'string'")),
    (
        {"additionalProperties": {"type": "string"}},
        {DIGITS: "", "07": 1},
        ("07", "1 is not of type 'string'"),
    ),
    ({"patternProperties": {"^x": {"type": "string"}}}, {"xa": 1}, ("xa", "1 is not of type 'string'")),
    ({"propertyNames": {"pattern": "^a"}}, {"b": 1}, ("b", "'b' does not match '^a'")),
    ({"propertyNames": {"minLength": 3}}, {"b": 1}, ("b", "'b' is too short")),
    ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, ("dependentRequired", "'b' is a dependency of 'a'")),
    (
        {"$schema": DRAFT_7, "dependencies": {"a": ["b"]}},
        {"a": 1},
        ("dependencies", "'b' is a dependency of 'a'"),
    ),
    (a({"pattern": "^a+$"}), {"a": "b"}, ("a", "'b' does not match '^a+$'")),
    (a({"minLength": 1}), {"a": ""}, ("a", "'' should be non-empty")),
    (a({"minLength": 3}), {"a": "x"}, ("a", "'x' is too short")),
    (a({"maxLength": 1}), {"a": "xx"}, ("a", "'xx' is too long")),
    (a({"minimum": 3}), {"a": 1}, ("a", "1 is less than the minimum of 3")),
    (a({"maximum": 3}), {"a": 3.5}, ("a", "3.5 is greater than the maximum of 3")),
    (a({"exclusiveMinimum": 3}), {"a": 3}, ("a", "3 is less than or equal to the minimum of 3")),
    (a({"exclusiveMaximum": 3}), {"a": 3}, ("a", "3 is greater than or equal to the maximum of 3")),
    (a({"multipleOf": 0.1}), {"a": 0.35}, ("a", "0.35 is not a multiple of 0.1")),
    (a({"enum": ["x", 1, None]}), {"a": "y"}, ("a", "'y' is not one of ['x', 1, None]")),
    (a({"enum": [1]}), {"a": True}, ("a", "True is not one of [1]")),
    (a({"const": "x"}), {"a": "y"}, ("a", "'x' was expected")),
    (a({"uniqueItems": True}), {"a": [1, 1]}, ("a", "[1, 1] has non-unique elements")),
    (a({"minItems": 1}), {"a": []}, ("a", "[] should be non-empty")),
    (a({"maxItems": 1}), {"a": [1, 2]}, ("a", "[1, 2] is too long")),
    (
        a({"contains": {"type": "string"}}),
        {"a": [1]},
        ("a", "[1] does not contain items matching the given schema"),
    ),
    (
        {"$schema": DRAFT_7, **a({"contains": {"type": "string"}})},
        {"a": [1]},
        ("a", "None of [1] are valid under the given schema"),
    ),
    (
        {"$schema": DRAFT_7, **a({"items": [{}], "additionalItems": False})},
        {"a": [1, 2]},
        ("a", "Additional items are not allowed (2 was unexpected)"),
    ),
    (
        a({"oneOf": [{"type": "integer"}, {"minimum": 2}]}),
        {"a": 3},
        ("a", "3 is valid under each of {'minimum': 2}, {'type': 'integer'}"),
    ),
    (
        a({"oneOf": [{"type": "integer"}, {"minimum": 2}]}),
        {"a": 1.5},
        ("a", "1.5 is not valid under any of the given schemas"),
    ),
    (a(False), {"a": 1}, ("a", "False schema does not allow 1")),
    (a({"if": {"type": "string"}, "then": {"minLength": 3}}), {"a": "x"}, ("a", "'x' is too short")),
    (
        a({"if": {"type": "string"}, "else": {"minimum": 4}}),
        {"a": 1},
        ("a", "1 is less than the minimum of 4"),
    ),
    (
        {"$schema": DRAFT_4, **a({"minimum": 3, "exclusiveMinimum": True})},
        {"a": 3},
        ("a", "3 is less than or equal to the minimum of 3"),
    ),
    ({"$schema": "zz", **a({"type": "string"})}, {"a": 1}, ("a", "1 is not of type 'string'")),
    ({"$ref": "http://x/y"}, {}, ("schema", "Unresolvable: http://x/y")),
    ({"$ref": "file:///etc/passwd"}, {}, ("schema", "Unresolvable: file:///etc/passwd")),
    ({"$ref": "y.json"}, {}, ("schema", "Unresolvable: y.json")),
    (
        {"$ref": "#/definitions/x"},
        {},
        ("schema", "PointerToNowhere: '/definitions/x' does not exist within {'$ref': '#/definitions/x'}"),
    ),
    ({"$ref": "#foo"}, {}, ("schema", "NoSuchAnchor: 'foo' does not exist within {'$ref': '#foo'}")),
]


@pytest.mark.parametrize(("schema", "value", "expected"), CASES)
def test_a_broken_rule_is_told_in_the_usual_words(schema: Any, value: Any, expected: Any) -> None:
    before = json.encode([schema, value])
    assert broken(schema, value) == expected
    assert json.encode([schema, value]) == before


def test_a_pointer_with_many_digits_leads_nowhere() -> None:
    name, words = broken({"allOf": [{}], **a({"$ref": f"#/allOf/{DIGITS}"})}, {"a": 1})
    assert (name, words.partition(":")[0]) == ("schema", "Unresolvable")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {"a": 1}),
        (a({"format": "email"}), {"a": "x"}),
        ({"$schema": DRAFT_7, **a({"format": "date-time"})}, {"a": "x"}),
        (a({"contentMediaType": "application/json", "contentEncoding": "base64"}), {"a": "{"}),
        ({"$schema": DRAFT_7, **a({"contentMediaType": "application/json"})}, {"a": "{"}),
        (a({"type": "integer"}), {"a": 1.0}),
        (a({"enum": [1]}), {"a": 1.0}),
        ({"dependencies": {"a": ["b"]}}, {"a": 1}),
        ({"$ref": "#"}, {"a": 1}),
        (a({"items": [{"type": "string"}]}), {"a": ["x", 1]}),
        (a({"pattern": "^(?!x)[a-z]+$"}), {"a": "abc"}),
        ({"definitions": {"t": {"type": "string"}}, **a({"$ref": "#/definitions/t"})}, {"a": "x"}),
    ],
)
def test_what_keeps_the_rules_passes(schema: Any, value: Any) -> None:
    validate(schema, value)


def test_the_first_error_in_the_order_of_the_schema_is_told() -> None:
    properties = {"b": {"maximum": 1, "minimum": 3}, "a": {"type": "string"}}
    value = {"a": 1, "b": 2}
    assert (
        broken({"properties": properties, "required": ["z"]}, value)[1]
        == "2 is greater than the maximum of 1"
    )
    assert broken({"required": ["z"], "properties": properties}, value)[1] == "'z' is a required property"
    swapped = {"a": properties["a"], "b": properties["b"]}
    assert broken({"properties": swapped}, value)[1] == "1 is not of type 'string'"
    nested = {
        "definitions": {"t": {"items": {"required": ["x"], "type": "object"}}},
        "properties": {"l": {"$ref": "#/definitions/t"}},
        "patternProperties": {"^l": {"maxItems": 1}},
    }
    assert broken(nested, {"l": [{"x": 1}, 5, {}]}) == ("1", "5 is not of type 'object'")
    reordered = {"patternProperties": nested["patternProperties"], **nested}
    assert broken(reordered, {"l": [{"x": 1}, 5, {}]}) == ("l", "[{'x': 1}, 5, {}] is too long")


def test_some_attributes_are_invisible() -> None:
    closed = {"additionalProperties": False, "required": ["id", "last_modified", "schema"]}
    validate(closed, {"id": "r", "last_modified": 5, "schema": 3})
    assert broken(closed, {"id": "r", "x": 1})[0] == "additionalProperties"
    typed = {"properties": {"schema": {"type": "string"}, "last_modified": {"type": "string"}}}
    validate(typed, {"schema": 1, "last_modified": 5})
    assert broken(typed, {"schema": 1, "last_modified": 5}, PARENT_IGNORES)[0] == "schema"


def test_an_id_is_seen_by_a_schema_that_mentions_it() -> None:
    schema = {"required": ["id"], "properties": {"id": {"minLength": 3}}}
    assert broken(schema, {"id": "r"}) == ("id", "'r' is too short")
    assert broken(schema, {}) == ("id", "'id' is a required property")
    validate(schema, {"id": "abc"})


def test_a_schema_that_is_none_of_its_own_draft_is_one_of_draft_7() -> None:
    schema = {"$schema": DRAFT_4, **a({"exclusiveMinimum": 3})}
    assert broken(schema, {"a": 1}) == ("a", "1 is less than or equal to the minimum of 3")
    assert broken(a({"items": [{"type": "string"}]}), {"a": [1]}) == ("0", "1 is not of type 'string'")


# What a schema may cost


def seconds(schema: dict[str, Any], value: dict[str, Any]) -> float:
    started = time.process_time()
    with suppress(InvalidParameters):
        validate(schema, value)
    return time.process_time() - started


def doubling(levels: int, keyword: str = "allOf") -> dict[str, Any]:
    definitions: dict[str, Any] = {"end": {"minimum": 3}}
    for level in range(levels):
        target = f"#/definitions/{level + 1}" if level + 1 < levels else "#/definitions/end"
        definitions[str(level)] = {keyword: [{"$ref": target}, {"$ref": target}]}
    return {"definitions": definitions, "properties": {"a": {"$ref": "#/definitions/0"}}}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_references_that_double_are_refused_before_they_run(keyword: str) -> None:
    validate(doubling(5, "allOf"), {"a": 5})
    schema = doubling(40, keyword)
    assert broken(schema, {"a": 1}) == ("schema", "The schema is too complex")
    assert seconds(schema, {"a": 1}) < 1


def test_recursion_that_doubles_with_the_depth_of_the_value_is_refused() -> None:
    schema = a({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})
    validate(schema, nested(5))
    assert broken(schema, nested(300)) == ("schema", "Too complex to validate by this schema")
    assert seconds(schema, nested(300)) < 2


def test_recursion_that_does_not_double_goes_as_deep_as_values_go() -> None:
    schema = {"type": "object", "additionalProperties": {"$ref": "#"}}
    validate(schema, nested(390))
    two = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}
    validate(two, nested(390))


def test_visits_are_counted_without_making_them() -> None:
    assert Document(doubling(3)).weight() == (31, False)
    assert Document({"$ref": "#"}).weight() == (1, True)
    assert Document(a({"items": {}})).visits({"a": [1, "x", None]}) == 1 + 1 + 3
    assert Document(doubling(64)).weight().visits > MAX_VISITS


def test_references_and_levels_are_limited() -> None:
    chain = {str(link): {"$ref": f"#/definitions/{link + 1}"} for link in range(MAX_REFERENCES + 1)}
    assert schema_error({"definitions": chain}) == f"more than {MAX_REFERENCES} references"
    assert broken({"definitions": chain, **a({"$ref": "#/definitions/0"})}, {}) == (
        "schema",
        "The schema is too complex",
    )
    deep: dict[str, Any] = {}
    for _ in range(MAX_LEVELS):
        deep = {"not": deep}
    assert schema_error(deep) == f"nested deeper than {MAX_LEVELS} levels"
    assert schema_error(deep["not"]) is None
    validate(a(deep["not"]["not"]["not"]), {})
    assert broken(deep, {})[0] == "schema"


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(?=a)(a+)+\\1$", "(?!x)(.*)(.*)x", "^(\\w+\\s?)*$(?<!y)", "(x+x+)+y", "(.*)(.*)(.*)[^a]$"],
)
def test_no_pattern_runs_for_long(pattern: str) -> None:
    schema = a({"pattern": pattern})
    assert schema_error(schema) is None
    for length in (30, 1000, 100_000):
        assert seconds(schema, {"a": "a" * length + "!"}) < 5


def test_a_pattern_that_backtracks_too_much_is_an_error() -> None:
    schema = a({"pattern": "(?=a)(a+)+\\1$"})
    name, description = broken(schema, {"a": "a" * 1000 + "!"})
    assert name == "a"
    assert "takes too long to match" in description
    many = {"properties": {str(key): {"pattern": "^(?!x)(.*)x"} for key in range(100)}}
    assert broken(many, {"0": "a" * 100_000}) == ("schema", "Too complex to validate by this schema")


@pytest.mark.parametrize("pattern", ["(a{1,1000}){1,1000}", "\\p{NoSuchScript}"])
def test_a_pattern_that_cannot_be_compiled_is_an_error_of_the_schema(pattern: str) -> None:
    assert broken(a({"pattern": pattern}), {"a": "a"})[0] == "schema"


def test_a_large_value_with_many_errors_is_refused_quickly() -> None:
    schema = {"additionalProperties": {"type": "string"}}
    assert seconds(schema, {str(key): key for key in range(100_000)}) < 5
    assert broken(schema, {str(key): key for key in range(100_000)})[0] == "0"
    assert len(broken(a({"const": "x" * 1_000_000}), {"a": "y" * 1_000_000})[1]) < 5000


# Whatever the schema and whatever the value

keywords = st.sampled_from(
    ["type", "properties", "items", "allOf", "anyOf", "not", "$ref", "required", "minimum", "pattern", "enum",
     "additionalProperties", "$schema", "dependencies", "definitions", "if", "then", "contains", "maxLength",
     "patternProperties", "propertyNames", "oneOf", "const", "uniqueItems", "format", "$id", "a", "0"]
)  # fmt: skip
small = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["string", "object", "#", "#/definitions/a", "^a", "(?=a)", DRAFT_4, "x"])
)
schemas = st.dictionaries(
    keywords,
    st.recursive(
        small,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 2) | st.sampled_from(["", "a", "xyz"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("a0b"), inner, max_size=3),
    max_leaves=6,
)


@given(schemas, st.dictionaries(st.sampled_from(["a", "0", "b", "id", "schema"]), plain))
def test_any_schema_and_any_value_end_in_a_verdict(schema: dict[str, Any], value: dict[str, Any]) -> None:
    error = schema_error(schema)
    assert error is None or error
    try:
        validate(schema, value)
    except InvalidParameters as caught:
        json.encode(caught.body())
