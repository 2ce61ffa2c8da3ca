"""Sorting, pagination, field selection (protocol sections 4.5 to 4.7)."""

import base64
import json

from tests.compat.cases.filters import VALUES
from tests.compat.cases.world import BASE, BOB, R1, B, R, record, records
from tests.compat.scenario import Step, delete, get, head, put, query, scenario

SORTABLE: list[Step] = [
    *BASE,
    records(
        **{
            name: {"f": value, "last_modified": 1000 + index}
            for index, (name, value) in enumerate(VALUES.items())
        },
        missing={"last_modified": 902, "g": 1},
        eobject={"f": {}, "last_modified": 901, "g": 2},
    ),
]


def some(count: int) -> list[Step]:
    """A collection of `count` records with a field that repeats."""
    made = {
        f"r{index}": {"n": index % 3, "o": {"k": index}, "last_modified": 1000 + index}
        for index in range(count)
    }
    return [*BASE, records(**made)]


TEN, SIX = some(10), some(6)


def walk(path: str, pages: int, name: str = "p") -> list[Step]:
    """Follow Next-Page over `pages` pages; the last one must have none."""
    steps = [get(path, name=f"{name}0")]
    return steps + [
        get(f"{{{{{name}{index}.next}}}}", name=f"{name}{index + 1}") for index in range(pages - 1)
    ]


def token(content: object) -> str:
    """A pagination token of Kinto's form."""
    return base64.b64encode(json.dumps(content).encode()).decode().replace("=", "%3D").replace("+", "%2B")


GOOD = {"last_object": {"last_modified": 1005}, "offset": 5, "nonce": "pagination-token-x"}
FORGED: list[object] = [
    [],
    5,
    {},
    {"last_object": {}},
    {**GOOD, "offset": -1},
    {**GOOD, "offset": "5"},
    {**GOOD, "last_object": 5},
    {**GOOD, "last_object": {"n": 1}},
    {**GOOD, "last_object": {"last_modified": "x"}},
    {**GOOD, "last_object": {"last_modified": [1]}},
    {**GOOD, "last_object": {"last_modified": 1005, "n": {"a": 1}}},
    {**GOOD, "last_object": {"last_modified": 1005, "n": "\u0000"}},
]

