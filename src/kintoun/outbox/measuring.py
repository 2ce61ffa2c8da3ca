"""What the outboxes count for those who watch the server."""

from __future__ import annotations

import time

import structlog

from kintoun.measures import Measures
from kintoun.model import timestamps
from kintoun.storage import Store
from kintoun.storage.rows import Unavailable

log = structlog.get_logger()

LOOK_SECONDS = 10.0
"""How old the numbers of messages can be."""

_COUNTS = (
    "SELECT (SELECT count(*) FROM outbox WHERE channel = $1),"
    " (SELECT min(created) FROM outbox WHERE channel = $1),"
    " (SELECT count(*) FROM outbox_dead WHERE channel = $1)"
)


class OutboxMeasures:
    """The measures of one channel."""

    def __init__(self, channel: str, measures: Measures, store: Store) -> None:
        self._channel = channel
        self._store = store
        self._looked = -LOOK_SECONDS
        labels = ("channel",)
        self._delivered = measures.counter("outbox_delivered_total", "Messages that were received.", labels)
        self._failed = measures.counter("outbox_failures_total", "Attempts that failed.", labels)
        self._messages = measures.gauge(
            "outbox_messages",
            "Messages in the outbox, by whether they wait or are dead.",
            ("channel", "state"),
            "own",
        )
        self._age = measures.gauge(
            "outbox_oldest_seconds", "How long the oldest message that waits has waited.", labels, "own"
        )
        measures.before_collect.append(self._look)

    def delivered(self) -> None:
        """Count a message that was received."""
        self._delivered.add(1, self._channel)

    def failed(self) -> None:
        """Count an attempt that failed."""
        self._failed.add(1, self._channel)

    async def _look(self) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        try:
            ((waiting, oldest, dead),) = await self._store.fetch(_COUNTS, (self._channel,))
        except Unavailable as error:
            log.warning("the outbox was not counted", channel=self._channel, error=str(error))
            return
        self._looked = time.monotonic()
        self._messages.set(waiting, self._channel, "waiting")
        self._messages.set(dead, self._channel, "dead")
        age = timestamps.now() - oldest if oldest is not None else 0
        self._age.set(max(age, 0) / 1000, self._channel)
