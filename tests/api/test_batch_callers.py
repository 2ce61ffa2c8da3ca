"""In a batch every request acts as its own caller, for everything that it does."""

from __future__ import annotations

from base64 import b64encode

from tests.support.inprocess import App

RECORDS = "/buckets/b/collections/c/records"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


async def test_an_account_made_in_a_batch_can_log_in_at_once_and_later(app: App) -> None:
    account = {"method": "PUT", "path": "/accounts/bea", "body": {"data": {"password": "a word"}}}
    hello = {"method": "GET", "path": "/", "headers": basic("bea", "a word")}
    answer = await app.call("POST /batch", {"requests": [account]}, user=None)
    [made] = answer.json()["responses"]
    assert made["status"] == 201
    assert made["body"]["data"]["password"] != "a word"
    answer = await app.call("POST /batch", {"requests": [hello]}, user=None)
    assert answer.json()["responses"][0]["body"]["user"]["id"] == "account:bea"


async def test_the_author_of_an_item_is_its_own_caller(app: App) -> None:
    answer = await app.call(
        "POST /batch",
        {
            "requests": [
                {"method": "PUT", "path": "/accounts/cleo", "body": {"data": {"password": "pw"}}},
                {"method": "PUT", "path": "/accounts/dora", "body": {"data": {"password": "pw"}}},
            ]
        },
        user=None,
    )
    assert [item["status"] for item in answer.json()["responses"]] == [201, 201]
    body = {"permissions": {"read": ["system.Everyone"]}}
    answer = await app.call(
        "POST /batch",
        {
            "requests": [
                {"method": "PUT", "path": "/buckets/mine", "body": body},
                {"method": "PUT", "path": "/buckets/hers", "body": body, "headers": basic("dora", "pw")},
                {"method": "PUT", "path": "/buckets/mine", "body": body, "headers": basic("dora", "pw")},
            ]
        },
        headers=basic("cleo", "pw"),
        user=None,
    )
    mine, hers, refused = answer.json()["responses"]
    assert mine["body"]["permissions"]["write"] == ["account:cleo"]
    assert hers["body"]["permissions"]["write"] == ["account:dora"]
    assert refused["status"] == 403
