"""Cross-origin requests (protocol section 1.3)."""

from tests.compat.cases.world import BASE, B, C, R
from tests.compat.scenario import delete, get, head, options, patch, post, put, scenario

GOOD, BAD, GLOB = "http://good.example", "http://evil.example", "https://a.site.example"


def asking(method: str, origin: str = "http://anywhere", **headers: str) -> dict[str, str]:
    """The headers of a preflight."""
    return {"Origin": origin, "Access-Control-Request-Method": method, **headers}


SCENARIOS = [
    scenario(
        "any origin",
        BASE,
        get(B, h={"Origin": "http://a"}),
        get(R, h={"Origin": "http://a"}),
        head(R, h={"Origin": "http://a"}),
        head(f"{R}/x", h={"Origin": "http://a"}),
        put(f"{R}/x", h={"Origin": "http://a"}),
        patch(f"{R}/x", {"data": {}}, h={"Origin": "http://a"}),
        post(R, h={"Origin": "http://a"}),
        get(f"{R}/x", h={"Origin": "http://a"}),
        delete(f"{R}/x", h={"Origin": "http://a"}),
        delete(R, h={"Origin": "http://a"}),
        get("/nothing", h={"Origin": "http://a"}),
        get("/", h={"Origin": "http://a"}),
        get("/__heartbeat__", h={"Origin": "http://a"}),
        post("/batch", {"requests": [{"path": "/"}]}, h={"Origin": "http://a"}),
        get("/buckets/", h={"Origin": "http://a"}),
        get("!/buckets", h={"Origin": "http://a"}),
        get("!/v2/", h={"Origin": "http://a"}),
        get(B, user=None, h={"Origin": "http://a"}),
        get(f"{B}/groups/none", h={"Origin": "http://a"}),
        delete("/", h={"Origin": "http://a"}),
    ),
    scenario(
        "preflight",
        options("/buckets", user=None, h=asking("GET")),
        options("/buckets/b", user=None, h=asking("PUT")),
        options(
            C,
            user=None,
            h=asking("PATCH", **{"Access-Control-Request-Headers": "If-Match, X-Mine,content-type"}),
        ),
        options(R, user=None, h=asking("POST")),
        options(f"{R}/x", user=None, h=asking("DELETE")),
        options("/batch", user=None, h=asking("POST")),
        options("/", user=None, h=asking("GET")),
        options("/__heartbeat__", user=None, h=asking("GET")),
        options("/permissions", user=None, h=asking("GET")),
        options(B, user=None, h=asking("TRACE")),
        options(B, user=None, h=asking("POST")),
        options(B, user=None, h={"Origin": "http://a"}),
        options(B, user=None, h={"Access-Control-Request-Method": "GET"}),
        options(B, user=None),
        options("/nothing", user=None, h=asking("GET")),
        traps=(58,),
    ),
    scenario(
        "restricted origins",
        put("/buckets/b", {"permissions": {"read": ["system.Everyone"]}}),
        get("/buckets/b", h={"Origin": GOOD}),
        get("/buckets/b", h={"Origin": GLOB}),
        get("/buckets/b", h={"Origin": BAD}),
        put("/buckets/b", h={"Origin": BAD}),
        post("/buckets/b/collections", h={"Origin": BAD}),
        get("/", h={"Origin": BAD}),
        get("/nothing", h={"Origin": BAD}),
        get("/nothing", h={"Origin": GOOD}),
        get("/buckets/none", h={"Origin": BAD}),
        get("/buckets/b", user=None, h={"Origin": BAD}),
        post("/batch", {"requests": [{"path": "/"}]}, h={"Origin": BAD}),
        options("/buckets", user=None, h=asking("GET", GOOD)),
        options("/buckets", user=None, h=asking("GET", GLOB)),
        options("/buckets", user=None, h=asking("GET", BAD)),
        get("/buckets/"),
        get("!/buckets"),
        traps=(58,),
        profile="edge",
    ),
]
