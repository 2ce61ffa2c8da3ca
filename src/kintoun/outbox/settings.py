"""The settings that every channel of the outbox has."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kintoun.settings import Section


class Delivery(Section, frozen=True):
    """How persistently messages are delivered."""

    attempts: Annotated[
        int, Meta(ge=1, le=100, description="How often a message is tried before it becomes a dead letter.")
    ] = 15
    first_retry_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="Pause after the first failure; it doubles with each further one."),
    ] = 5.0
    longest_retry_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Longest pause between two attempts.")
    ] = 3600.0
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=300, description="How long the receiver may take for one message.")
    ] = 10.0
    dead_days: Annotated[int, Meta(ge=1, description="How long dead letters are kept, in days.")] = 30
