"""Ids of objects and their parents (protocol section 3.2)."""

from tests.compat.cases.world import BASE, B, C, R
from tests.compat.scenario import delete, get, patch, post, put, scenario

PATHS = [
    "a",
    "A-1_b",
    "0",
    "-a",
    "_a",
    "a.b",
    "a%20b",
    "a@b",
    "caf%C3%A9",
    "a:b",
    "x" * 300,
    "a%2Bb",
    "*",
    "%25",
    "b~",
]
VALUES = ["a", "-a", "", None, 5, True, ["a"], {"a": 1}, "a b", "é", "a/b", "x" * 300, "default", "a\n"]
PARENTS = ("b@d", "caf%C3%A9", "-x")

SCENARIOS = [
    scenario("ids in record paths", BASE, *[put(f"{R}/{value}") for value in PATHS], get(f"{R}?_sort=id")),
    scenario("ids in bucket paths", *[put(f"/buckets/{value}") for value in PATHS]),
    scenario(
        "ids in other paths",
        BASE,
        *[put(f"{B}/{kind}/{value}") for kind in ("collections", "groups") for value in PATHS],
    ),
    scenario("ids in bodies", BASE, *[post(R, {"data": {"id": value}}) for value in VALUES]),
    scenario(
        "ids in bucket bodies",
        *[post("/buckets", {"data": {"id": value}}) for value in VALUES if value != "default"],
    ),
    scenario(
        "ids in group bodies",
        BASE,
        *[post(f"{B}/groups", {"data": {"id": value, "members": []}}) for value in VALUES],
    ),
    scenario(
        "ill-formed ids of missing things",
        BASE,
        *[make(f"{R}/b@d") for make in (get, delete)],
        patch(f"{R}/b@d", {"data": {}}),
        get(f"{R}/b@d", user="bob"),
    ),
    scenario(
        "ill-formed parents",
        BASE,
        *[
            make(path, user=user)
            for parent in PARENTS
            for path in (
                f"/buckets/{parent}/collections",
                f"/buckets/{parent}/groups/g",
                f"{B}/collections/{parent}/records/r",
            )
            for make in (get, put)
            for user in ("alice", None)
        ],
        post(f"/buckets/{PARENTS[0]}/collections"),
        post(f"{B}/collections/{PARENTS[0]}/records"),
    ),
    scenario(
        "a trailing newline",
        BASE,
        put("/buckets/b%0A"),
        put(f"{R}/r%0A"),
        get(f"{R}/r%0A"),
        post(R, {"data": {"id": "z\n"}}),
        traps=(65,),
    ),
    scenario(
        "generated ids",
        BASE,
        post("/buckets", name="bucket"),
        post(f"{B}/collections", name="collection"),
        post(f"{B}/groups", {"data": {"members": []}}, name="group"),
        post(R, {"data": {"a": 1}}, name="record"),
        get("/buckets/{{bucket.id}}"),
        get(f"{B}/collections/{{{{collection.id}}}}"),
        get(f"{B}/groups/{{{{group.id}}}}"),
        get(f"{R}/{{{{record.id}}}}"),
        get(R),
        delete(f"{R}/{{{{record.id}}}}"),
    ),
    scenario(
        "id mismatch",
        BASE,
        put(f"{R}/a", {"data": {"id": "b"}}),
        put(f"{R}/a", {"data": {"id": "a"}}),
        put(f"{R}/a", {"data": {"id": 1}}),
        patch(f"{R}/a", {"data": {"id": "b"}}),
        patch(f"{R}/a", {"data": {"id": "a"}}),
        put(C, {"data": {"id": None}}),
    ),
]
