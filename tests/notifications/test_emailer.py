"""E-mail by the hooks of collections and buckets, given to a real SMTP server."""

from __future__ import annotations

import mailbox
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from kintoun.app import create_app
from kintoun.features.emailer import Emailer
from kintoun.features.emailer.settings import EmailerSettings
from kintoun.outbox.letters import retry
from kintoun.settings import Http
from tests.notifications.posting import QUICK, Posting, posting
from tests.notifications.receivers import MailServer, certificate
from tests.notifications.test_webhooks import Reviews
from tests.support.inprocess import Databases, principal, settings_for

RECORD = "/buckets/b/collections/c/records/r"
HOOK = {"template": "{user_id} did {action} {uri}.", "recipients": ["me@you.com"]}


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as made:
        yield made


@pytest.fixture
def make(engine: str, databases: Databases, server: MailServer) -> Any:
    def make(**changes: Any) -> AbstractAsyncContextManager[Posting]:
        told = {"host": "127.0.0.1", "port": server.port, "default_sender": "Kintoun <it@example.org>"}
        section = EmailerSettings(**{**QUICK, **told, **changes})
        return posting(databases.url(engine, "notifications"), Emailer(), section, Reviews())

    return make


@pytest.fixture
async def mailing(make: Any) -> AsyncIterator[Posting]:
    async with make() as made:
        yield made


async def hook(mailing: Posting, *hooks: dict[str, Any], at: str = "/buckets/b/collections/c") -> None:
    settings = {"kinto-emailer": {"hooks": [{**HOOK, **each} for each in hooks]}}
    await mailing.ok(f"PATCH {at}", {"data": settings})
    await mailing.deliver_all()


async def test_a_change_is_told(mailing: Posting, server: MailServer) -> None:
    await hook(mailing, {"resource_name": "record", "subject": "{collection_id}: {action}"})
    await mailing.ok(f"PUT {RECORD}", {"data": {}})
    await mailing.deliver()
    [mail], [envelope] = server.mails, server.envelopes
    assert mail["From"] == "Kintoun <it@example.org>"
    assert mail["To"] == "me@you.com"
    assert mail["Subject"] == "c: create"
    assert mail.get_content().strip() == f"{principal('alice')} did create {RECORD}."
    assert (envelope.mail_from, envelope.rcpt_tos) == ("it@example.org", ["me@you.com"])
    assert mail["Message-ID"]
    assert mail["Auto-Submitted"] == "auto-generated"


async def test_hooks_of_the_collection_stand_in_place_of_the_buckets(
    mailing: Posting, server: MailServer
) -> None:
    await hook(mailing, {"template": "of the bucket"}, at="/buckets/b")
    await mailing.ok(f"PUT {RECORD}")
    await mailing.deliver_all()
    await hook(mailing, {"template": "of the collection", "resource_name": "record"})
    server_had = len(server.mails)
    await mailing.ok(f"DELETE {RECORD}")
    await mailing.deliver_all()
    told = [mail.get_content().strip() for mail in server.mails]
    assert told[0] == "of the bucket"
    assert told[server_had:] == ["of the collection"]


async def test_filters(mailing: Posting, server: MailServer) -> None:
    await hook(
        mailing,
        {"template": "deleted", "action": "delete", "resource_name": "record"},
        {"template": "not r", "id": "^(?!r$)", "resource_name": "record"},
        {"template": "r itself", "record_id": "r", "resource_name": "record"},
        {"template": "elsewhere", "collection_id": "other"},
        {"template": "review", "event": "kinto_signer.events.ReviewRequested"},
    )
    for request in (f"PUT {RECORD}", f"DELETE {RECORD}", f"PUT {RECORD}2"):
        await mailing.ok(request)
        await mailing.deliver_all()
    told = [mail.get_content().strip() for mail in server.mails]
    assert told == ["r itself", "deleted", "r itself", "not r"]


async def test_reviews_are_told_with_what_they_say(mailing: Posting, server: MailServer) -> None:
    await hook(
        mailing,
        {
            "event": "kinto_remote_settings.signer.events.ReviewRequested",
            "subject": "{user_id} requested review on {bucket_id}/{collection_id}.",
            "template": "{changes_count}: {comment} at {root_url}# of {settings[project_name]}{nothing}",
        },
    )
    await mailing.ok("PATCH /buckets/b/collections/c", {"data": {"status": "to-review"}})
    await mailing.deliver()
    [mail] = server.mails
    assert mail["Subject"] == f"{principal('alice')} requested review on b/c."
    assert mail.get_content().strip() == "3: please at http://server.example/v1/# of kintoun"


