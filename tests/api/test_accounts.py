"""Accounts: who may make and see them, and what becomes of passwords (protocol section 9.3)."""

from __future__ import annotations

from typing import Any

from kintoun.features.accounts import MASK
from tests.api.scenarios import reset, world
from tests.support.inprocess import App

ZOE = ("zoe", "secret")


async def _zoe(app: App) -> None:
    await reset(app)
    await app.ok("PUT /accounts/zoe", {"data": {"password": "secret", "age": 7}}, user=None)
    app.forget()


async def test_nobody_is_ever_shown_a_password_or_its_hash(app: App) -> None:
    await _zoe(app)
    answers = [
        await app.call("GET /accounts/zoe", auth=ZOE),
        await app.call("GET /accounts", auth=ZOE),
        await app.call("PATCH /accounts/zoe", {"data": {"age": 8}}, auth=ZOE),
        await app.call("PUT /accounts/zoe", {"data": {"password": "secret"}}, auth=ZOE),
        await app.call("GET /accounts/zoe?_fields=password", auth=ZOE),
        await app.call("POST /accounts", {"data": {"id": "zoe", "password": "x"}}, auth=ZOE),
        await app.call(
            "PUT /accounts/zoe", {"data": {"password": "x"}}, auth=ZOE, headers={"If-Match": '"1"'}
        ),
        await app.call(
            "POST /batch", {"requests": [{"path": "/accounts"}, {"path": "/accounts/zoe"}]}, auth=ZOE
        ),
    ]
    for answer in answers:
        assert answer.status_code in (200, 412), answer.text
        assert MASK in answer.text
        assert "argon2" not in answer.text
        assert '"secret"' not in answer.text
    for change in app.changes:
        assert "argon2" not in f"{change.old_body}{change.new_body}"
        assert "secret" not in f"{change.old_body}{change.new_body}"


async def test_what_hides_a_password_cannot_be_found_out_or_become_one(app: App) -> None:
    await _zoe(app)
    for query in ("like_password=*arg*", "password=secret", "min_password=b", "_sort=password"):
        shown = await app.ok(f"GET /accounts?{query}", auth=ZOE)
        assert "argon2" not in str(shown)
    refused = await app.call("PUT /accounts/zoe", {"data": {"password": MASK}}, auth=ZOE)
    assert refused.status_code == 400
    assert (await app.call("GET /accounts/zoe", auth=("zoe", MASK))).status_code != 200
    assert (await app.call("GET /credentials", auth=ZOE)).status_code == 404
    assert (await app.call("GET /credentials/zoe", auth=ZOE)).status_code == 404


async def test_a_changed_password_counts_at_once(app: App) -> None:
    await _zoe(app)
    assert (await app.call("GET /accounts/zoe", auth=ZOE)).status_code == 200
    await app.ok("PATCH /accounts/zoe", {"data": {"password": "other"}}, auth=ZOE)
    assert (await app.call("GET /accounts/zoe", auth=ZOE)).status_code == 401
    assert (await app.call("GET /accounts/zoe", auth=("zoe", "other"))).status_code == 200
    await app.ok("DELETE /accounts/zoe", auth=("zoe", "other"))
    hello = await app.ok("GET /", auth=("zoe", "other"))
    assert not hello["user"]["id"].startswith("account:")


async def test_wrong_passwords_are_wrong_also_while_the_right_one_is_remembered(app: App) -> None:
    await _zoe(app)
    for _ in range(2):
        assert (await app.ok("GET /", auth=ZOE))["user"]["id"] == "account:zoe"
        for wrong in ("Secret", "secret ", "", "secret\0", "secre"):
            told = await app.ok("GET /", auth=("zoe", wrong))
            assert told.get("user", {}).get("id") != "account:zoe", wrong


async def test_users_make_and_see_their_own_account_only(app: App) -> None:
    await _zoe(app)
    await app.ok("PUT /accounts/yan", {"data": {"password": "secret"}}, user=None)
    yan = ("yan", "secret")
    other = await app.call("PUT /accounts/other", {"data": {"password": "x"}}, auth=ZOE)
    assert other.status_code == 400
    assert other.json()["message"] == "data.id in body: Username and account ID do not match."
    for request in ("GET /accounts/yan", "DELETE /accounts/yan", "GET /accounts/nobody"):
        assert (await app.call(request, auth=ZOE)).status_code == 403
    listed = await app.ok("GET /accounts", auth=yan)
    assert [account["id"] for account in listed["data"]] == ["yan"]
    anonymous = await app.call("GET /accounts", user=None)
    assert (anonymous.status_code, anonymous.json()["errno"]) == (401, 999)
    gone = await app.ok("DELETE /accounts", auth=yan)
    assert [account["id"] for account in gone["data"]] == ["yan"]
    assert (await app.ok("GET /", auth=ZOE))["user"]["id"] == "account:zoe"


async def test_what_an_account_must_have(app: App) -> None:
    await world(app)
    refused: list[tuple[Any, str]] = [
        ({}, "data"),
        ({"data": {}}, "data.password"),
        ({"data": {"password": ""}}, "data.password"),
        ({"data": {"password": 5}}, "data.password"),
        ({"data": {"password": None}}, "data.password"),
    ]
    for body, name in refused:
        answer = await app.call("PUT /accounts/new", body, user=None)
        assert answer.status_code == 400, body
        assert name in [detail["name"] for detail in answer.json()["details"]]
    answer = await app.call("POST /accounts", {"data": {"password": "x"}}, user=None)
    assert (answer.status_code, answer.json()["message"]) == (400, "data.id in body: Required")
    assert (await app.call("PUT /accounts/a:b", {"data": {"password": "x"}}, user=None)).status_code == 400
    assert app.events == []


async def test_an_account_that_is_made_anew_inherits_nothing(app: App) -> None:
    await _zoe(app)
    await app.ok("PUT /buckets/hers", auth=ZOE)
    await app.ok("DELETE /accounts/zoe", auth=ZOE)
    assert (await app.call("GET /accounts/zoe", auth=ZOE)).status_code == 403
    await app.ok("PUT /accounts/zoe", {"data": {"password": "another"}}, user=None)
    assert (await app.call("GET /accounts/zoe", auth=ZOE)).status_code == 401
    account = await app.ok("GET /accounts/zoe", auth=("zoe", "another"))
    assert account["permissions"] == {"write": ["account:zoe"]}
    assert "age" not in account["data"]
