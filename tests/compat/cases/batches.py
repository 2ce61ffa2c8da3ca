"""Batch requests (protocol section 6)."""

from tests.compat.cases.world import BASE, BOB, CAROL, R1, B, C, G, R, record
from tests.compat.scenario import PATCH, Raw, basic, batch, delete, get, patch, post, put, scenario

ONE = {"method": "GET", "path": "/"}
WRITE = {"method": "PUT", "path": R1, "body": {"data": {"a": 1}}}

SCENARIOS = [
    scenario(
        "several requests",
        batch(
            {"method": "PUT", "path": B},
            {"method": "PUT", "path": f"/v1{C}", "body": {"permissions": {"read": [BOB]}}},
            {"method": "POST", "path": R, "body": {"data": {"id": "r1", "a": 1}}},
            {"method": "POST", "path": R, "body": {"data": {"a": 2}}},
            {"method": "PATCH", "path": R1, "body": {"data": {"b": 1}}},
            {"method": "GET", "path": f"{R}?_limit=1"},
            {"method": "GET", "path": f"{R}?a=1"},
            {"method": "HEAD", "path": R},
            {"method": "HEAD", "path": R1},
            {"path": R1},
            {"method": "DELETE", "path": R1},
            {"method": "GET", "path": R1},
            {"method": "GET", "path": "/nope"},
            {"method": "PUT", "path": "/"},
            {"method": "GET", "path": "/buckets/"},
            {"method": "GET", "path": "/__heartbeat__"},
            {"method": "TRACE", "path": B},
            {"method": "PUT", "path": f"{B}/collections/none/records/x"},
            {"method": "PATCH", "path": R1, "body": {"data": {}}},
        ),
        get(f"{R}?_since=0"),
        traps=(49,),
    ),
    scenario(
        "ill-formed batches",
        *[
            post("/batch", body)
            for body in (
                {},
                {"requests": []},
                {"requests": None},
                {"requests": {}},
                {"requests": [1]},
                {"requests": [{}]},
                {"requests": [{"method": "GET"}]},
                {"requests": [{"method": "get", "path": "/"}]},
                {"requests": [{"method": "OPTIONS", "path": "/"}]},
                {"requests": [{"method": "GET", "path": "nope"}]},
                {"requests": [{"method": "GET", "path": 5}]},
                {"requests": [{"method": "GET", "path": ""}]},
                {"requests": [{"method": "GET", "path": "/", "zork": 1}]},
                {"requests": [{"method": "GET", "path": "/", "headers": {"X": 5}}]},
                {"requests": [{"method": "GET", "path": "/", "headers": []}]},
                {"requests": [{"method": "PUT", "path": "/buckets/b", "body": []}]},
                {"requests": [{"method": "PUT", "path": "/buckets/b", "body": "x"}]},
                {"requests": [{"method": "PUT", "path": "/buckets/b", "body": None}]},
                {"requests": [], "zork": 1},
                {"defaults": {"zork": 1}, "requests": [{"path": "/"}]},
                {"defaults": [], "requests": [{"path": "/"}]},
                {"defaults": {"path": "nope"}, "requests": [{}]},
                {"defaults": {"method": "BREW"}, "requests": [{"path": "/"}]},
                {"requests": [{"path": "/batch"}]},
                {"requests": [{"path": "/buckets/batch"}]},
                {"requests": [{"path": "/v1/batch"}]},
                {"requests": [{"path": "/buckets?x=/batch"}]},
                {"requests": [ONE, {"path": 5}, {"method": 5, "path": "/"}]},
            )
        ],
        batch(*[ONE] * 25),
        batch(*[ONE] * 26),
        traps=(50,),
    ),
    scenario("a batch that is an array", post("/batch", Raw(b"[]")), post("/batch", Raw(b"[1]"))),
    scenario("limit of the batch", batch(*[ONE] * 4), batch(*[ONE] * 5), profile="paged"),
    scenario(
        "defaults",
        BASE,
        batch(
            {"path": R1},
            {"path": f"{R}/r2", "body": {"data": {"e": 2}}},
            defaults={"method": "PUT", "body": {"data": {"d": 1, "e": 1}}},
        ),
        batch({}, {"path": "/"}, {"method": "HEAD"}, defaults={"path": R1}),
        batch(
            {"headers": {"If-Match": '"5"'}},
            {},
            defaults={"method": "PUT", "path": R1, "headers": {"If-Match": "*", "X-Y": "z"}},
        ),
        batch(
            {"path": R1, "body": {"permissions": {"read": [BOB]}}},
            defaults={"method": "PATCH", "body": {"permissions": {"write": [CAROL]}}},
        ),
        get(R1),
    ),
    scenario(
        "headers",
        BASE,
        record("r1", a=1),
        batch({"path": R1, "method": "PUT"}, {"path": f"{R}/r2", "method": "PUT"}, h={"If-None-Match": "*"}),
        batch({"path": R1, "method": "PUT"}, h={"If-Match": '"5"'}),
        batch({"path": R1, "method": "PUT", "headers": {"If-Match": "*"}}, h={"If-Match": '"5"'}),
        batch({"path": B, "headers": {"Authorization": basic("bob")}}, {"path": B}),
        batch({"path": B, "headers": {"Authorization": basic("alice")}}, {"path": B}, user=None),
        batch({"path": B, "headers": {"authorization": basic("bob")}}),
        batch(
            {"path": "/", "headers": {"Accept": "text/plain"}},
            {"path": B, "headers": {"Accept": "text/plain"}},
        ),
        batch({"path": B, "headers": {"If-Match": "nonsense"}}),
        batch({"path": B}, h={"Origin": "http://a"}),
        batch(
            {
                "path": R1,
                "method": "PATCH",
                "body": {"data": {"a": 2}},
                "headers": {"Response-Behavior": "light"},
            }
        ),
        traps=(48,),
    ),
    scenario(
        "forms of patch in a batch",
        BASE,
        record("r1", a=1, o={"x": 1}),
        batch(
            {
                "path": R1,
                "method": "PATCH",
                "body": {"data": {"a": None, "o": {"y": 2}}},
                "headers": {"Content-Type": "application/merge-patch+json"},
            }
        ),
        batch(
            {
                "path": R1,
                "method": "PATCH",
                "body": [{"op": "add", "path": "/data/z", "value": 1}],
                "headers": {"Content-Type": PATCH},
            }
        ),
        batch({"path": R1, "method": "PUT", "body": {"data": {}}, "headers": {"Content-Type": "text/plain"}}),
        batch({"path": R1, "method": "PUT", "headers": {"Content-Type": "text/plain"}}),
        get(R1),
        traps=(46,),
    ),
    scenario(
        "errors in a batch",
        BASE,
        batch(
            WRITE,
            {"method": "PUT", "path": f"{R}/b@d"},
            {"method": "PUT", "path": f"{R}/r2", "body": {"foo": 1}},
            {"method": "PUT", "path": f"{R}/r3"},
        ),
        get(R),
        batch(WRITE, {"path": B}, {"method": "PUT", "path": "/buckets/new"}, user="bob"),
        batch(WRITE, {"path": B}, {"path": "/"}, user=None),
        batch({"path": f"{R}?_since=abc"}, {"path": f"{R}?_sort=n&_limit=1"}, {"path": f"{R}?_limit=0"}),
        batch(
            {"method": "POST", "path": R, "body": {"data": {"id": "r1"}}},
            {"method": "POST", "path": R, "body": {"data": {"id": 5}}},
        ),
        traps=(51,),
    ),
    scenario(
        "304 in a batch",
        BASE,
        record("r1", a=1),
        get(R1, name="r1"),
        batch({"path": R1, "headers": {"If-None-Match": '"{{r1.etag}}"'}}, WRITE),
        traps=(51,),
    ),
    scenario(
        "paths beyond ASCII",
        BASE,
        batch({"path": "/buckets/café"}),
        batch({"path": "/buckets/caf%C3%A9"}),
        batch({"path": f'{R}?f="é"'}),
        batch({"path": f"{R}/a b"}),
    ),
    scenario(
        "NUL in a batch",
        BASE,
        batch(WRITE, {"method": "PUT", "path": f"{R}/r2", "body": {"data": {"a": "\u0000"}}}),
        get(R),
    ),
    scenario(
        "one timestamp each",
        BASE,
        batch(*[{"method": "PUT", "path": f"{R}/r{index}"} for index in range(10)]),
        get(R),
        batch({"method": "DELETE", "path": R}),
        get(f"{R}?_since=0"),
    ),
    scenario(
        "collection replaced inside a batch",
        BASE,
        record("old"),
        batch(
            {"method": "DELETE", "path": C},
            {"method": "PUT", "path": C},
            {"method": "PUT", "path": R1},
            {"path": R},
        ),
        get(R),
    ),
    scenario(
        "records of a collection deleted inside a batch",
        BASE,
        record("old"),
        batch({"method": "DELETE", "path": C}, {"path": R}, {"path": f"{R}/old"}),
    ),
    scenario(
        "membership inside a batch",
        BASE,
        put(C, {"permissions": {"write": ["/buckets/b/groups/g"]}}),
        put(B, {"permissions": {"group:create": [BOB]}}),
        batch(
            {"method": "PUT", "path": G, "body": {"data": {"members": [BOB]}}},
            {"method": "PUT", "path": R1},
            user="bob",
        ),
        get(R1, user="bob"),
    ),
    scenario(
        "schema inside a batch",
        BASE,
        batch(
            {
                "method": "PATCH",
                "path": C,
                "body": {"data": {"schema": {"type": "object", "required": ["a"]}}},
            },
            {"method": "PUT", "path": R1, "body": {"data": {"b": 1}}},
        ),
        get(R1),
    ),
    scenario(
        "created in the same batch",
        batch(
            {"method": "PUT", "path": B},
            {"method": "PUT", "path": C, "body": {"data": {"schema": {"type": "object", "required": ["a"]}}}},
            {"method": "PUT", "path": R1, "body": {"data": {}}},
            {"method": "PUT", "path": R1, "body": {"data": {"a": 1}}},
        ),
    ),
    scenario(
        "same timestamps in a batch",
        BASE,
        batch(
            {"method": "PUT", "path": R1, "body": {"data": {"last_modified": 1000}}},
            {"method": "PUT", "path": f"{R}/r2", "body": {"data": {"last_modified": 1000}}},
        ),
        get(f"{R}?_sort=id&_fields=id"),
    ),
    scenario(
        "pages in a batch",
        BASE,
        batch(*[{"method": "PUT", "path": f"{R}/r{index}"} for index in range(4)]),
        batch({"path": f"{R}?_limit=2"}, {"path": f"{R}?_limit=2&_sort=id"}),
        patch(B, {"data": {}}),
        delete(B),
    ),
]
