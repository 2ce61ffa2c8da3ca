"""The settings of live streams."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kintoun.http.answers import PATIENCE
from kintoun.settings import Positive, Section


class LiveSettings(Section, frozen=True):
    """Streams of changes, and how many there may be."""

    streams: Annotated[Positive, Meta(description="Streams that one worker serves at once (503 above).")] = (
        10_000
    )
    streams_per_user: Annotated[
        Positive, Meta(description="Streams of one user on one worker at once (429 above).")
    ] = 100
    streams_per_address: Annotated[
        Positive,
        Meta(description="Streams to one address (IPv6: to one /64) on one worker at once (429 above)."),
    ] = 1000
    lists: Annotated[
        int, Meta(ge=1, le=1000, description="Lists that one stream of `/v1/__live__` can follow.")
    ] = 100
    heartbeat_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="How long a stream is silent before it says that it is there.")
    ] = 15
    max_age_seconds: Annotated[
        int, Meta(ge=1, description="How long a stream lives before its client has to connect anew.")
    ] = 3600
    check_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="How long credentials and rights are relied on of which no change was heard.",
        ),
    ] = 60
    buffer_bytes: Annotated[
        int,
        Meta(
            ge=4096,
            description="What may wait for a client that does not read, in bytes; with more it has to catch "
            "up from the database.",
        ),
    ] = 262_144
    stalled_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="How long a client may read nothing of what waits for it before it is cut off.",
        ),
    ] = PATIENCE
    own_objects: Annotated[
        Positive,
        Meta(
            description="Objects that one who sees only its own of a list may have and follow it (400 above)."
        ),
    ] = 10_000
    retry_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="How long clients wait before they connect anew, about: each is told its own time.",
        ),
    ] = 3.0
