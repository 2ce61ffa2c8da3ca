"""Every method on every URL with every scope, alone and in a batch, against a table of what scopes cover."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from tests.support.inprocess import FEATURES, App, Databases, opened, settings_for

pytestmark = pytest.mark.usefixtures("cheap_hashes")

ZOE = ("zoe", "secret")

C = "/buckets/a/collections/c"
URLS = {
    "open": ["/", "/__heartbeat__", "/__lbheartbeat__", "/__version__", "/contribute.json", "/__api__"],
    "root": ["/buckets", "/permissions", "/__flush__"],
    "bucket": [
        "/buckets/a", "/buckets/a/collections", "/buckets/a/groups", "/buckets/a/groups/g",
        "/buckets/a/history", "/buckets/a/collections/cc", "/buckets/a/collections/cc/records",
        "/buckets/a/collections/cc/records/r",
    ],
    "collection": [C, f"{C}/records", f"{C}/records/r"],
    "other bucket": ["/buckets/ab", "/buckets/ab/collections/c", "/buckets/ab/collections/c/records/r"],
    "accounts": [
        "/accounts", "/accounts/zoe", "/accounts/yan", "/accounts/zoe/tokens", "/accounts/zoe/tokens/x",
        "/accounts/yan/tokens", "/__user_data__/account:zoe",
    ],
}  # fmt: skip
"""URLs by the area that they are in. Areas of the same name as another's beginning are traps."""

READING = {"GET", "HEAD"}
METHODS = ("GET", "HEAD", "PATCH", "PUT", "POST", "DELETE")
EVERYTHING = set(METHODS)
DATA = {"root", "bucket", "collection", "other bucket"}

SCOPES: dict[tuple[str, ...], dict[str, set[str]]] = {
    ("read:/",): dict.fromkeys(DATA, READING),
    ("write:/",): dict.fromkeys(DATA, EVERYTHING),
    ("read:/buckets/a",): dict.fromkeys(("bucket", "collection"), READING),
    ("write:/buckets/a",): dict.fromkeys(("bucket", "collection"), EVERYTHING),
    (f"read:{C}",): {"collection": READING},
    (f"write:{C}",): {"collection": EVERYTHING},
    ("account",): {"accounts": EVERYTHING},
    ("read:/", f"write:{C}"): {**dict.fromkeys(DATA, READING), "collection": EVERYTHING},
    ("read:/buckets/elsewhere",): {},
}
"""The methods that scopes cover, by area; `open` is everybody's."""

REFUSED = "These credentials may not be used for this request."


@pytest_asyncio.fixture
async def world(engine: str, databases: Databases) -> AsyncIterator[App]:
    """An account that may do everything, so that nothing but scopes is in its way."""
    access = {
        f"{kind}_{permission}": ["account:zoe"]
        for kind in ("bucket", "collection", "group", "record", "account")
        for permission in ("create", "read", "write")
    }
    access["account_create"] = ["system.Everyone"]
    access["user-data_delete"] = ["account:zoe"]
    settings = replace(settings_for(databases.url(engine), access=access), features=[*FEATURES, "history"])
    async with opened(settings) as app:
        await app.ok("PUT /accounts/zoe", {"data": {"password": "secret"}}, user=None)
        yield app


async def rebuild(app: App) -> None:
    """Everything that the URLs name, after a request may have deleted it."""
    if (await app.call("GET /accounts/zoe", auth=ZOE)).status_code != 200:
        await app.ok("PUT /accounts/zoe", {"data": {"password": "secret"}}, user=None)
    paths = [path for area in ("bucket", "collection", "other bucket") for path in URLS[area]]
    single = [path for path in paths if len(path.split("/")) % 2 and not path.endswith("/history")]
    requests = [{"method": "PUT", "path": path} for path in sorted(single, key=len)]
    await app.ok("POST /batch", {"requests": requests}, auth=ZOE)


def refused(status: int, body: Any) -> bool:
    return status == 403 and isinstance(body, dict) and body.get("message") == REFUSED


def cases() -> list[tuple[str, str, str]]:
    """Method, area and URL; what empties the server comes last."""
    found = [(method, area, url) for area, urls in URLS.items() for url in urls for method in METHODS]
    return [case for case in found if case[2] != "/__flush__" or case[0] != "POST"]


async def token(app: App, scopes: tuple[str, ...]) -> dict[str, Any]:
    body = {"data": {"name": "n", "scopes": list(scopes)}}
    made = await app.ok("POST /accounts/zoe/tokens", body, auth=ZOE)
    return {"headers": {"Authorization": f"Bearer {made['data']['token']}"}, "user": None}


@pytest.mark.parametrize("scopes", SCOPES, ids=" ".join)
async def test_a_token_may_what_its_scopes_say(world: App, scopes: tuple[str, ...]) -> None:
    wrong: list[str] = []
    await rebuild(world)
    bearer = await token(world, scopes)
    for method, area, url in cases():
        covered = area == "open" or method in SCOPES[scopes].get(area, set())
        answer = await world.call(f"{method} {url}", {"data": {}} if method[0] == "P" else None, **bearer)
        said = refused(answer.status_code, answer.json() if answer.content else None)
        if method == "HEAD":
            said = answer.status_code == 403
        if said == covered:
            wrong.append(f"{method} {url}: {answer.status_code}")
        if covered and answer.is_success and method in ("DELETE", "PUT", "PATCH") and area != "open":
            await rebuild(world)
            if url.startswith("/accounts") or area == "accounts":
                bearer = await token(world, scopes)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("scopes", SCOPES, ids=" ".join)
async def test_a_batch_gives_a_token_nothing_more(world: App, scopes: tuple[str, ...]) -> None:
    wrong: list[str] = []
    await rebuild(world)
    bearer = await token(world, scopes)
    uncovered = [
        (method, url)
        for method, area, url in cases()
        if area != "open" and method not in SCOPES[scopes].get(area, set())
    ]
    # A slash at the end is redirected, in a batch to where the request is run after all.
    uncovered += [(method, f"{url}/") for method, url in uncovered]
    for n in range(0, len(uncovered), 25):
        requests = [
            {"method": method, "path": url, **({"body": {"data": {}}} if method[0] == "P" else {})}
            for method, url in uncovered[n : n + 25]
        ]
        answers = await world.ok("POST /batch", {"requests": requests}, **bearer)
        for request, item in zip(requests, answers["responses"], strict=True):
            told = {"message": REFUSED} if request["method"] == "HEAD" else item["body"]
            if not refused(item["status"], told):
                wrong.append(f"{request['method']} {request['path']}: {item['status']}")
    assert not wrong, "\n".join(wrong)
    for path in (C, f"{C}/records/r", "/buckets/ab", "/accounts/zoe"):
        assert (await world.call(f"GET {path}", auth=ZOE)).status_code == 200, path


async def test_a_token_cannot_borrow_another_name_in_a_batch(world: App) -> None:
    """Each request of a batch counts by its own credentials: neither lends the other anything."""
    await rebuild(world)
    reading = (await token(world, ("read:/",)))["headers"]
    writing = (await token(world, (f"write:{C}",)))["headers"]
    requests = [
        {"method": "PUT", "path": f"{C}/records/n1"},
        {"method": "PUT", "path": f"{C}/records/n2", "headers": writing},
        {"method": "GET", "path": "/buckets", "headers": writing},
        {"method": "GET", "path": "/buckets"},
    ]
    answers = await world.ok("POST /batch", {"requests": requests}, headers=reading, user=None)
    assert [item["status"] for item in answers["responses"]] == [403, 201, 403, 200]
