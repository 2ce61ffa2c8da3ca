"""Webhooks and the outbox below them: signed, in order, until they arrive or are given up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar

import pytest

from kintoun.app import create_app
from kintoun.features.webhooks import Webhook, Webhooks, WebhooksSettings, key_of
from kintoun.model.changes import Change, Event
from kintoun.model.errors import FORBIDDEN, ProtocolError
from kintoun.outbox.letters import drop, retry
from kintoun.outbox.posting import retry_after
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Work
from tests.notifications.posting import QUICK, Posting, posting
from tests.notifications.receivers import Receiver, Says
from tests.support.inprocess import Databases, principal, settings_for

SECRET = "whsec_" + base64.b64encode(b"the key of the receiver").decode()
RECORD = "/buckets/b/collections/c/records/r"


class Reviews(Plugin):
    """Announces an event when a collection is put up for review, and refuses what is called `veto`."""

    name: ClassVar[str] = "reviews"

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.before_commit(self.look)

    async def look(self, work: Work, change: Change) -> None:
        if change.new.get("veto"):
            raise ProtocolError(403, FORBIDDEN, "No.")
        if change.new.get("status") == "to-review":
            name = "kinto_remote_settings.signer.events.ReviewRequested"
            said = {"changes_count": 3, "comment": "please"}
            await work.context.announce(Event(name, change.path, change.timestamp, change.user, said))


@pytest.fixture
def make(engine: str, databases: Databases, receiver: Receiver) -> Any:
    def make(*hooks: dict[str, Any], **delivery: Any) -> AbstractAsyncContextManager[Posting]:
        described = hooks or ({},)
        made = [
            Webhook(**{"name": f"h{n}", "url": receiver.url, "secrets": [SECRET], **hook})
            for n, hook in enumerate(described)
        ]
        section = WebhooksSettings(hooks=made, **{**QUICK, **delivery})
        return posting(databases.url(engine, "notifications"), Webhooks(), section, Reviews())

    return make


@pytest.fixture
async def hooked(make: Any) -> AsyncIterator[Posting]:
    async with make() as made:
        yield made


async def test_a_change_is_posted_and_signed(hooked: Posting, receiver: Receiver) -> None:
    made = await hooked.ok(f"PUT {RECORD}", {"data": {"title": "é"}})
    await hooked.deliver()
    [request] = receiver.received
    assert request.json == {
        "type": "record.create",
        "event": "kinto.core.events.AfterResourceChanged",
        "bucket_id": "b",
        "collection_id": "c",
        "record_id": "r",
        "id": "r",
        "resource_name": "record",
        "action": "create",
        "uri": RECORD,
        "timestamp": made["data"]["last_modified"],
        "user_id": principal("alice"),
        "data": made["data"],
    }
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
    digest = hmac.digest(b"the key of the receiver", signed + request.body, hashlib.sha256)
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert request.headers["content-type"] == "application/json"
    assert await hooked.waiting() == await hooked.dead() == []


async def test_what_the_outbox_does_is_counted(make: Any, receiver: Receiver) -> None:
    async def counted(hooked: Posting) -> dict[tuple[str, ...], float]:
        measures = hooked.app.application.composition.service.measures
        return {
            (measure.name, *each.labels): each.numbers[0]
            for measure, series in await measures.collect()
            if measure.name.startswith("outbox_")
            for each in series
        }

    async with make(attempts=1) as hooked:
        await hooked.ok(f"PUT {RECORD}")
        await hooked.deliver()
        receiver.says = Says(500)
        await hooked.ok(f"PUT {RECORD}")
        await hooked.deliver()
        await hooked.ok(f"PUT {RECORD}")
        found = await counted(hooked)
    age = found.pop(("outbox_oldest_seconds", "webhooks"))
    assert 0 <= age < 3600
    assert found == {
        ("outbox_delivered_total", "webhooks"): 1,
        ("outbox_failures_total", "webhooks"): 1,
        ("outbox_messages", "webhooks", "waiting"): 1,
        ("outbox_messages", "webhooks", "dead"): 1,
    }


async def test_each_secret_signs(make: Any, receiver: Receiver) -> None:
    secrets = [SECRET, "a plain old secret"]
    async with make({"secrets": secrets}) as hooked:
        await hooked.ok(f"PUT {RECORD}")
        await hooked.deliver()
    [request] = receiver.received
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
    digests = [hmac.digest(key_of(secret), signed + request.body, hashlib.sha256) for secret in secrets]
    expected = [f"v1,{base64.b64encode(digest).decode()}" for digest in digests]
    assert request.headers["webhook-signature"].split(" ") == expected


async def test_filters(make: Any, receiver: Receiver) -> None:
    hooks = [
        {"name": "deletions", "actions": ["delete"], "old": True, "data": False},
        {"name": "collections", "resources": ["collection"], "collections": ["^c[0-9]$"]},
        {"name": "elsewhere", "buckets": ["other"]},
        {"name": "all", "resources": ["^"], "collections": ["c"], "actions": ["update"]},
    ]
    hooks = [{**hook, "url": f"{receiver.url}/{hook['name']}"} for hook in hooks]
    async with make(*hooks) as hooked:
        await hooked.ok(f"PUT {RECORD}", {"data": {"n": 1}})
        await hooked.ok(f"PATCH {RECORD}", {"data": {"n": 2}})
        await hooked.ok(f"DELETE {RECORD}")
        await hooked.ok("PUT /buckets/b/collections/c1")
        await hooked.ok("PUT /buckets/b/collections/d1")
        await hooked.ok("PATCH /buckets/b/collections/c", {"data": {"n": 1}})
        await hooked.deliver_all()
    told = sorted(
        (request.path, request.json["uri"], request.json["action"]) for request in receiver.received
    )
    assert told == [
        ("/hook/all", "/buckets/b/collections/c", "update"),
        ("/hook/all", RECORD, "update"),
        ("/hook/collections", "/buckets/b/collections/c1", "create"),
        ("/hook/deletions", RECORD, "delete"),
    ]
    [deletion] = [request.json for request in receiver.received if request.path == "/hook/deletions"]
    assert deletion["old"]["n"] == 2
    assert "data" not in deletion


async def test_what_is_undone_is_told_to_nobody(hooked: Posting, receiver: Receiver) -> None:
    records = "/buckets/b/collections/c/records"
    requests = [
        {"method": "PUT", "path": f"{records}/{name}", "body": {"data": {"veto": name == "b"}}}
        for name in "abc"
    ]
    answers = await hooked.ok("POST /batch", {"requests": requests})
    assert [answer["status"] for answer in answers["responses"]] == [201, 403, 201]
    await hooked.deliver_all()
    assert [request.json["id"] for request in receiver.received] == ["a", "c"]


async def test_events_of_features_are_posted(make: Any, receiver: Receiver) -> None:
    async with make({"actions": ["delete"], "events": ["^kinto_remote_settings"]}) as hooked:
        await hooked.ok("PATCH /buckets/b/collections/c", {"data": {"status": "to-review"}})
        await hooked.deliver()
    [request] = receiver.received
    assert request.json["type"] == "ReviewRequested"
    assert request.json["data"] == {"changes_count": 3, "comment": "please"}
    assert request.json["uri"] == "/buckets/b/collections/c"


async def test_order_is_kept_through_failures(hooked: Posting, receiver: Receiver) -> None:
    """What is first in line is tried until it arrives; the others wait behind it."""
    receiver.answers = [Says(500, body=b"not  now"), Says(503), Says(204), Says(302, {"Location": "/other"})]
    for n in range(30):
        await hooked.ok(f"PUT {RECORD}{n:02d}")
    await hooked.outbox.deliver_now()
    [waits, *others] = sorted(await hooked.waiting(), key=lambda letter: -letter.attempts)
    assert (waits.attempts, waits.error) == (1, "answered 500: not now")
    assert len(others) == 29
    await hooked.deliver_all()
    ids = [request.json["id"] for request in receiver.received]
    assert ids == ["r00", "r00", "r00", "r01", *(f"r{n:02d}" for n in range(1, 30))]
    again = [request.headers["webhook-id"] for request in receiver.received if request.json["id"] == "r00"]
    assert len(set(again)) == 1, "it is recognised by its id"
    assert {request.path for request in receiver.received} == {"/hook"}, "redirects are not followed"


async def test_a_target_that_fails_holds_up_no_other(make: Any, receiver: Receiver) -> None:
    async with make({"name": "lost", "url": "http://127.0.0.1:1/"}, {"name": "fine"}) as hooked:
        await hooked.ok(f"PUT {RECORD}")
        await hooked.deliver(until=lambda: len(receiver.received) == 1)
        [waits] = await hooked.waiting()
        assert waits.target == "lost"
        assert waits.error.startswith("ConnectError")


async def test_what_cannot_be_delivered_becomes_a_dead_letter(make: Any, receiver: Receiver) -> None:
    receiver.says = Says(500)
    async with make(attempts=3) as hooked:
        await hooked.ok(f"PUT {RECORD}")
        await hooked.ok(f"DELETE {RECORD}")
        await hooked.deliver_all()
        dead = await hooked.dead()
        assert [(letter.channel, letter.target, letter.attempts) for letter in dead] == [
            ("webhooks", "h0", 3),
            ("webhooks", "h0", 3),
        ]
        assert all(letter.died is not None and letter.error == "answered 500" for letter in dead)
        assert len(receiver.received) == 6
        receiver.says = Says(200)
        assert await retry(hooked.store, [dead[0].id, "unknown"]) == 1
        await hooked.deliver_all()
        assert receiver.received[-1].json["action"] == "create"
        assert receiver.received[-1].headers["webhook-id"] == f"msg_{dead[0].id}"
        assert await drop(hooked.store, [letter.id for letter in dead]) == 1
        assert await hooked.dead() == []


async def test_who_is_gone_is_not_asked_again(hooked: Posting, receiver: Receiver) -> None:
    receiver.says = Says(410)
    await hooked.ok(f"PUT {RECORD}")
    await hooked.deliver()
    assert len(receiver.received) == 1
    assert [letter.error for letter in await hooked.dead()] == ["answered 410"]


async def test_a_receiver_may_ask_for_a_pause(make: Any, receiver: Receiver) -> None:
    receiver.answers = [Says(429, {"Retry-After": "1000"})]
    async with make(longest_retry_seconds=500.0) as hooked:
        await hooked.ok(f"PUT {RECORD}")
        await hooked.deliver()
        [waits] = await hooked.waiting()
        assert waits.due - waits.created >= 500_000, "it gets one, as long as the configuration allows"


@pytest.mark.parametrize(
    ("value", "seconds"), [("120", 120.0), ("-5", 0.0), ("soon", 0.0), ("", 0.0), ("1e400", 0.0)]
)
def test_pauses_that_can_be_asked_for(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_a_pause_can_be_a_date() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    assert 900 < retry_after(moment) <= 1000
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0


async def test_a_receiver_that_does_not_answer_is_not_waited_for(make: Any, receiver: Receiver) -> None:
    receiver.answers = [Says(silent=True)]
    async with make(timeout_seconds=0.3) as hooked:
        await hooked.ok(f"PUT {RECORD}")
        await hooked.deliver()
        assert [letter.error for letter in await hooked.waiting()] == ["no answer within 0.3 seconds"]


async def test_a_webhook_that_is_not_configured_any_more(make: Any, receiver: Receiver) -> None:
    async with make() as hooked:
        await hooked.ok(f"PUT {RECORD}")
        await hooked.store.transact(lambda t: t.fetch("UPDATE outbox SET target = 'former'"))
        await hooked.deliver()
        assert [letter.target for letter in await hooked.dead()] == ["former"]


async def test_the_background_work_delivers_and_goes_on(hooked: Posting, receiver: Receiver) -> None:
    working = asyncio.create_task(hooked.outbox.deliver())
    try:
        for name in "abc":
            await hooked.ok(f"PUT {RECORD}{name}")
            receiver_has = len(receiver.received)
            await asyncio.to_thread(
                receiver.wait, lambda n=receiver_has: len(receiver.received) > n or n == 3
            )
        await asyncio.to_thread(receiver.wait, lambda: len(receiver.received) == 3)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert [request.json["id"] for request in receiver.received] == ["ra", "rb", "rc"]


async def test_a_worker_that_stops_lets_a_message_arrive(hooked: Posting, receiver: Receiver) -> None:
    receiver.answers = [Says(204, pause=0.5)]
    working = asyncio.create_task(hooked.outbox.deliver())
    await hooked.ok(f"PUT {RECORD}")
    await hooked.ok(f"DELETE {RECORD}")
    await asyncio.to_thread(receiver.wait, lambda: len(receiver.received) == 1)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert len(receiver.received) == 1
    assert len(await hooked.waiting()) == 1, "what was received is not sent again, what was not waits"


async def test_no_password_is_posted(make: Any, receiver: Receiver) -> None:
    async with make({"resources": ["account"], "old": True}) as hooked:
        await hooked.ok("PUT /accounts/ann", {"data": {"password": "hunter2"}}, user=None)
        changed = {"data": {"password": "hunter3"}}
        await hooked.ok("PUT /accounts/ann", changed, auth=("ann", "hunter2"))
        await hooked.deliver_all()
    assert [request.json["type"] for request in receiver.received] == ["account.create", "account.update"]
    assert all(
        b"hunter" not in request.body and b"argon" not in request.body for request in receiver.received
    )


async def test_old_dead_letters_are_swept(hooked: Posting, receiver: Receiver) -> None:
    receiver.says = Says(410)
    await hooked.ok(f"PUT {RECORD}")
    await hooked.deliver()
    [letter] = await hooked.dead()
    assert letter.died is not None
    await hooked.outbox._sweep(letter.died)
    assert await hooked.dead() == [letter]
    await hooked.outbox._sweep(letter.died + 31 * 86_400_000)
    assert await hooked.dead() == []


@pytest.mark.parametrize(
    ("hooks", "wrong"),
    [
        ([{}, {"name": "h0"}], "two hooks"),
        ([{"buckets": ["^("]}], "not a regular expression"),
        ([{"secrets": ["whsec_not base64 at all"]}], "base64"),
    ],
)
def test_a_wrong_configuration_is_refused(hooks: list[Any], wrong: str) -> None:
    named = [
        Webhook(**{"name": "h0", "url": "http://example.org", "secrets": [SECRET], **hook}) for hook in hooks
    ]
    settings = settings_for("sqlite:nowhere", sections={"webhooks": WebhooksSettings(hooks=named)})
    with pytest.raises(ValueError, match=wrong):
        create_app(settings, Webhooks())
