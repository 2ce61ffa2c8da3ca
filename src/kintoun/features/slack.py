"""Messages to Slack, by the hooks in `kinto-slack` of collections and buckets."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path as File
from typing import Annotated, ClassVar

from msgspec import Meta, field

from kintoun.http.addresses import Addresses
from kintoun.model import json
from kintoun.model.changes import Change, Event
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD
from kintoun.outbox import Delivery, Failed, Message, Outbox
from kintoun.outbox.hooks import Hooks
from kintoun.outbox.posting import Poster, check_installed
from kintoun.outbox.templates import rendered
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Work

VARIABLE = "KINTO_SLACK_{}_WEBHOOK_URL"
_SUFFIX = ".webhook_url"


class SlackSettings(Delivery, frozen=True):
    """Where Slack takes messages."""

    webhook_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://\S+$")] | None,
        Meta(description="Incoming webhook of Slack; for channels that have none of their own."),
    ] = None
    channels: Annotated[
        dict[str, str],
        Meta(
            description="Incoming webhooks of channels by their names, without `#`. Others are looked for in "
            "the environment, as `KINTO_SLACK_{CHANNEL}_WEBHOOK_URL`."
        ),
    ] = field(default_factory=dict)
    debug_dir: Annotated[
        str | None,
        Meta(
            description="Directory for one JSON file per message, in place of sending, before the request is "
            "answered."
        ),
    ] = None
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=300, description="How long the receiver may take for one message.")
    ] = 5.0


def escaped(value: str) -> str:
    """A value in the text of a message: no link and no mention of anybody can be made of it."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Slack(Plugin):
    """Tells Slack of changes and reviews."""

    name = "slack"
    settings = SlackSettings
    kinto_keys: ClassVar = {
        "slack.webhook_url": "webhook_url",
        "slack.debug_dir": "debug_dir",
        "slack.*": "channels",
    }
    kinto_includes = ("kinto_slack",)

    def setup(self, registry: Registry, settings: SlackSettings) -> None:
        self._settings = settings
        self._channels = {name.removesuffix(_SUFFIX): url for name, url in settings.channels.items()}
        self._hooks = Hooks("kinto-slack", None, Addresses(registry.settings.http.trusted_proxies))
        if settings.debug_dir is None:
            check_installed(self.name)
        poster = self._poster = Poster(settings.timeout_seconds)
        debug = settings.debug_dir is not None
        self.outbox = Outbox(
            self.name,
            self.keep if debug else self.send,
            settings,
            immediate=debug,
            close=poster.close,
        )
        self.outbox.join(registry)
        registry.before_commit(self.changed, BUCKET, COLLECTION, RECORD)
        registry.listen(self.announced)
        registry.capability(
            "slack",
            "Tells Slack of changes, as the hooks of collections say.",
            f"{registry.settings.project.docs}reference/notifications/",
        )

    async def changed(self, work: Work, change: Change) -> None:
        """Check hooks that are written, and tell of changes that hooks want."""
        self._hooks.validate(change)
        await self.announced(work, change)

    async def announced(self, work: Work, subject: Change | Event) -> None:
        """Add a message for every hook that wants to be told."""
        for hook in await self._hooks.matching(work, subject):
            text = rendered(hook["template"], self._hooks.placeholders(work.context, subject), escaped)
            channel = hook.get("channel", "")
            await self.outbox.add(work, subject.path, channel, {"channel": channel, "text": text})

    def _url(self, channel: str) -> str | None:
        name = channel.removeprefix("#")
        variable = VARIABLE.format(re.sub(r"\W", "_", name).upper())
        return self._channels.get(name) or os.environ.get(variable) or self._settings.webhook_url

    async def send(self, message: Message) -> None:
        """Give a message to Slack."""
        url = self._url(message.target)
        if url is None:
            raise Failed("no webhook_url is set for this channel")
        payload = {name: value for name, value in message.payload.items() if value}
        await self._poster.post(url, json.encode(payload), {"Content-Type": "application/json"})

    async def keep(self, message: Message) -> None:
        """Write a message to a file."""
        await asyncio.to_thread(_keep, message, File(self._settings.debug_dir or ""))


def _keep(message: Message, directory: File) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{message.created}-{message.id}.json"
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(json.encode(message.payload))
    unfinished.replace(file)