async def test_groups_stand_for_their_members_with_addresses(mailing: Posting, server: MailServer) -> None:
    members = ["ldap:ann@example.org", "portier:bob@example.org", "fxa:2256", "basicauth:toto", "x:<a@b"]
    await mailing.ok("PUT /buckets/b/groups/c-editors", {"data": {"members": members}})
    groups = ["/buckets/b/groups/{collection_id}-editors", "/buckets/b/groups/nobody", "ANN@example.org"]
    await hook(mailing, {"recipients": groups, "resource_name": "record"})
    await mailing.ok(f"PUT {RECORD}")
    await mailing.deliver()
    [mail], [envelope] = server.mails, server.envelopes
    assert envelope.rcpt_tos == ["ANN@example.org", "bob@example.org"]
    assert (mail["To"], mail["Bcc"]) == ("ANN@example.org", None), "who is a member is not told to everybody"
    await hook(mailing, {"recipients": groups[:1], "resource_name": "record"})
    await mailing.ok(f"DELETE {RECORD}")
    await mailing.deliver()
    assert server.envelopes[-1].rcpt_tos == ["ann@example.org", "bob@example.org"]
    assert server.mails[-1]["To"] == "undisclosed-recipients:;"


@pytest.mark.parametrize(("proxies", "told"), [([], "127.0.0.1"), (["127.0.0.1"], "192.0.2.7")])
async def test_the_address_of_a_client_is_told_without_its_port(
    engine: str, databases: Databases, server: MailServer, proxies: list[str], told: str
) -> None:
    section = EmailerSettings(**QUICK, host="127.0.0.1", port=server.port, default_sender="it@example.org")
    url = databases.url(engine, "notifications")
    async with posting(url, Emailer(), section, http=Http(trusted_proxies=proxies)) as mailing:
        await hook(mailing, {"template": "{client_address}", "resource_name": "record"})
        await mailing.ok(f"PUT {RECORD}", headers={"X-Forwarded-For": "192.0.2.7"})
        await mailing.deliver()
    assert [mail.get_content().strip() for mail in server.mails] == [told]


async def test_nobody_to_tell_is_no_mail(mailing: Posting, server: MailServer) -> None:
    await hook(mailing, {"recipients": ["/buckets/b/groups/nobody"]})
    await mailing.ok(f"PUT {RECORD}")
    assert await mailing.waiting() == []


async def test_no_header_can_be_smuggled_in(mailing: Posting, server: MailServer) -> None:
    await hook(
        mailing,
        {
            "resource_name": "record",
            "subject": "by {user_agent}\r\nBcc: victim@example.org",
            "template": "{user_agent}\r\n.\r\nMAIL FROM:<evil@example.org>",
        },
    )
    agent = {"User-Agent": "x\tTo: victim@example.org\x85 {settings[project_name].__class__}"}
    await mailing.ok(f"PUT {RECORD}", headers=agent)
    await mailing.deliver()
    [mail], [envelope] = server.mails, server.envelopes
    assert envelope.rcpt_tos == ["me@you.com"]
    assert mail["Bcc"] is None
    assert mail["To"] == "me@you.com"
    assert mail["Subject"].startswith("by x To: victim@example.org")
    assert "MAIL FROM" in mail.get_content()


WRONG: list[tuple[Any, str]] = [
    ({}, 'Missing "hooks"'),
    ({"hooks": {}}, '"hooks" is not a list'),
    ({"hooks": ["x"]}, '"hooks" is not a list'),
    ([], 'Missing "hooks"'),
    ({"hooks": [{"recipients": ["me@you.com"]}]}, 'Missing "template"'),
    ({"hooks": [{"template": ""}]}, "Empty list of recipients"),
    ({"hooks": [{"template": "", "recipients": []}]}, "Empty list of recipients"),
    (
        {"hooks": [{**HOOK, "recipients": ["<fe@gmail.com", "haha@haha@com"]}]},
        "Invalid recipients <fe@gmail.com, haha@haha@com",
    ),
    ({"hooks": [{**HOOK, "recipients": ["a@b.org\r\nBcc: c@d.org"]}]}, "Invalid recipients"),
    (
        {"hooks": [{**HOOK, "recipients": ["/buckets/b/group/g"]}]},
        "Invalid recipients /buckets/b/group/g",
    ),
    ({"hooks": [{**HOOK, "recipients": ["/buckets/plop/groups/g"]}]}, "Invalid bucket for groups"),
    ({"hooks": [{**HOOK, "recipients": ["a@b.org"] * 101}]}, "More than 100 recipients"),
    ({"hooks": [{**HOOK, "sender": "nobody"}]}, "Invalid sender"),
    ({"hooks": [{**HOOK, "id": "^("}]}, '"id" is not a regular expression'),
    ({"hooks": [{**HOOK, "action": 5}]}, '"action" is not a string'),
    ({"hooks": [{**HOOK, "template": "x" * 20_001}]}, '"template" is longer'),
    ({"hooks": [HOOK] * 51}, "More than 50 hooks"),
]


async def test_wrong_hooks_are_refused(mailing: Posting) -> None:
    for settings, said in WRONG:
        for request in ("PATCH /buckets/b", "PUT /buckets/b/collections/c", "PUT /buckets/b/collections/new"):
            refused = await mailing.call(request, {"data": {"kinto-emailer": settings}})
            assert refused.status_code == 400, (request, settings)
            assert said in refused.json()["message"]
            assert refused.json()["details"][0]["name"] == "kinto-emailer"


