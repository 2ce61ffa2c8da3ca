"""API tokens: made once, shown once, used for what their scopes say, revoked at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from kintoun.features.accounts.settings import AccountsSection
from kintoun.features.accounts.tokens import DAY, read_token, token_id, token_text
from kintoun.features.accounts.usage import COARSENESS, Usage
from kintoun.model import timestamps
from kintoun.model.paths import ListPath
from kintoun.resources.service import Service
from tests.support.inprocess import App, Databases, opened, settings_for

pytestmark = pytest.mark.usefixtures("cheap_hashes")

ZOE = ("zoe", "secret")
ROOT = ("root", "secret")
TOKENS = "/accounts/zoe/tokens"
ACCESS = {
    "account_create": ["system.Everyone"],
    "account_write": ["account:root"],
    "account_read": ["account:reader"],
    "bucket_create": ["system.Authenticated"],
}


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    """Accounts zoe, yan, root (who may write all) and reader (who may read all), and a bucket of zoe's."""
    section = {"accounts": AccountsSection(tokens=5)}
    async with opened(settings_for(databases.url(engine), access=ACCESS, sections=section)) as made:
        for name in ("zoe", "yan", "root", "reader"):
            await made.ok(f"PUT /accounts/{name}", {"data": {"password": "secret"}}, user=None)
        await made.ok("PUT /buckets/hers", auth=ZOE)
        made.forget()
        yield made


def service(app: App) -> Service:
    return app.application.composition.service


async def new(app: App, *scopes: str, **more: Any) -> dict[str, Any]:
    """A new token of zoe's."""
    body = {"data": {"name": "of the test", "scopes": list(scopes), **more}}
    data: dict[str, Any] = (await app.ok(f"POST {TOKENS}", body, auth=ZOE))["data"]
    return data


def bearing(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}, "user": None}


async def test_a_token_is_shown_once(app: App) -> None:
    made = await new(app, "read:/", "write:/buckets/hers")
    assert set(made) == {"id", "last_modified", "name", "scopes", "expires", "token"}
    bearer = read_token(made["token"])
    assert bearer is not None
    assert (bearer.account, bearer.id) == ("zoe", made["id"])
    secret = made["token"].partition(".")[2]
    shown = [
        await app.call(f"GET {TOKENS}", auth=ZOE),
        await app.call(f"GET {TOKENS}/{made['id']}", auth=ZOE),
        await app.call(f"GET {TOKENS}?_since=0", auth=ROOT),
        await app.call("POST /batch", {"requests": [{"path": TOKENS}]}, auth=ZOE),
        await app.call(f"DELETE {TOKENS}/{made['id']}", auth=ZOE),
    ]
    for answer in shown:
        assert answer.status_code == 200
        assert made["id"] in answer.text
        assert secret not in answer.text
    for change in app.changes:
        assert secret not in f"{change.path}{change.old_body}{change.new_body}"
    table = await service(app).store.fetch("SELECT body FROM object")
    assert not any(secret in row[0] for row in table)


async def test_a_token_acts_for_its_account(app: App) -> None:
    made = await new(app, "write:/")
    told = (await app.ok("GET /", **bearing(made["token"])))["user"]
    assert told["id"] == "account:zoe"
    assert told["token"] == {"scopes": ["write:/"], "expires": made["expires"]}
    assert "token" not in (await app.ok("GET /", auth=ZOE))["user"]
    written = await app.ok("PUT /buckets/new", **bearing(made["token"]))
    assert written["permissions"] == {"write": ["account:zoe"]}
    as_password = await app.ok("GET /buckets/new", auth=("zoe", made["token"]))
    assert as_password["data"]["id"] == "new"
    assert (await app.call("GET /buckets/new", auth=("yan", made["token"]))).status_code == 401
    lower = {"headers": {"Authorization": f"bearer  {made['token']}"}, "user": None}
    assert (await app.call("GET /buckets/new", **lower)).status_code == 200


