"""Statuses, errno and the order of the checks (protocol sections 1.1, 1.4, 1.5)."""

from tests.compat.cases.world import ALICE, AUTHENTICATED, BASE, BOB, EVERYONE, R1, B, C, R
from tests.compat.scenario import Raw, delete, get, head, patch, post, put, scenario

BROKEN = Raw(b'{"data": ')
TEXT = Raw(b"hello", "text/plain")
BAD_MATCH = {"If-Match": "abc"}

SCENARIOS = [
    scenario(
        "not found",
        BASE,
        get("/buckets/none"),
        get(f"{B}/collections/none"),
        get(f"{B}/groups/none"),
        get(f"{R}/none"),
        get(f"{B}/collections/none/records"),
        get(f"{B}/collections/none/records/x"),
        get("/buckets/none/collections"),
        get("/buckets/none/collections/x"),
        put(f"{B}/collections/none/records/x"),
        post(f"{B}/collections/none/records"),
        patch(f"{B}/collections/none/records/x", {"data": {}}),
        delete(f"{B}/collections/none/records/x"),
        delete(f"{B}/collections/none/records"),
        put("/buckets/none/collections/x"),
        post("/buckets/none/groups", {"data": {"members": []}}),
        patch(f"{R}/none", {"data": {}}),
        delete(f"{R}/none"),
        patch("/buckets/none", {"data": {}}),
        delete("/buckets/none"),
        head(f"{R}/none"),
        traps=(12,),
    ),
    scenario(
        "records of a missing collection",
        BASE,
        *[
            make(f"{B}/collections/none/records/x", user=user)
            for make in (put, delete, get, head)
            for user in ("alice", "bob", None)
        ],
        *[
            patch(f"{B}/collections/none/records/x", {"data": {}}, user=user)
            for user in ("alice", "bob", None)
        ],
        *[
            make(f"{B}/collections/none/records", user=user)
            for make in (post, delete, get)
            for user in ("bob", None)
        ],
        put("/buckets/none/collections/none/records/x", user=None),
        get("/buckets/none/collections/none/records/x", user=None),
        traps=(13,),
    ),
    scenario(
        "missing objects and permissions",
        put(B, {"permissions": {"read": [BOB]}}),
        put(C),
        delete(f"{C}x", user="bob"),
        patch(f"{C}x", {"data": {}}, user="bob"),
        put(f"{C}x", user="bob"),
        get(f"{C}x", user="bob"),
        delete(f"{R}/none", user="bob"),
        delete(f"{C}x", user="carol"),
        get(f"{C}x", user="carol"),
        patch(f"{C}x", {"data": {}}, user="carol"),
        delete(f"{C}x", user=None),
        patch(B, {"permissions": {"read": [EVERYONE]}}),
        delete(f"{C}x", user=None),
        delete(f"{R}/none", user=None),
        patch(f"{R}/none", {"data": {}}, user=None),
        put(f"{R}/none", user=None),
        get(f"{R}/none", user=None),
        delete(C, user=None),
        traps=(14,),
    ),
    scenario(
        "type, permission, syntax",
        BASE,
        put(R1, TEXT),
        put(R1, TEXT, user="bob"),
        put(R1, TEXT, user=None),
        put(R1, BROKEN),
        put(R1, BROKEN, user="bob"),
        put(R1, BROKEN, user=None),
        post(R, BROKEN),
        post(R, BROKEN, user="bob"),
        patch(R1, BROKEN),
        put(R1),
        patch(R1, BROKEN),
        patch(R1, TEXT, user="bob"),
        put(R1, h=BAD_MATCH, user="bob"),
        put(R1, BROKEN, h=BAD_MATCH),
        put(f"{R}/none", h=BAD_MATCH),
        get(f"{R}/none", h={"If-None-Match": "abc"}),
        patch(f"{R}/none", {"data": {}}, h={"If-Match": '"1"'}),
        put(f"{R}/none", h={"If-Match": '"1"'}),
        patch(f"{R}/none", h={"If-Match": '"1"'}),
        put(R1, {"data": {"id": "other"}}, h={"If-Match": '"1"'}),
        put(R1, {"data": {"id": "other"}}),
        get(f"{R}?_since=abc", h={"If-None-Match": '"1"'}),
        get(f"{R}?_limit=abc&_since=abc&_before=x"),
        get(f"{R}?_limit=abc", user="bob"),
        get(f"{R}?_limit=abc", user=None),
        put(R1, {"foo": 1, "data": 5, "permissions": {"x": []}}),
        put(f"{R}/b@d", BROKEN),
        put(f"{R}/b@d"),
        put(f"{R}/b@d", user="bob"),
        traps=(54,),
    ),
    scenario(
        "304 before list checks",
        BASE,
        get(R, name="list"),
        get(f"{R}?_sort=a-b&_token=abc", h={"If-None-Match": '"{{list.etag}}"'}),
        get(f"{R}?_since=abc", h={"If-None-Match": '"{{list.etag}}"'}),
        get(f"{R}?in_id=1", h={"If-None-Match": '"{{list.etag}}"'}),
        get(f"{R}?_token=abc"),
        get(f"{R}?in_id=1"),
    ),
    scenario(
        "methods",
        BASE,
        put("/buckets"),
        patch("/buckets", {"data": {}}),
        post(B),
        post(C),
        post(R1),
        put(R),
        patch(R, {"data": {}}),
        put("/batch"),
        put("/"),
        get("/buckets/b/history"),
        post("/permissions"),
        patch("/__flush__"),
    ),
    scenario(
        "content types",
        BASE,
        *[
            put(R1, Raw(b'{"data": {"a": 1}}', kind))
            for kind in (
                None,
                "",
                "application/json",
                "application/json; charset=utf-8",
                "APPLICATION/JSON",
                "application/vnd.api+json",
                "application/x-www-form-urlencoded",
                "text/plain",
                "application/merge-patch+json",
                "application/json-patch+json",
                "multipart/form-data; boundary=x",
            )
        ],
        *[
            patch(R1, Raw(b'{"data": {"a": 1}}', kind))
            for kind in (None, "application/json;charset=UTF-8", "text/plain", "application/xml")
        ],
        post(R, Raw(b"{}", "text/plain")),
        post("/batch", Raw(b'{"requests": []}', "text/plain")),
        post("/batch", Raw(b'{"requests": []}', None)),
        *[
            put(R1, h={"Accept": accept})
            for accept in (
                "*/*",
                "application/*",
                "application/json;q=0.1",
                "text/html",
                "text/html, */*;q=0.1",
                "application/json;q=0",
                "*/*;q=0",
                "*/*, application/json;q=0.0",
                "application/*;q=0, application/json",
            )
        ],
        *[
            get(R1, Raw(b"no json", kind))
            for kind in ("application/ld+json", "application/json-patch+json", "text/json", "text/plain")
        ],
        delete(f"{R}/none", Raw(b"no json", "application/vnd.api+json")),
        get(R1, h={"Accept": "text/html"}),
        get(R, h={"Accept": "text/plain"}, user="bob"),
        get(R, h={"Accept": "text/plain"}, user=None),
        get("/", h={"Accept": "text/plain"}),
        delete(R1, h={"Accept": "image/png"}),
    ),
    scenario(
        "validation messages",
        BASE,
        put(R1, {"foo": 1}),
        put(R1, {"data": None}),
        put(R1, {"data": []}),
        put(R1, {"data": "x"}),
        put(R1, {"permissions": None}),
        put(R1, {"permissions": []}),
        put(R1, {"permissions": {"read": "x"}}),
        put(R1, {"permissions": {"read": [1]}}),
        put(R1, {"permissions": {"read": [""]}}),
        put(R1, {"permissions": {"read": [None]}}),
        put(R1, {"permissions": {"read": {"a": 1}}}),
        put(R1, {"permissions": {"foo": [ALICE]}}),
        put(R1, {"permissions": {"record:create": [ALICE]}}),
        put(C, {"permissions": {"record:create": [AUTHENTICATED]}}),
        put(C, {"permissions": {"group:create": [AUTHENTICATED]}}),
        put(B, {"permissions": {"group:create": [AUTHENTICATED], "collection:create": [BOB], "x": []}}),
        put(R1, {"foo": 1, "bar": 2}),
        patch(R1, {}),
        patch(C, {}),
        patch(C, {"foo": {}}),
        patch(C, {"data": {}, "foo": {}}),
        patch(C, {"data": None}),
        patch(C, {"permissions": {"read": "x"}}),
        put(f"{B}/groups/g", {"data": {"members": "x"}}),
        put(f"{B}/groups/g", {"data": {"members": [1, "", None]}}),
        put(f"{B}/groups/g", {"data": {"members": {"a": 1}}}),
        put(C, {"data": {"cache_expires": "abc"}}),
        put(C, {"data": {"cache_expires": "10"}}),
        put(C, {"data": {"cache_expires": 1.5}}),
        put(C, {"data": {"cache_expires": None}}),
        put(C, {"data": {"cache_expires": True}}),
        put(C, {"data": {"cache_expires": [1]}}),
        traps=(55, 56),
    ),
    scenario(
        "credentials that are not",
        put(B, {"permissions": {"read": [EVERYONE]}}),
        *[
            get(path, user=None, h={"Authorization": value})
            for path in (B, f"{B}/groups", "/buckets", "/")
            for value in ("Bearer abc", "Basic !!!", "Basic YWxpY2U", "Basic OnB3", "Basic", "nonsense")
        ],
        put(f"{B}/groups/g", user=None, h={"Authorization": "Bearer x"}),
        put("/buckets/b2", user=None, h={"Authorization": "basic YWxpY2U6"}),
        traps=(60,),
    ),
]