async def test_good_recipients_are_accepted(mailing: Posting) -> None:
    for recipient in (
        "me@you.com",
        "My friend alice <alice@wonderland.com>",
        "<t.h.i.s+that@some.crazy.moderndomainnameyouknow>",
        "/buckets/b/groups/{collection_id}-reviewers",
    ):
        await hook(mailing, {"recipients": [recipient]}, {"template": ""})


async def test_a_server_that_is_away_for_a_while(mailing: Posting, server: MailServer) -> None:
    await hook(mailing, {"resource_name": "record"})
    server.answers = ["451 busy", "421 going down"]
    await mailing.ok(f"PUT {RECORD}")
    await mailing.deliver()
    assert [letter.error for letter in await mailing.waiting()] == ["451 busy"]
    await mailing.deliver(until=lambda: len(server.mails) == 1)


async def test_who_is_refused_for_good_gets_no_second_try_and_the_others_one_mail(
    mailing: Posting, server: MailServer
) -> None:
    everybody = ["a@example.org", "B <b@example.org>", "c@example.org"]
    await hook(mailing, {"resource_name": "record", "recipients": everybody})
    server.refusals = {"b@example.org": "550 no such user"}
    await mailing.ok(f"PUT {RECORD}")
    await mailing.deliver()
    assert [envelope.rcpt_tos for envelope in server.envelopes] == [["a@example.org", "c@example.org"]]
    [letter] = await mailing.dead()
    assert letter.error == "b@example.org: 550 no such user"
    server.refusals = {}
    await retry(mailing.store, [letter.id])
    await mailing.deliver_all()
    assert server.envelopes[-1].rcpt_tos == ["b@example.org"], "only who has not had it"


async def test_a_mail_without_a_sender_waits_for_the_configuration(make: Any, server: MailServer) -> None:
    async with make(default_sender=None) as mailing:
        await hook(mailing, {"resource_name": "record"})
        await mailing.ok(f"PUT {RECORD}")
        await mailing.deliver()
        assert [letter.error for letter in await mailing.waiting()] == [
            "no sender: default_sender is not set"
        ]


async def test_the_debug_mailer_writes_before_the_answer(
    make: Any, server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with make(debug_mailer=True, default_sender=None) as mailing:
        await mailing.ok("PATCH /buckets/b", {"data": {"kinto-emailer": {"hooks": [HOOK]}}})
        await mailing.ok(f"PUT {RECORD}")
        [file] = (tmp_path / "mail").iterdir()
        assert file.suffix == ".eml"
        assert "To: me@you.com" in file.read_text()
        assert await mailing.waiting() == []
    assert server.mails == []


async def test_a_queue_is_a_maildir(make: Any, server: MailServer, tmp_path: Path) -> None:
    async with make(queue_path=str(tmp_path / "queue")) as mailing:
        await mailing.ok("PUT /buckets/b/groups/g", {"data": {"members": ["x:ann@example.org"]}})
        await hook(mailing, {"resource_name": "record", "recipients": ["me@you.com", "/buckets/b/groups/g"]})
        await mailing.ok(f"PUT {RECORD}")
        await mailing.deliver_all()
    [queued] = mailbox.Maildir(tmp_path / "queue")
    mail = message_from_bytes(bytes(queued), policy=default)
    assert mail["X-Actually-To"] == "me@you.com, ann@example.org"
    assert (mail["To"], mail["Bcc"]) == ("me@you.com", None)
    assert mail["X-Actually-From"] == "it@example.org"
    assert mail["Subject"] == "New message"


@pytest.mark.parametrize(
    "wrong", [{"default_sender": "nobody"}, {"tls": True, "ssl": True}], ids=["sender", "tls"]
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    settings = settings_for("sqlite:nowhere", sections={"emailer": EmailerSettings(**wrong)})
    with pytest.raises(ValueError, match="emailer"):
        create_app(settings, Emailer())


async def test_tls_and_a_password(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate counts: a server that is not who it says gets neither the password nor the mail."""
    url = databases.url("sqlite", "notifications")
    with MailServer(certificate=certificate(tmp_path), login=("kinto", "hunter2")) as server:
        told: dict[str, Any] = {"host": "localhost", "port": server.port, "tls": True, "username": "kinto"}
        told |= {**QUICK, "default_sender": "it@example.org", "attempts": 50}
        right, wrong = (EmailerSettings(**told, password=each) for each in ("hunter2", "wrong"))
        async with posting(url, Emailer(), right) as mailing:
            await hook(mailing, {"resource_name": "record"})
            await mailing.ok(f"PUT {RECORD}")
            await mailing.deliver()
            [waits] = await mailing.waiting()
            assert "CERTIFICATE_VERIFY_FAILED" in waits.error
            assert server.logins == server.mails == []
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
            await mailing.deliver(until=lambda: len(server.mails) == 1)
            assert server.logins == [("kinto", "hunter2")]
        async with posting(url, Emailer(), wrong) as mailing:
            await hook(mailing, {"resource_name": "record"})
            await mailing.ok(f"PUT {RECORD}")
            await mailing.deliver()
            assert [letter.error for letter in await mailing.waiting()] == [
                "535 5.7.8 Authentication credentials invalid"
            ]