async def test_what_a_token_must_have(app: App) -> None:
    now = timestamps.now()
    good = {"name": "n", "scopes": ["read:/"]}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": ""}, "data.name"),
        ({"name": 5}, "data.name"),
        ({"name": "x" * 201}, "data.name"),
        ({"scopes": []}, "data.scopes"),
        ({"scopes": "read:/"}, "data.scopes"),
        ({"scopes": ["read:/"] * 51}, "data.scopes"),
        ({"scopes": ["read:/", "everything"]}, "data.scopes.1"),
        ({"scopes": [7]}, "data.scopes.0"),
        ({"scopes": [{}]}, "data.scopes.0"),
        ({"expires": now - 1}, "data.expires"),
        ({"expires": now + 367 * DAY}, "data.expires"),
        ({"expires": None}, "data.expires"),
        ({"expires": True}, "data.expires"),
        ({"expires": "2030-01-01"}, "data.expires"),
        ({"expires": 10**30}, "data.expires"),
        ({"id": "chosen"}, "data.id"),
        ({"token": "kt_x"}, "data.token"),
        ({"last_used": 5}, "data.last_used"),
        ({"last_modified": 5}, "data.last_modified"),
    ]
    for change, name in wrong:
        answer = await app.call(f"POST {TOKENS}", {"data": {**good, **change}}, auth=ZOE)
        assert answer.status_code == 400, change
        assert name in [detail["name"] for detail in answer.json()["details"]], (change, answer.text)
    for body in (None, {}, {"data": 5}, {"data": good, "permissions": {"read": ["account:yan"]}}):
        assert (await app.call(f"POST {TOKENS}", body, auth=ZOE)).status_code == 400, body
    stranger = await app.call(f"POST {TOKENS}", {"data": {"scopes": 5}}, auth=("yan", "secret"))
    assert stranger.status_code == 403  # what is wrong is told to those who may
    assert app.events == []
    for scope in ("read:", "write", "read:/buckets", "read:/buckets/", "read:/buckets/a/", "delete:/",
                  "read:/buckets/*", "read:/accounts", "read:/buckets/a/groups/g", "READ:/", " read:/",
                  "read:/buckets/a/collections/b/records/c", "read:/\n"):  # fmt: skip
        answer = await app.call(f"POST {TOKENS}", {"data": {**good, "scopes": [scope]}}, auth=ZOE)
        assert answer.status_code == 400, scope


async def test_tokens_are_never_changed(app: App) -> None:
    made = await new(app, "read:/")
    for method in ("PUT", "PATCH"):
        answer = await app.call(
            f"{method} {TOKENS}/{made['id']}", {"data": {"scopes": ["write:/"]}}, auth=ZOE
        )
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD, DELETE, OPTIONS"
    same = await app.call(
        f"POST {TOKENS}", {"data": {"id": made["id"], "name": "n", "scopes": ["write:/"]}}, auth=ZOE
    )
    assert same.status_code == 400


