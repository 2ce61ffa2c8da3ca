"""Live: changes of lists as Server-Sent Events, sent as they are committed.

A stream is the sync protocol itself: every change after a timestamp, and then those that come. What it sends
is read from the store by timestamp; that something moved it learns from `storage.wakeups`.
"""

from __future__ import annotations

from typing import Any

from kintoun.features.live.asking import Asking
from kintoun.features.live.description import OPERATIONS
from kintoun.features.live.hub import Hub
from kintoun.features.live.settings import LiveSettings
from kintoun.http.addresses import Addresses
from kintoun.http.routing import Endpoint
from kintoun.plugin import Plugin, Registry


class Live(Plugin):
    """Streams of changes."""

    name = "live"
    settings = LiveSettings

    def setup(self, registry: Registry, settings: Any) -> None:
        declared: LiveSettings = settings or LiveSettings()
        addresses = Addresses(registry.settings.http.trusted_proxies)
        hub = Hub(registry.service, declared, addresses)
        asking = Asking(hub)
        registry.stream_list(asking.one_list)
        methods = {"GET": asking.several, "HEAD": asking.several}
        registry.endpoint(Endpoint("live", "/__live__", methods, operations=OPERATIONS))
        registry.background(hub.tick)
        registry.service.store.wakeups.subscribe(hub.hear, hub.watched)
        registry.capability(
            "live",
            "Sends changes of lists as they are committed.",
            f"{registry.settings.project.docs}concepts/live/",
            heartbeat_seconds=declared.heartbeat_seconds,
            lists=declared.lists,
        )
