"""Every method on accounts for every sort of caller, against the table of protocol section 9.3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.inprocess import App, Databases, opened, principal, settings_for

pytestmark = pytest.mark.usefixtures("cheap_hashes")

BODY = {"data": {"password": "secret"}}
WITHOUT = {"data": {"age": 7}}

CALLERS: dict[str, dict[str, Any]] = {
    "nobody": {"user": None},
    "stranger": {"user": "alice"},
    "zoe": {"auth": ("zoe", "secret")},
    "yan": {"auth": ("yan", "secret")},
    "reader": {"auth": ("reader", "secret")},
    "writer": {"auth": ("writer", "secret")},
    "admin": {"auth": ("admin", "secret")},
    "maker": {"user": "carol"},
    "wrong": {"auth": ("zoe", "wrong")},
}
NAMES = ("zoe", "yan", "reader", "writer", "admin")
ANONYMOUS = ("nobody", "wrong")
OWNER = ("zoe",)
WRITERS = ("writer", "admin")
MANAGERS = ("admin",)
"""Who is in both `account_read` and `account_write`, and so sees everybody in the list."""

EVERYBODY = {f"{name}" for name in NAMES}


@pytest_asyncio.fixture(params=["open", "closed"])
async def world(request: pytest.FixtureRequest, engine: str, databases: Databases) -> AsyncIterator[App]:
    """A server where everybody may sign up, or one where only carol makes accounts."""
    access = {
        "account_create": ["system.Everyone"],
        "account_read": ["account:reader", "account:admin"],
        "account_write": ["account:writer", "account:admin"],
    }
    async with opened(settings_for(databases.url(engine), access=access)) as app:
        await rebuild(app)
        if request.param == "closed":
            from kintoun.resources.access import Access

            app.application.composition.service.access = Access(
                {**access, "account_create": [principal("carol")]}
            )
        yield app


async def rebuild(app: App) -> None:
    for name in NAMES:
        await app.ok(f"PUT /accounts/{name}", BODY, user=None)


def open_to_all(app: App) -> bool:
    return app.application.composition.service.access._settings["account_create"] == {"system.Everyone"}


def expected(app: App, caller: str, method: str, path: str) -> int:
    """The status that the table gives."""
    refused = 401 if caller in ANONYMOUS else 403
    creates = open_to_all(app) or caller == "maker"
    if path == "/accounts":
        if caller in ANONYMOUS:
            return 401
        return 200 if caller in NAMES or creates else refused
    if path == "/accounts/zoe":
        if method in ("GET", "HEAD"):
            return 200 if caller in (*OWNER, "reader", *WRITERS) else refused
        return 200 if caller in (*OWNER, *WRITERS) else refused
    assert path == "/accounts/new"
    if method == "PUT":
        if not creates:
            return refused
        return 201 if caller in (*ANONYMOUS, *WRITERS) else 400
    return 404 if caller in ("reader", *WRITERS) and method in ("GET", "HEAD") else refused


async def check(app: App, caller: str, method: str, path: str, wrong: list[str]) -> bool:
    body = BODY if method == "PUT" else WITHOUT if method == "PATCH" else None
    answer = await app.call(f"{method} {path}", body, **CALLERS[caller])
    status = expected(app, caller, method, path)
    if answer.status_code != status:
        wrong.append(f"{caller}: {method} {path}: {answer.status_code} where the table says {status}")
    return answer.is_success


async def test_reading_and_changing(world: App) -> None:
    wrong: list[str] = []
    for caller in CALLERS:
        for method in ("GET", "HEAD", "PATCH", "PUT"):
            await check(world, caller, method, "/accounts/zoe", wrong)
        for method in ("GET", "HEAD"):
            await check(world, caller, method, "/accounts", wrong)
            await check(world, caller, method, "/accounts/new", wrong)
        answer = await world.call("PATCH /accounts/new", WITHOUT, **CALLERS[caller])
        if answer.status_code not in ((404, 403) if caller in ("reader", *WRITERS) else (401, 403)):
            wrong.append(f"{caller}: PATCH of a missing account: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


async def test_what_lists_show(world: App) -> None:
    for caller in CALLERS:
        answer = await world.call("GET /accounts", **CALLERS[caller])
        if answer.status_code != 200:
            continue
        seen = {item["id"] for item in answer.json()["data"]}
        assert seen == (EVERYBODY if caller in MANAGERS else {caller} & EVERYBODY), caller


async def test_making(world: App) -> None:
    wrong: list[str] = []
    for caller in CALLERS:
        if await check(world, caller, "PUT", "/accounts/new", wrong):
            await world.ok("DELETE /accounts/new", **CALLERS["admin"])
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("world", ["open"], indirect=True)  # accounts are made anew between the callers
async def test_deleting(world: App) -> None:
    wrong: list[str] = []
    for caller in CALLERS:
        await check(world, caller, "DELETE", "/accounts/zoe", wrong)
        if (await world.call("GET /accounts/zoe", **CALLERS["admin"])).status_code == 404:
            await world.ok("PUT /accounts/zoe", BODY, user=None)
        answer = await world.call("DELETE /accounts", **CALLERS[caller])
        if answer.status_code == 200:
            gone = {item["id"] for item in answer.json()["data"]}
            if gone != (EVERYBODY if caller in WRITERS else {caller} & EVERYBODY):
                wrong.append(f"{caller}: DELETE /accounts takes {gone}")
            for name in gone:
                await world.ok(f"PUT /accounts/{name}", BODY, user=None)
        elif answer.status_code != expected(world, caller, "DELETE", "/accounts"):
            wrong.append(f"{caller}: DELETE /accounts: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
