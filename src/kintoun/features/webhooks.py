"""Webhooks: every change that the configuration asks for is posted to a URL, signed.

Body and signature keep to the conventions of Standard Webhooks, so that receivers can check them with a
library: `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature`.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, field

from kintoun.model import json
from kintoun.model.changes import Change, Event
from kintoun.model.matching import matches, pattern_error
from kintoun.outbox import Delivery, Failed, Message, Outbox
from kintoun.outbox.hooks import CHANGED, filtered_by
from kintoun.outbox.posting import Poster, check_installed
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Work
from kintoun.settings import Section

PREFIX = "whsec_"
"""What secrets begin with that are written in base64."""


class Webhook(Section, frozen=True):
    """One receiver, and what it is told of. Filters that begin with `^` are regular expressions."""

    name: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="Name, once among the webhooks.")
    ]
    url: Annotated[str, Meta(pattern=r"^https?://\S+$", description="Where messages are posted to.")]
    secrets: Annotated[
        list[Annotated[str, Meta(min_length=16)]],
        Meta(
            min_length=1,
            description="Keys of the signature, `whsec_` and base64 or any text; with several each signs, "
            "so that a key can be changed without a gap.",
        ),
    ]
    resources: Annotated[
        list[str], Meta(description="Kinds of objects: `record`, `collection`, `group`, `bucket`, `account`.")
    ] = field(default_factory=lambda: ["record"])
    actions: Annotated[
        list[Literal["create", "update", "delete"]], Meta(description="What is done to them.")
    ] = field(default_factory=lambda: ["create", "update", "delete"])
    buckets: Annotated[list[str], Meta(description="Ids of buckets; none: all.")] = field(
        default_factory=list
    )
    collections: Annotated[list[str], Meta(description="Ids of collections; none: all.")] = field(
        default_factory=list
    )
    events: Annotated[
        list[str], Meta(description="Events that features announce, such as reviews; by their whole names.")
    ] = field(default_factory=list)
    data: Annotated[bool, Meta(description="Whether messages have the object itself.")] = True
    old: Annotated[bool, Meta(description="Whether they also have the object as it was before.")] = False


class WebhooksSettings(Delivery, frozen=True):
    """Who is told of changes."""

    hooks: Annotated[list[Webhook], Meta(description="The receivers.")] = field(default_factory=list)


def key_of(secret: str) -> bytes:
    """The key that a secret stands for. Raises ValueError for a prefix without base64."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return b64decode(secret.removeprefix(PREFIX), validate=True)
    except NotBase64 as error:
        raise ValueError(f"a secret begins with {PREFIX!r}, but goes on without base64") from error


def signature(keys: Sequence[bytes], message_id: str, seconds: int, body: bytes) -> str:
    """The signatures of a message, one for each key."""
    signed = f"{message_id}.{seconds}.".encode() + body
    digests = [hmac.digest(key, signed, hashlib.sha256) for key in keys]
    return " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)


def _among(patterns: Sequence[str], value: str | None) -> bool:
    return not patterns or (value is not None and any(matches(pattern, value) for pattern in patterns))


def _check(hooks: Sequence[Webhook]) -> None:
    """Refuse a configuration that could not be followed; raises ValueError."""
    names = [hook.name for hook in hooks]
    for hook in hooks:
        if names.count(hook.name) > 1:
            raise ValueError(f"webhooks: two hooks are called {hook.name!r}")
        for pattern in (*hook.buckets, *hook.collections, *hook.events, *hook.resources):
            wrong = pattern_error(pattern)
            if wrong is not None:
                raise ValueError(f"webhooks: {hook.name}: {pattern!r} is {wrong}")


class Webhooks(Plugin):
    """Posts changes to those whom the configuration names."""

    name = "webhooks"
    settings = WebhooksSettings

    def setup(self, registry: Registry, settings: WebhooksSettings) -> None:
        check_installed(self.name)
        _check(settings.hooks)
        self._hooks = {hook.name: hook for hook in settings.hooks}
        self._keys = {hook.name: [key_of(secret) for secret in hook.secrets] for hook in settings.hooks}
        self._poster = Poster(settings.timeout_seconds)
        self.outbox = Outbox(self.name, self.send, settings, close=self._poster.close)
        self.outbox.join(registry)
        registry.before_commit(self.changed)
        registry.listen(self.announced)
        registry.capability(
            "webhooks",
            "Posts changes to those whom the configuration names.",
            f"{registry.settings.project.docs}reference/notifications/",
        )

    async def changed(self, work: Work, change: Change) -> None:
        """Add a message for every receiver of a change."""
        kind, ids = change.path.kind, filtered_by(change)
        for hook in self._hooks.values():
            if (
                change.action in hook.actions
                and _among(hook.resources or ("record",), kind.name)
                and _among(hook.buckets, ids.get("bucket_id"))
                and _among(hook.collections, ids.get("collection_id"))
            ):
                body = {"type": f"{kind.name}.{change.action}", **_told(change, CHANGED)}
                if hook.data:
                    body["data"] = change.new
                if hook.old:
                    body["old"] = change.old
                await self.outbox.add(work, change.path, hook.name, body)

    async def announced(self, work: Work, event: Event) -> None:
        """Add a message for every receiver of an event."""
        ids = filtered_by(event)
        for hook in self._hooks.values():
            if (
                hook.events
                and _among(hook.events, event.name)
                and _among(hook.buckets, ids.get("bucket_id"))
                and _among(hook.collections, ids.get("collection_id"))
            ):
                body = {"type": event.name.rpartition(".")[2], **_told(event, event.name)}
                await self.outbox.add(work, event.path, hook.name, {**body, "data": dict(event.values)})

    async def send(self, message: Message) -> None:
        """Post a message to its receiver."""
        hook = self._hooks.get(message.target)
        if hook is None:
            raise Failed("no webhook of this name is configured any more", final=True)
        body = json.encode(message.payload)
        seconds = int(time.time())
        message_id = f"msg_{message.id}"
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature(self._keys[hook.name], message_id, seconds, body),
        }
        await self._poster.post(hook.url, body, headers)


def _told(subject: Change | Event, event: str) -> dict[str, object]:
    return {
        "event": event,
        **filtered_by(subject),
        "uri": str(subject.path),
        "timestamp": subject.timestamp,
        "user_id": subject.user,
    }
