"""JSON Schema validation (protocol section 5.6)."""

from tests.compat.cases.world import BASE, BOB, R1, B, C, G, R
from tests.compat.scenario import get, json_patch, merge, patch, post, put, scenario

SCHEMA = {
    "type": "object",
    "properties": {"t": {"type": "string"}, "n": {"type": "integer", "minimum": 3}},
    "required": ["t"],
}
STRICT = {**SCHEMA, "additionalProperties": False}
BAD_SCHEMAS = [
    {"type": "bogus"},
    [],
    "x",
    5,
    {"properties": []},
    {"required": "x"},
    {"minimum": "1"},
    {"exclusiveMinimum": True, "minimum": 1},
]


def data(**fields: object) -> dict[str, object]:
    """The body of a write."""
    return {"data": fields}


SCENARIOS = [
    scenario(
        "schemas are checked",
        BASE,
        *[put(C, data(schema=schema)) for schema in BAD_SCHEMAS],
        *[put(B, {"data": {"record:schema": schema}}) for schema in BAD_SCHEMAS[:2]],
        put(B, {"data": {"collection:schema": {"type": "bogus"}}}),
        put(B, {"data": {"group:schema": {"type": "bogus"}}}),
        put(C, data(schema={})),
        put(C, data(schema=SCHEMA)),
        put(C, data(schema=None)),
        patch(C, data(schema=5)),
    ),
    scenario(
        "schemas are checked when validation is off",
        BASE,
        put(C, data(schema={"type": "bogus"})),
        put(C, data(schema=STRICT)),
        put(R1, data(x=1)),
        put(R1, data(schema=3)),
        get(R1),
        profile="paged",
    ),
    scenario(
        "records follow the schema",
        put(B),
        put(C, data(schema=SCHEMA)),
        *[
            put(R1, data(**fields))
            for fields in (
                {},
                {"t": 1},
                {"t": "x"},
                {"t": "x", "n": 1},
                {"t": "x", "n": "3"},
                {"t": "x", "n": 3.5},
                {"t": "x", "n": 3.0},
                {"t": "x", "extra": 1},
            )
        ],
        put(R1),
        put(f"{R}/r2"),
        post(R, data(id="r3")),
        post(R, data(id="r4", t="x", schema=5)),
        post(R, data(id="r4")),
        get(f"{R}/r4"),
        patch(R1, data(t=5)),
        merge(R1, data(t=None)),
        json_patch(R1, [{"op": "remove", "path": "/data/t"}]),
        patch(R1, data(n=4)),
        patch(C, data(schema={**SCHEMA, "required": ["t", "u"]})),
        get(R1),
        patch(R1, {"permissions": {"read": [BOB]}}),
        patch(R1, data(u=1)),
        patch(C, data(schema={})),
        put(R1, data(schema=12, free=True)),
        get(R),
        traps=(52,),
    ),
    scenario(
        "what the schema does not see",
        put(B),
        put(C, data(schema=STRICT)),
        put(R1, data(t="x")),
        put(R1, data(t="x", id="r1", last_modified=5, schema=9)),
        put(R1, data(t="x", zz=1)),
        put(R1, data(t="x", zz=1, yy=2)),
        put(C, data(schema={**STRICT, "required": ["t", "id", "last_modified", "schema"]})),
        put(R1, data(t="x")),
        put(
            C,
            data(
                schema={
                    "type": "object",
                    "properties": {"id": {"type": "string", "maxLength": 3}},
                    "required": ["id"],
                }
            ),
        ),
        put(R1, data()),
        put(f"{R}/longer", data()),
        post(R, data()),
        post(R, data(id="abc")),
        traps=(53,),
    ),
    scenario(
        "schemas of the bucket",
        put(
            B,
            {
                "data": {
                    "record:schema": {"type": "object", "required": ["t"]},
                    "collection:schema": {"type": "object", "required": ["k"]},
                    "group:schema": {"type": "object", "required": ["g"]},
                }
            },
        ),
        put(C),
        put(C, data(k=1)),
        put(C, data(k=1, schema={"type": "object", "required": ["u"]})),
        put(R1, data(t=1)),
        put(R1, data(u=1)),
        put(R1, data(u=1, t=1)),
        put(G, {"data": {"members": []}}),
        put(G, {"data": {"members": [], "g": 1}}),
        put(C, data(k=1)),
        put(R1, data(t=1)),
        patch(C, data(k=None)),
    ),
    scenario(
        "kinds of failures",
        put(B),
        put(
            C,
            data(
                schema={
                    "type": "object",
                    "properties": {
                        "enum": {"enum": ["a", 1, None]},
                        "const": {"const": 5},
                        "max": {"maximum": 3},
                        "emax": {"exclusiveMaximum": 3},
                        "multiple": {"multipleOf": 2},
                        "long": {"maxLength": 2},
                        "short": {"minLength": 2},
                        "pattern": {"pattern": "^a"},
                        "items": {"items": {"type": "integer"}},
                        "unique": {"uniqueItems": True},
                        "few": {"maxItems": 1},
                        "many": {"minItems": 2},
                        "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                        "any": {"anyOf": [{"type": "string"}, {"minimum": 5}]},
                        "all": {"allOf": [{"type": "string"}]},
                        "not": {"not": {"type": "string"}},
                        "deep": {
                            "type": "object",
                            "properties": {"x": {"type": "object", "required": ["y"]}},
                            "additionalProperties": False,
                        },
                        "format": {"format": "date"},
                        "contains": {"contains": {"const": 1}},
                        "names": {"propertyNames": {"pattern": "^a"}},
                        "size": {"maxProperties": 1},
                        "types": {"type": ["string", "null"]},
                        "if": {"if": {"const": 1}, "then": False},
                    },
                    "dependencies": {"a": ["b"]},
                }
            ),
        ),
        *[
            put(R1, data(**{name: value}))
            for name, value in {
                "enum": "b",
                "const": 4,
                "max": 4,
                "emax": 3,
                "multiple": 3,
                "long": "abc",
                "short": "a",
                "pattern": "ba",
                "items": [1, "x"],
                "unique": [1, 1],
                "few": [1, 2],
                "many": [1],
                "one": True,
                "any": 1,
                "all": 1,
                "not": "x",
                "deep": {"x": {}},
                "format": "nonsense",
                "contains": [2],
                "names": {"b": 1},
                "size": {"a": 1, "b": 2},
                "types": 5,
                "a": 1,
                "if": 1,
            }.items()
        ],
        put(R1, data(deep={"z": 1})),
        put(R1, data(deep=5)),
    ),
    scenario(
        "references",
        put(B),
        put(
            C,
            data(
                schema={
                    "definitions": {"x": {"type": "integer"}},
                    "properties": {"a": {"$ref": "#/definitions/x"}},
                }
            ),
        ),
        put(R1, data(a=1)),
        put(R1, data(a="x")),
    ),
    scenario(
        "unresolvable references",
        put(B),
        put(C, data(schema={"properties": {"a": {"$ref": "#/definitions/none"}}})),
        put(R1, data(a=1)),
        put(R1, data(b=1)),
        put(C, data(schema={"properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}})),
        put(R1, data(a=1)),
    ),
]
