"""The end of the service: when it is, and what clients are told of it (protocol section 1.6)."""

from __future__ import annotations

from datetime import UTC, datetime

from kintoun.model import json
from kintoun.settings import Settings


def end_of(settings: Settings) -> datetime | None:
    """When the service ends, if ever. Raises ValueError for a date that is none."""
    date = settings.end_of_service.date
    if date is None:
        return None
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise ValueError(f"[end_of_service] date: {date!r} is no ISO date") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def alert_of(settings: Settings) -> str | None:
    """The `Alert` header of a service that ends."""
    end = end_of(settings)
    if end is None:
        return None
    told = settings.end_of_service
    alert = {"code": "hard-eol" if end < datetime.now(UTC) else "soft-eol"}
    if told.message is not None:
        alert["message"] = told.message
    alert["url"] = told.url or settings.project.docs
    return json.encode_text(alert)