async def test_an_account_has_only_so_many_tokens(app: App) -> None:
    for _ in range(5):
        made = await new(app, "read:/")
    body = {"data": {"name": "one more", "scopes": ["read:/"]}}
    assert (await app.call(f"POST {TOKENS}", body, auth=ZOE)).status_code == 403
    await app.ok(f"DELETE {TOKENS}/{made['id']}", auth=ZOE)
    answers = await asyncio.gather(*(app.call(f"POST {TOKENS}", body, auth=ZOE) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403]
    assert len((await app.ok(f"GET {TOKENS}", auth=ZOE))["data"]) == 5
    other = await app.call("POST /accounts/yan/tokens", body, auth=("yan", "secret"))
    assert other.status_code == 201


async def test_a_token_ends_when_it_is_revoked(app: App) -> None:
    made, kept = await new(app, "read:/"), await new(app, "read:/")
    assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == 200
    await app.ok(f"DELETE {TOKENS}/{made['id']}", auth=ZOE)
    assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == 401
    assert (await app.call("GET /buckets/hers", auth=("zoe", made["token"]))).status_code == 401
    assert (await app.call("GET /buckets/hers", **bearing(kept["token"]))).status_code == 200
    await app.ok(f"DELETE {TOKENS}", auth=ZOE)
    assert (await app.call("GET /buckets/hers", **bearing(kept["token"]))).status_code == 401


async def test_a_token_ends_with_its_account(app: App) -> None:
    made = await new(app, "read:/")
    assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == 200
    await app.ok("DELETE /accounts/zoe", auth=ZOE)
    assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == 401
    await app.ok("PUT /accounts/zoe", {"data": {"password": "secret"}}, user=None)
    assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == 401
    assert (await app.ok(f"GET {TOKENS}", auth=ZOE))["data"] == []
    again = await new(app, "read:/")
    assert (await app.call("GET /buckets/hers", **bearing(again["token"]))).status_code == 200


async def test_a_token_outlives_the_password(app: App) -> None:
    made = await new(app, "read:/")
    await app.ok("PATCH /accounts/zoe", {"data": {"password": "other"}}, auth=ZOE)
    assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == 200


async def test_a_token_expires_to_the_millisecond(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    expires = timestamps.now() + 1000 * DAY // 10
    made = await new(app, "read:/", expires=expires)
    for moment, status in ((expires - 1, 200), (expires, 401), (expires + 1, 401), (expires - 1, 200)):
        monkeypatch.setattr(timestamps, "now", lambda at=moment: at)
        assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == status
        batch = await app.ok(
            "POST /batch", {"requests": [{"path": "/buckets/hers"}]}, **bearing(made["token"])
        )
        assert batch["responses"][0]["status"] == status


async def test_tokens_may_never_expire_where_that_is_allowed(engine: str, databases: Databases) -> None:
    section = {"accounts": AccountsSection(token_days=7, token_days_most=0)}
    async with opened(settings_for(databases.url(engine), sections=section)) as app:
        await app.ok("PUT /accounts/zoe", {"data": {"password": "secret"}}, user=None)
        assert (await new(app, "read:/", expires=None))["expires"] is None
        assert (await new(app, "read:/"))["expires"] <= timestamps.now() + 7 * DAY
        made = await new(app, "write:/", expires=None)
        assert (await app.call("PUT /buckets/b", **bearing(made["token"]))).status_code == 201


async def test_its_last_use_is_written_without_changing_the_token(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Usage()
    made = await new(app, "read:/")
    place = ListPath.parse(TOKENS)
    usage.note(place.object(made["id"]))
    usage.note(place.object("0" * 40))
    before = await app.call(f"GET {TOKENS}/{made['id']}", auth=ZOE)
    await usage.write(service(app).store)
    after = await app.call(f"GET {TOKENS}/{made['id']}", auth=ZOE)
    used = after.json()["data"].pop("last_used")
    assert abs(timestamps.now() - used) < COARSENESS
    assert before.headers["etag"] == after.headers["etag"]
    listed = (await app.ok(f"GET {TOKENS}", auth=ZOE))["data"][0]
    assert listed == {**before.json()["data"], "last_used": used}
    usage.note(place.object(made["id"]))
    await usage.write(service(app).store)
    assert (await app.ok(f"GET {TOKENS}", auth=ZOE))["data"][0] == listed
    later = timestamps.now() + COARSENESS
    monkeypatch.setattr(timestamps, "now", lambda: later)
    usage.note(place.object(made["id"]))
    await usage.write(service(app).store)
    assert (await app.ok(f"GET {TOKENS}", auth=ZOE))["data"][0]["last_used"] == later


async def test_only_the_owner_and_administrators_see_tokens(app: App) -> None:
    made = await new(app, "account", "write:/")
    body = {"data": {"name": "n", "scopes": ["account"]}}
    callers: list[tuple[dict[str, Any], int]] = [
        ({"auth": ZOE}, 200), ({"auth": ROOT}, 200), (bearing(made["token"]), 200),
        ({"auth": ("yan", "secret")}, 403), ({"auth": ("reader", "secret")}, 403), ({"user": "alice"}, 403),
        ({"user": None}, 401),
    ]  # fmt: skip
    for caller, status in callers:
        for request in (f"GET {TOKENS}", f"HEAD {TOKENS}", f"GET {TOKENS}/{made['id']}"):
            assert (await app.call(request, **caller)).status_code == status, (request, caller)
        created = await app.call(f"POST {TOKENS}", body, **caller)
        assert created.status_code == (201 if status == 200 else status), caller
    for caller, status in reversed(callers):
        if status != 200:
            assert (await app.call(f"DELETE {TOKENS}/{made['id']}", **caller)).status_code == status
            assert (await app.call(f"DELETE {TOKENS}", **caller)).status_code == status
            assert (await app.call("GET /accounts/none/tokens", **caller)).status_code == status
    entries = (await app.ok("GET /permissions", auth=ZOE))["data"]
    assert not any("tokens" in entry["uri"] for entry in entries)
    assert (await app.call("GET /accounts/none/tokens", auth=ROOT)).status_code == 404


async def test_a_token_revoked_in_a_batch(app: App) -> None:
    made = await new(app, "account", "write:/")
    requests = [
        {"method": "DELETE", "path": f"{TOKENS}/{made['id']}"},
        {"method": "PUT", "path": "/buckets/after"},
    ]
    answers = await asyncio.wait_for(
        app.ok("POST /batch", {"requests": requests}, **bearing(made["token"])), 60
    )
    assert [item["status"] for item in answers["responses"]] == [200, 201]
    assert (await app.call("GET /buckets/after", **bearing(made["token"]))).status_code == 401


async def test_tokens_made_in_a_batch(app: App) -> None:
    body = {"data": {"name": "n", "scopes": ["read:/"]}}
    requests = [{"method": "POST", "path": TOKENS, "body": body}] * 2
    answers = await app.ok("POST /batch", {"requests": requests}, auth=ZOE)
    for item in answers["responses"]:
        assert item["status"] == 201
        made = item["body"]["data"]
        assert read_token(made["token"]).id == made["id"]  # type: ignore[union-attr]
        assert (await app.call("GET /buckets/hers", **bearing(made["token"]))).status_code == 200


async def test_what_is_no_token_is_nobody(app: App) -> None:
    made = await new(app, "read:/")
    secret = made["token"].partition(".")[2]
    for text in (
        made["token"] + "x", made["token"][:-1], token_text("yan", secret), token_text("nobody", secret),
        "kt_", "kt_.", "kt_em9l", "kt_em9l.", f"kt_em9l=.{secret}", f"kt_!!.{secret}", f"kt_/w==.{secret}",
        "kt_" + "A" * 5000 + "." + secret, made["token"].upper(), f"kt_em9l.{made['id']}",
    ):  # fmt: skip
        answer = await app.call("GET /buckets/hers", **bearing(text))
        assert answer.status_code == 401, text
        assert "user" not in await app.ok("GET /", **bearing(text)), text
        assert (await app.call("GET /buckets/hers", auth=("zoe", text))).status_code == 401, text


def test_the_text_of_a_token_is_one() -> None:
    for account in ("a", "zoe", "me+you@there.org", "x" * 500, "a.b-c_d"):
        text = token_text(account, "s3cret")
        assert read_token(text) == (account, token_id("s3cret"))
    assert len(token_id("s")) == 40


async def test_every_answer_of_a_refused_token_is_a_403(app: App) -> None:
    made = await new(app, "read:/buckets/hers")
    answer: httpx.Response = await app.call(
        "PATCH /buckets/hers", {"data": {"a": 1}}, **bearing(made["token"])
    )
    assert answer.status_code == 403
    assert answer.json() == {
        "code": 403,
        "errno": 121,
        "error": "Forbidden",
        "message": "These credentials may not be used for this request.",
    }