SCENARIOS = [
    scenario(
        "sorting",
        SORTABLE,
        *[
            get(query(R, _sort=sort, _fields="f"))
            for sort in (
                "f",
                "-f",
                "+f",
                "f,-last_modified",
                "-last_modified",
                "last_modified",
                "id",
                "-id",
                "g,f",
                "-g,-f",
                "nope",
                "f.k",
                "f.k.l,id",
            )
        ],
        *[
            get(f"{R}?{text}&_fields=f")
            for text in (
                "_sort=",
                "_sort=a-b,id",
                "_sort=id,",
                "_sort=,id",
                "_sort=+id",
                "_sort=%20id",
                "_sort=--id",
                "_sort=id,id",
                "_sort=last_modified,id",
                "_sort=id&_sort=f",
            )
        ],
        traps=(29,),
    ),
    scenario(
        "empty arrays and nulls",
        BASE,
        record("null", f=None),
        record("elist", f=[]),
        record("list", f=[1]),
        record("missing"),
        get(f"{R}?_sort=f"),
        get(f"{R}?_sort=-f"),
        traps=(29,),
    ),
    scenario(
        "following pages",
        TEN,
        walk(f"{R}?_limit=4", 3),
        walk(f"{R}?_limit=4&_sort=-n,id", 3, "q"),
        walk(f"{R}?_limit=3&n=1", 2, "r")[:1],
        walk(f"{R}?_limit=5&_sort=nope", 2, "s"),
        walk(f"{R}?_limit=5&_sort=o.k&_fields=n", 2, "t"),
        walk(f"{R}?_limit=7&_since=1001", 2, "u"),
        walk(f"{R}?_limit=4&min_n=1&_sort=n", 2, "v"),
        head(f"{R}?_limit=4"),
        get(f"{R}?_limit=10"),
        get(f"{R}?_limit=9&_foo=bar"),
    ),
    scenario(
        "pages over every type",
        SORTABLE,
        *[
            step
            for index, sort in enumerate(("-last_modified", "g,last_modified", "id"))
            for step in walk(f"{R}?_limit=8&_sort={sort}", 3, f"w{index}")
        ],
    ),
    scenario(
        "limits",
        TEN,
        *[
            get(f"{R}?{text}")
            for text in (
                "_limit=0",
                "_limit=",
                "_limit=abc",
                "_limit=-1",
                "_limit=1.5",
                "_limit=%222%22",
                "_limit=1&_limit=2",
                "_limit=true",
                "_limit=null",
                "_limit=99999",
                "_limit=2;_sort=id",
                "_limit=[1]",
                "_limit=99999999999999999999",
            )
        ],
        traps=(33,),
    ),
    scenario(
        "the server's limits",
        BASE,
        [record(f"r{index}", n=index) for index in range(6)],
        get(R, name="a"),
        get("{{a.next}}"),
        get(f"{R}?_limit=5", name="b"),
        get("{{b.next}}"),
        get(f"{R}?_limit=2", name="c"),
        get("{{c.next}}", name="d"),
        get(f"{R}?_limit=0"),
        head(R),
        get("/buckets?_limit=7"),
        traps=(32,),
        profile="paged",
    ),
    scenario(
        "tokens",
        SIX,
        *[get(f"{R}?_limit=2&_token={token(content)}") for content in FORGED],
        *[get(f"{R}?_limit=2&_token={text}") for text in ("abc", "123", "%22x%22", "", "!!!", "YWJj")],
    ),
    scenario(
        "foreign tokens",
        SIX,
        get(f"{R}?_limit=2&_sort=n", name="a"),
        get(f"{R}?_limit=2&_token=" + "{{a.token}}"),
    ),
    scenario(
        "changes while paging by another field",
        SIX,
        get(f"{R}?_limit=2&_sort=n", name="a"),
        put(f"{R}/r2", {"data": {"n": 2, "moved": True}}),
        put(f"{R}/new", {"data": {"n": 2}}),
        get("{{a.next}}", name="b"),
        get("{{b.next}}"),
    ),
    scenario(
        "changes while paging",
        SIX,
        get(f"{R}?_limit=2", name="a"),
        put(f"{R}/r1", {"data": {"moved": True}}),
        delete(f"{R}/r0"),
        put(f"{R}/new"),
        get("{{a.next}}", name="b"),
        get("{{b.next}}"),
    ),
    scenario(
        "fields",
        BASE,
        record("r1", a=1, b={"c": {"d": 1, "e": 2}, "f": [1]}, l=[{"x": 1}], **{"dot.ted": 3}),
        record("r2", a=2),
        delete(f"{R}/r2"),
        *[
            get(f"{path}?_fields={fields}")
            for path in (R, R1)
            for fields in (
                "a",
                "a,b",
                "b.c",
                "b.c.d",
                "b.c.d,b.f",
                "b.zz",
                "zz",
                "dot.ted",
                "",
                "a,%20b",
                "id",
                "last_modified,a",
                "l.x",
                "b,b.c",
                "a.b",
                ",",
                "*",
                "deleted",
            )
        ],
        get(f"{R}?_since=0&_fields=a"),
        get(f"{R}?_since=0&_fields=a,deleted"),
        get(f"{R}?_fields=a&_fields=b"),
        put(f"{B}/groups/g", {"data": {"members": [BOB]}}),
        get(f"{B}/groups/g?_fields=members"),
        get(f"{B}?_fields=nope"),
        put(f"{R1}?_fields=a", {"data": {"a": 5}}),
        traps=(34,),
    ),
]
