"""Conditional requests: the whole table of protocol section 4.8."""

from tests.compat.cases.world import BASE, BOB, R1, B, C, R, record
from tests.compat.scenario import Step, delete, get, head, patch, post, put, scenario

BEYOND = '"99999999999999999999"'
PATCHED = {"data": {"p": 1}}
FORMS = [
    '"1"',
    "*",
    'W/"1"',
    "1",
    '"abc"',
    '""',
    "",
    '"0"',
    '"-1"',
    '"1", "2"',
    '"1.5"',
    "'1'",
    '" 1"',
    '"1',
]


def conditions(path: str, etag: str) -> list[dict[str, str]]:
    """Both headers with the current, an older, a newer ETag, and the star."""
    del path
    values = [f'"{{{{{etag}.etag}}}}"', f'"{{{{{etag}.etag-1}}}}"', f'"{{{{{etag}.etag+100000}}}}"', "*"]
    return [{name: value} for name in ("If-Match", "If-None-Match") for value in values]


def each(make: object, path: str, body: object = None) -> list[Step]:
    """One request under every condition, each after a look at the current ETag."""
    steps: list[Step] = []
    for index, _ in enumerate(conditions(path, "x")):
        name = f"s{make.__qualname__.split('.')[0]}{index}"  # type: ignore[attr-defined]
        steps.append(get(path, name=name))
        steps.append(make(path, body, h=conditions(path, name)[index]))  # type: ignore[operator]
    return steps


def restored(make: object) -> list[Step]:
    """DELETE under every condition, the record restored before each."""
    steps: list[Step] = []
    for index in range(8):
        steps += [put(R1, name=f"d{index}"), delete(R1, h=conditions(R1, f"d{index}")[index])]
    return steps


SCENARIOS = [
    scenario("reading an object", BASE, record("r1", a=1), each(get, R1), each(head, R1), traps=(7, 8)),
    scenario(
        "reading a list",
        BASE,
        record("r1", a=1),
        each(get, R),
        each(head, R),
        each(get, "/buckets"),
        traps=(7, 8),
    ),
    scenario("replacing", BASE, record("r1", a=1), each(put, R1, {"data": {"b": 1}})),
    scenario("patching", BASE, record("r1", a=1), each(patch, R1, PATCHED)),
    scenario("deleting", BASE, restored(delete)),
    scenario(
        "posting an existing id",
        BASE,
        record("r1", a=1),
        *[
            step
            for index in range(8)
            for step in (
                get(R1, name=f"p{index}"),
                post(R, {"data": {"id": "r1", "x": 1}}, h=conditions(R1, f"p{index}")[index]),
            )
        ],
    ),
    scenario(
        "posting a new id",
        BASE,
        record("r1", a=1),
        *[
            step
            for index in range(8)
            for step in (
                get(R, name=f"p{index}"),
                post(R, {"data": {"id": f"new{index}"}}, h=conditions(R, f"p{index}")[index]),
            )
        ],
        traps=(6,),
    ),
    scenario(
        "posting without id",
        BASE,
        get(R, name="l"),
        post(R, h={"If-Match": '"{{l.etag}}"'}),
        post(R, h={"If-None-Match": "*"}),
        post(R, h={"If-Match": "*"}),
        traps=(6,),
    ),
    scenario(
        "missing objects",
        BASE,
        get(R, name="list"),
        *[
            step
            for header in (
                {"If-Match": '"{{list.etag}}"'},
                {"If-Match": '"5"'},
                {"If-Match": "*"},
                {"If-None-Match": '"5"'},
                {"If-None-Match": "*"},
            )
            for step in (
                get(f"{R}/none", h=header),
                patch(f"{R}/none", PATCHED, h=header),
                delete(f"{R}/none", h=header),
                put(f"{R}/none", h=header),
                delete(f"{R}/none"),
            )
        ],
        traps=(10,),
    ),
    scenario(
        "deleting a list",
        BASE,
        *[
            step
            for index in range(8)
            for step in (put(R1), get(R, name=f"l{index}"), delete(R, h=conditions(R, f"l{index}")[index]))
        ],
    ),
    scenario(
        "forms of the headers",
        BASE,
        record("r1", a=1),
        *[
            make(R1, h={name: form})
            for form in FORMS
            for name in ("If-Match", "If-None-Match")
            for make in (get, put)
        ],
        *[get(R, h={"If-None-Match": form}) for form in FORMS],
        get(R1, h={"If-Modified-Since": "Sun, 22 Nov 2099 18:59:08 GMT"}),
        put(R1, h={"If-Unmodified-Since": "Sun, 22 Nov 1999 18:59:08 GMT"}),
        get(R1, name="both"),
        get(R1, h={"If-Match": '"{{both.etag}}"', "If-None-Match": '"{{both.etag}}"'}),
        get(R1, h={"If-Match": '"5"', "If-None-Match": '"{{both.etag}}"'}),
        put(R1, h={"If-Match": '"{{both.etag}}"', "If-None-Match": "*"}),
        traps=(9,),
    ),
    scenario(
        "no overwriting what another owns",
        BASE,
        put(C, {"permissions": {"record:create": [BOB]}}),
        record("r1", secret=1),
        put(R1, user="bob"),
        put(R1, user="bob", h={"If-None-Match": "*"}),
        put(R1, user="carol", h={"If-None-Match": "*"}),
        put(R1, user="bob", h={"If-Match": '"5"'}),
        post(R, {"data": {"id": "r1"}}, user="bob", h={"If-None-Match": "*"}),
        patch(R1, PATCHED, user="bob", h={"If-None-Match": "*"}),
        put(f"{R}/mine", user="bob", h={"If-None-Match": "*"}),
        put(f"{R}/mine", user="bob", h={"If-None-Match": "*"}),
        patch(R1, {"permissions": {"read": [BOB]}}),
        put(R1, user="bob", h={"If-None-Match": "*"}),
        traps=(11,),
    ),
    scenario(
        "conditions on buckets and collections",
        put(B, name="b"),
        put(B, h={"If-None-Match": "*"}),
        put(B, h={"If-Match": '"{{b.etag}}"'}),
        put(B, h={"If-Match": '"{{b.etag}}"'}),
        delete(C, h={"If-Match": "*"}),
        put(C, h={"If-None-Match": "*"}, name="c"),
        patch(C, {"data": {"x": 1}}, h={"If-Match": '"{{c.etag}}"'}),
        patch(C, {"data": {"x": 1}}, h={"If-Match": '"{{c.etag}}"'}),
        delete(C, h={"If-Match": '"{{c.etag}}"'}),
        get("/buckets", h={"If-Match": '"5"'}),
    ),
    scenario(
        "digits beyond any timestamp",
        BASE,
        record("r1", a=1),
        *[
            make(path, h={name: BEYOND})
            for path in (R1, R)
            for name in ("If-Match", "If-None-Match")
            for make in (get, delete)
        ],
        put(R1, h={"If-Match": BEYOND}),
        get(R1, h={"If-None-Match": BEYOND}),
    ),
]
