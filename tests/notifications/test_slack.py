"""Slack by the hooks of collections and buckets."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from kintoun.features.slack import Slack, SlackSettings
from tests.notifications.posting import QUICK, Posting, posting
from tests.notifications.receivers import Receiver, Says
from tests.notifications.test_webhooks import Reviews
from tests.support.inprocess import Databases

RECORD = "/buckets/b/collections/c/records/r"
REVIEW = {
    "event": "kinto_remote_settings.signer.events.ReviewRequested",
    "channel": "#reviews",
    "template": "review of {changes_count} changes ({comment}) on {bucket_id}/{collection_id}",
}


@pytest.fixture
def make(engine: str, databases: Databases) -> Any:
    def make(**changes: Any) -> AbstractAsyncContextManager[Posting]:
        section = SlackSettings(**{**QUICK, **changes})
        return posting(databases.url(engine, "notifications"), Slack(), section, Reviews())

    return make


async def hook(posting: Posting, *hooks: dict[str, Any]) -> None:
    await posting.ok("PATCH /buckets/b", {"data": {"kinto-slack": {"hooks": list(hooks)}}})


async def test_changes_and_reviews_are_told_by_channel(
    make: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINTO_SLACK_FROM_THE_ENVIRONMENT_WEBHOOK_URL", f"{receiver.url}/environment")
    channels = {"reviews.webhook_url": f"{receiver.url}/reviews", "changes": f"{receiver.url}/changes"}
    async with make(webhook_url=f"{receiver.url}/other", channels=channels) as slack:
        await hook(
            slack,
            REVIEW,
            {"template": "{action} {uri}", "channel": "#changes", "resource_name": "record"},
            {"template": "anywhere", "resource_name": "record"},
            {"template": "there", "channel": "#from-the-environment", "resource_name": "record"},
        )
        await slack.ok("PATCH /buckets/b/collections/c", {"data": {"status": "to-review"}})
        await slack.ok(f"PUT {RECORD}")
        await slack.deliver_all()
    told = {request.path.removeprefix("/hook/"): request.json for request in receiver.received}
    assert told == {
        "reviews": {"channel": "#reviews", "text": "review of 3 changes (please) on b/c"},
        "changes": {"channel": "#changes", "text": f"create {RECORD}"},
        "other": {"text": "anywhere"},
        "environment": {"channel": "#from-the-environment", "text": "there"},
    }


async def test_values_mention_nobody(make: Any, receiver: Receiver) -> None:
    async with make(webhook_url=receiver.url) as slack:
        await hook(slack, {"template": "<!here> {user_agent}", "resource_name": "record"})
        await slack.ok(f"PUT {RECORD}", headers={"User-Agent": "<!channel> & co"})
        await slack.deliver()
    assert [request.json["text"] for request in receiver.received] == ["<!here> &lt;!channel&gt; &amp; co"]


async def test_slack_asks_for_patience(make: Any, receiver: Receiver) -> None:
    receiver.answers = [Says(429, {"Retry-After": "30"}, b"rate_limited")]
    async with make(webhook_url=receiver.url, longest_retry_seconds=60.0) as slack:
        await hook(slack, {"template": "x", "resource_name": "record"})
        await slack.ok(f"PUT {RECORD}")
        await slack.deliver()
        [waits] = await slack.waiting()
        assert waits.error == "answered 429: rate_limited"
        assert waits.due - waits.created >= 30_000


async def test_a_channel_without_a_url_becomes_a_dead_letter(make: Any) -> None:
    async with make(attempts=2) as slack:
        await hook(slack, {"template": "x", "channel": "#nowhere", "resource_name": "record"})
        await slack.ok(f"PUT {RECORD}")
        await slack.deliver_all()
        assert [letter.error for letter in await slack.dead()] == ["no webhook_url is set for this channel"]


async def test_the_debug_directory_has_a_file_before_the_answer(make: Any, tmp_path: Path) -> None:
    async with make(debug_dir=str(tmp_path / "slack")) as slack:
        await hook(slack, REVIEW)
        await slack.ok("PATCH /buckets/b/collections/c", {"data": {"status": "to-review"}})
        [file] = (tmp_path / "slack").iterdir()
        assert file.suffix == ".json"
        expected = {"channel": "#reviews", "text": "review of 3 changes (please) on b/c"}
        assert json.loads(file.read_text()) == expected


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, 'Missing "hooks"'),
        ({"hooks": [{"channel": "#x"}]}, 'Missing "template"'),
        ({"hooks": [{"template": "x", "channel": 1}]}, '"channel" is not a string'),
    ],
)
async def test_wrong_hooks_are_refused(make: Any, settings: Any, said: str) -> None:
    async with make(webhook_url="http://127.0.0.1:1") as slack:
        refused = await slack.call("PATCH /buckets/b", {"data": {"kinto-slack": settings}})
        assert refused.status_code == 400
        assert said in refused.json()["message"]
        assert refused.json()["details"][0]["name"] == "kinto-slack"
