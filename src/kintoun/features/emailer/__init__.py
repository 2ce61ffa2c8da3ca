"""Mails about changes and reviews, by the hooks in `kinto-emailer` of collections and buckets."""

from __future__ import annotations

import asyncio
from pathlib import Path as File
from typing import Any, ClassVar

from kintoun.features.emailer.addresses import (
    address_of,
    group_of,
    is_address,
    member_address,
    problem_of,
)
from kintoun.features.emailer.mail import composed, keep, one_line, queue, send, unique
from kintoun.features.emailer.settings import EmailerSettings
from kintoun.http.addresses import Addresses
from kintoun.model import json
from kintoun.model.changes import Change, Event
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD
from kintoun.model.paths import Path
from kintoun.outbox import Message, Outbox
from kintoun.outbox.hooks import CHANGED, Hook, Hooks
from kintoun.outbox.templates import rendered
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Work

DEFAULT_SUBJECT = "New message"
DEBUG_DIRECTORY = File("mail")
MOST_ADDRESSES = 1000
"""Members of groups that one mail goes to."""


class Emailer(Plugin):
    """Tells people of changes by e-mail."""

    name = "emailer"
    settings = EmailerSettings
    kinto_keys: ClassVar = {
        f"mail.{name}": name
        for name in (
            "host",
            "port",
            "username",
            "password",
            "tls",
            "ssl",
            "default_sender",
            "queue_path",
            "debug_mailer",
        )
    }
    kinto_includes = ("kinto_emailer",)

    def setup(self, registry: Registry, settings: EmailerSettings) -> None:
        sender = settings.default_sender
        if sender is not None and not is_address(sender):
            raise ValueError(f"emailer: default_sender: {sender!r} is no address")
        if settings.tls and settings.ssl:
            raise ValueError("emailer: tls and ssl exclude each other")
        self._settings = settings
        self._hooks = Hooks(
            "kinto-emailer", CHANGED, Addresses(registry.settings.http.trusted_proxies), problem_of
        )
        self.outbox = Outbox(self.name, self.send, settings, immediate=settings.debug_mailer)
        self.outbox.join(registry)
        registry.before_commit(self.changed, BUCKET, COLLECTION, RECORD)
        registry.listen(self.announced)
        registry.capability(
            "emailer",
            "Provide emailing capabilities to the server.",
            f"{registry.settings.project.docs}reference/notifications/",
        )

    async def changed(self, work: Work, change: Change) -> None:
        """Check hooks that are written, and tell of changes that hooks want."""
        self._hooks.validate(change)
        await self.announced(work, change)

    async def announced(self, work: Work, subject: Change | Event) -> None:
        """Add a mail for every hook that wants to be told, and has somebody to tell."""
        for hook in await self._hooks.matching(work, subject):
            values = self._hooks.placeholders(work.context, subject)
            recipients, members = await _recipients(work, hook, subject.path.ids[0], values)
            if not recipients and not members:
                continue
            payload: dict[str, Any] = {
                "recipients": recipients,
                "members": members,
                "subject": one_line(rendered(hook.get("subject", DEFAULT_SUBJECT), values)),
                "body": rendered(hook["template"], values),
            }
            sender = hook.get("sender")
            if isinstance(sender, str) and is_address(sender):
                payload["sender"] = sender
            # Mails about one collection keep their order; those of others need not wait for them.
            await self.outbox.add(work, subject.path, "/".join(subject.path.ids[:2]), payload)

    async def send(self, message: Message) -> None:
        """Let a mail leave on the way that the settings say."""
        settings = self._settings
        mail = composed(message, settings.default_sender or ("kintoun@localhost" if _kept(settings) else ""))
        if settings.debug_mailer:
            await asyncio.to_thread(keep, mail, message, DEBUG_DIRECTORY)
        elif settings.queue_path is not None:
            await asyncio.to_thread(queue, mail, settings.queue_path)
        else:
            await asyncio.to_thread(send, mail, settings, message.payload)


def _kept(settings: EmailerSettings) -> bool:
    return settings.debug_mailer or settings.queue_path is not None


async def _recipients(
    work: Work, hook: Hook, bucket: str, values: dict[str, object]
) -> tuple[list[str], list[str]]:
    """The addresses that a hook names, and those among the members of the groups of its bucket it names."""
    named = hook.get("recipients")
    found: list[str] = []
    members: list[str] = []
    for recipient in named if isinstance(named, list) else ():
        if not isinstance(recipient, str):
            continue
        group = group_of(rendered(recipient, values), bucket)
        if group is not None:
            members += await _members(work, group)
        elif address_of(recipient) is not None:
            found.append(recipient)
    return unique(found), unique(members, but=found)[:MOST_ADDRESSES]


async def _members(work: Work, group: Path) -> list[str]:
    row = await work.unit.object(group)
    if row is None or row.deleted:
        return []
    members = json.decode(row.body.encode()).get("members", [])
    return [address for member in members if (address := member_address(member)) is not None]
