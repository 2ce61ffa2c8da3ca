"""The permissions endpoint and flush (protocol sections 2.2, 8.6)."""

from tests.compat.cases.world import ALICE, AUTHENTICATED, BASE, BOB, CAROL, EVERYONE, R1, B, C, G, R
from tests.compat.scenario import delete, get, head, patch, post, put, scenario

WORLD = [
    put(B, {"permissions": {"read": [CAROL]}}),
    put(C, {"permissions": {"record:create": [BOB], "read": [AUTHENTICATED]}}),
    put(G, {"data": {"members": [BOB]}}),
    put(R1, {"permissions": {"read": [EVERYONE], "write": ["/buckets/b/groups/g"]}}),
    put(
        "/buckets/b2", {"permissions": {"collection:create": [BOB], "group:create": [CAROL], "write": [BOB]}}
    ),
]
P = "/permissions"

SCENARIOS = [
    scenario(
        "permissions endpoint",
        get(P),
        get(P, user=None),
        WORLD,
        get(P),
        get(P, user="bob"),
        get(P, user="carol"),
        get(P, user=None),
        head(P),
        head(P, user="bob"),
        get(P, h={"If-None-Match": "*"}),
        get(P, h={"If-Match": '"5"'}),
    ),
    scenario(
        "asking the permissions endpoint",
        WORLD,
        *[
            get(f"{P}?{text}", user="bob")
            for text in (
                "resource_name=record",
                "bucket_id=b2",
                'bucket_id="b"&resource_name=collection',
                "_sort=uri",
                "_sort=-resource_name,uri",
                "_fields=uri",
                "_fields=uri,nope",
                "nope=1",
                "_sort=nope",
                "not_nope=1",
                "contains_permissions=read",
                "has_collection_id=true",
                "has_record_id=false",
                "like_uri=/buckets/b2",
                "_since=5",
                "_before=5",
                "_since=abc",
                "in_resource_name=record,bucket",
                "min_id=b2",
                "_limit=abc",
                'id="r1"',
                "id=1",
                "deleted=true",
                'uri="/buckets/b"',
            )
        ],
        get(f"{P}?_limit=2", user="bob", name="a"),
        get("{{a.next}}", user="bob"),
        get(f"{P}?_limit=2&_sort=uri", user="bob", name="c"),
        get("{{c.next}}", user="bob"),
        get(f"{P}?_token=abc", user="bob"),
        head(f"{P}?resource_name=record", user="bob"),
        post(P),
        delete(P),
        put(f"{P}/x"),
    ),
    scenario("permissions endpoint off", get(P), profile="paged"),
    scenario(
        "permissions of deleted things",
        WORLD,
        delete(R1),
        get(P, user="bob"),
        delete(G),
        get(P, user="bob"),
        delete(B),
        get(P, user="bob"),
        get(P),
    ),
    scenario(
        "flush",
        BASE,
        put(G, {"data": {"members": [BOB]}}),
        put(R1),
        get("/buckets", name="before"),
        post("/__flush__", user=None),
        get("/buckets"),
        get(B),
        get("/", user="bob"),
        get("/buckets?_since=0"),
        put(B, user="bob"),
        get(B, user="bob"),
        get(B),
        put(C, user="bob"),
        get(R, user="bob"),
        post("/__flush__", {"x": 1}),
        post("/__flush__/"),
        get("/__flush__"),
    ),
    scenario(
        "unknown principals",
        BASE,
        put(R1, {"permissions": {"read": ["x" * 500, "é", "a b", "system.Nobody"]}}),
        get(R1),
        patch(R1, {"permissions": {"write": [ALICE]}}),
        get(R1),
    ),
]
