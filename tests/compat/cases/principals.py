"""Principals given by the settings (protocol section 8.3), erasure of a user's data (8.7)."""

from tests.compat.cases.world import ALICE, BASE, BOB, CAROL, R1, B, C, G, R
from tests.compat.scenario import delete, get, head, patch, post, put, scenario

EXPLICIT = [put(B), put(C), put(G, {"data": {"members": []}}), put(R1)]

SCENARIOS = [
    scenario(
        "who may create buckets",
        put("/buckets/x", user="bob"),
        put("/buckets/x", user=None),
        put("/buckets/x"),
        get("/buckets", user="bob"),
        get("/buckets", user=None),
        get("/buckets"),
        post("/buckets", {"data": {"id": "y"}}, user="bob"),
        post("/buckets", {"data": {"id": "y"}}, user="admin"),
        put("/buckets/z", user="admin"),
        get("/buckets/z", user="admin"),
        profile="principals",
    ),
    scenario(
        "no cascade to what is inside",
        EXPLICIT,
        *[
            make(path, user="admin")
            for path in ("/buckets", B, f"{B}/collections", C, R, R1, f"{B}/groups", G)
            for make in (get,)
        ],
        patch(B, {"data": {"x": 1}}, user="admin"),
        get(B, user="admin"),
        patch(C, {"data": {"x": 1}}, user="admin"),
        patch(G, {"data": {"x": 1}}, user="admin"),
        patch(R1, {"data": {"x": 1}}, user="admin"),
        put(f"{R}/new", user="admin"),
        put(f"{B}/collections/new", user="admin"),
        put(f"{B}/groups/new", {"data": {"members": []}}, user="admin"),
        put(f"{B}/groups/new2", {"data": {"members": []}}, user="bob"),
        get(f"{B}/groups", user="bob"),
        delete(f"{B}/collections/new", user="admin"),
        delete("/buckets", user="admin"),
        traps=(20,),
        profile="principals",
    ),
    scenario(
        "readers of every record",
        EXPLICIT,
        *[
            make(path, user="carol")
            for path in (
                "/buckets",
                B,
                f"{B}/collections",
                C,
                R,
                R1,
                G,
                f"{R}/none",
                f"{B}/collections/none/records",
            )
            for make in (get, head)
        ],
        get(f"{R}?_since=0", user="carol"),
        patch(R1, {"data": {"x": 1}}, user="carol"),
        delete(R, user="carol"),
        put(R1, user="carol"),
        post(R, {"data": {"id": "r1"}}, user="carol"),
        traps=(20,),
        profile="principals",
    ),
    scenario(
        "permissions endpoint and settings",
        EXPLICIT,
        get("/permissions", user="admin"),
        get("/permissions", user="carol"),
        get("/permissions"),
        get("/permissions", user=None),
        profile="principals",
    ),
    scenario(
        "erasing a user",
        put(B, {"permissions": {"write": [BOB]}}),
        put(C, {"permissions": {"record:create": [BOB], "read": [CAROL]}}),
        put(R1, user="bob"),
        put(f"{R}/r2", {"permissions": {"read": [BOB], "write": [CAROL]}}),
        put(f"{R}/r3", {"permissions": {"read": [BOB]}}, user="bob"),
        put(G, {"data": {"members": [BOB, CAROL]}}),
        delete(f"/__user_data__/{BOB}", user="bob"),
        delete(f"/__user_data__/{BOB}", user=None),
        delete(f"/__user_data__/{BOB}", user="admin"),
        get(f"{R}?_since=0&_fields=id,deleted&_sort=id"),
        get(R1),
        get(f"{R}/r2"),
        get(B),
        get(C),
        get(G),
        get("/", user="bob"),
        get(C, user="bob"),
        delete(f"/__user_data__/{BOB}", user="admin"),
        delete("/__user_data__/nobody", user="admin"),
        get(f"/__user_data__/{BOB}", user="admin"),
        post(f"/__user_data__/{BOB}", user="admin"),
        delete(f"/__user_data__/{ALICE}", user="admin"),
        get(B),
        get("/buckets?_since=0", user="carol"),
        profile="principals",
    ),
    scenario(
        "erasing without the setting",
        BASE,
        delete(f"/__user_data__/{ALICE}"),
        delete(f"/__user_data__/{ALICE}", user=None),
    ),
]
