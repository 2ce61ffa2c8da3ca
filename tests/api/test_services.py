"""The endpoints that serve no objects: the root, heartbeats, redirects, CORS, batches, erasure."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs

from tests.api.scenarios import (
    ALICE,
    BOB,
    UNAUTHORIZED,
    C,
    G,
    Like,
    R,
    Scenario,
    Some,
    T,
    error,
    refused,
    run,
    shown,
    world,
)
from tests.support.inprocess import App

URL = "http://server.example/v1"
ORIGIN = {"Origin": "http://page.example"}
NOT_FOUND = error(404, 111, "The resource you are looking for could not be found.")
NOT_ALLOWED = error(405, 115, "Method not allowed on this endpoint.")
PREFLIGHT = {**ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "X-Mine"}

SCENARIOS = [
    Scenario("GET /__lbheartbeat__", 200, {}, user=None),
    Scenario("GET /__heartbeat__", 200, {"storage": True, "permission": True, "cache": True}, user=None),
    Scenario("GET /__version__", 200, user=None),
    Scenario("GET /contribute.json", 200, user=None),
    Scenario("GET /nowhere", 404, NOT_FOUND),
    Scenario("POST /", 405, NOT_ALLOWED, has={"Allow": "HEAD, GET, OPTIONS"}),
    Scenario(f"POST {R}/r1", 405, NOT_ALLOWED, has={"Allow": "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"}),
    Scenario(f"PUT {R}", 405, NOT_ALLOWED, has={"Allow": "HEAD, GET, POST, DELETE, OPTIONS"}),
    # Redirects (section 1.2).
    Scenario(
        "GET http://server.example/v1", 307, has={"Location": f"{URL}/", "Cache-Control": "max-age=3600"}
    ),
    Scenario("PUT http://server.example/buckets/b?x=1", 307, has={"Location": f"{URL}/buckets/b?x=1"}),
    Scenario("GET /buckets/", 307, has={"Location": f"{URL}/buckets", "Cache-Control": "max-age=3600"}),
    Scenario(
        "GET http://server.example/v2/buckets",
        404,
        error(404, 116, "The requested API version is not available on this server."),
    ),
    Scenario("GET http://server.example/v1foo", 404, NOT_FOUND),
    # Other origins (section 1.3).
    Scenario(f"GET {R}", 200, headers=ORIGIN, has={"Access-Control-Allow-Origin": "*"}),
    Scenario(f"GET {R}", 200, has={"Access-Control-Allow-Origin": None}),
    Scenario(f"GET {R}/zz", 404, headers=ORIGIN, has={"Access-Control-Allow-Origin": "*"}),
    Scenario(
        f"OPTIONS {R}/r1",
        200,
        user=None,
        headers=PREFLIGHT,
        has={
            "Access-Control-Allow-Methods": "GET,HEAD,PUT,PATCH,DELETE,OPTIONS",
            "Access-Control-Allow-Headers": Like(".*X-Mine.*"),
            "Access-Control-Max-Age": "3600",
            "Access-Control-Allow-Origin": "*",
        },
    ),
    Scenario(f"OPTIONS {R}/r1", 400, user=None),
    Scenario(
        f"OPTIONS {R}/r1", 400, user=None, headers={**PREFLIGHT, "Access-Control-Request-Method": "POST"}
    ),
    # What is every answer's (section 1.1).
    Scenario(
        "GET /nowhere",
        404,
        has={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; ",
            "Content-Type": "application/json",
            "Access-Control-Expose-Headers": Some(str),
        },
    ),
    # Batches (section 6).
    Scenario("POST /batch", 200, {"responses": []}, {"requests": []}),
    Scenario(
        "POST /batch",
        200,
        {
            "responses": [
                {"path": "/v1/nowhere", "status": 404, "headers": Some(dict), "body": NOT_FOUND},
                {"path": f"/v1{R}/r1", "status": 200, "headers": Some(dict), "body": ""},
                {"path": f"/v1{R}/x", "status": 201, "headers": Some(dict), "body": shown(id="x", d=1, e=2)},
            ]
        },
        {
            "defaults": {"body": {"data": {"d": 1}}},
            "requests": [
                {"path": "/nowhere", "body": {}},
                {"path": f"/v1{R}/r1?_fields=n", "method": "HEAD"},
                {"path": f"{R}/x", "method": "PUT", "body": {"data": {"e": 2}}},
            ],
        },
        events=[f"create {R}/x"],
    ),
    Scenario(
        "POST /batch",
        400,
        refused("body", "requests", Like(".*limited to 25")),
        {"requests": [{"path": "/"}] * 26},
    ),
    Scenario("POST /batch", 415, raw=b"x", headers={"Content-Type": "text/plain"}),
    # A collection that a batch deletes and makes again holds what is put there afterwards.
    Scenario(
        "POST /batch",
        200,
        body={
            "requests": [
                {"method": "DELETE", "path": C},
                {"method": "PUT", "path": C},
                {"method": "PUT", "path": f"{R}/x"},
                {"path": R},
            ]
        },
        events=[f"delete {C}", f"create {C}", f"create {R}/x"],
        then=[(f"GET {R}", {"data": [{"id": "x", "last_modified": T}]})],
    ),
    # Erasure (section 8.7).
    Scenario(f"DELETE /__user_data__/{ALICE}", 403),
    Scenario(f"DELETE /__user_data__/{ALICE}", 401, UNAUTHORIZED, user=None),
    Scenario(f"GET /__user_data__/{ALICE}", 405),
    Scenario(
        "POST /__flush__",
        202,
        {},
        user=None,
        then=[("GET /buckets", {"data": []}), ("PUT /buckets/b", shown(id="b"))],
    ),
]


async def test_scenarios(app: App) -> None:
    await run(app, SCENARIOS)


async def test_the_root_tells_what_clients_look_for(app: App) -> None:
    await world(app)
    told = await app.ok("GET /", user=None)
    assert set(told) == {
        "project_name", "project_version", "http_api_version", "project_docs", "url", "config", "settings",
        "capabilities",
    }  # fmt: skip
    assert told["url"] == f"{URL}/"
    assert told["http_api_version"] == "1.23"
    assert told["settings"] == {"readonly": False, "batch_max_requests": 25, "explicit_permissions": True}
    assert set(told["capabilities"]) >= {
        "accounts",
        "basicauth",
        "permissions_endpoint",
        "flush_endpoint",
        "schema",
    }
    user = (await app.ok("GET /", user="bob"))["user"]
    principals = [BOB, G, "system.Authenticated", "system.Everyone"]
    assert user == {"id": BOB, "principals": principals, "bucket": user["bucket"]}


async def test_a_read_in_a_batch_that_has_not_changed_is_an_item_of_its_own(app: App) -> None:
    await world(app)
    tag = (await app.call(f"GET {R}/r1")).headers["ETag"]
    requests = [{"path": f"{R}/r1", "headers": {"If-None-Match": tag}}, {"method": "PUT", "path": f"{R}/x"}]
    answer = await app.ok("POST /batch", {"requests": requests})
    assert [(item["status"], item["body"]) for item in answer["responses"]] == [(304, ""), (201, Some(dict))]


async def test_the_description_is_openapi_and_describes_every_endpoint(app: App) -> None:
    document = await app.ok("GET /__api__", user=None)
    assert document["openapi"].startswith("3.1")
    routes = app.application.composition.service.router.endpoints
    described = {
        (path, method)
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    served = {
        (endpoint.pattern.replace(":tail}", "}"), method.lower())
        for endpoint in routes
        for method in endpoint.methods
    }
    assert described == served
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            operation = item[method]
            assert operation["summary"], f"{method} {path} says what it does"
            assert any(status[0] in "23" for status in operation["responses"])
    _resolve(document, document)


def _resolve(part: Any, document: Any) -> None:
    """Every reference leads somewhere, and every schema is one."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            target = document
            for step in part["$ref"].removeprefix("#/").split("/"):
                target = target[step]
        if isinstance(part.get("schema"), dict) and "$ref" not in part["schema"]:
            jsonschema_rs.meta.validate(
                json.loads(json.dumps(part["schema"]).replace("#/components", "#/$defs"))
            )
        for inner in part.values():
            _resolve(inner, document)
    elif isinstance(part, list):
        for inner in part:
            _resolve(inner, document)


async def test_the_page_asks_nothing_of_others(app: App) -> None:
    page = await app.call("GET /__api__/", user=None)
    assert page.headers["Content-Type"] == "text/html; charset=UTF-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for attribute in ("src=", "@import", ": url("):
        assert attribute not in page.text, f"the page loads nothing: {attribute}"
