"""What a browser accepts, and what it has already (RFC 9110, sections 12.5.3 and 13.1.2)."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accepted: str, offered: Sequence[str]) -> str | None:
    """The first of the encodings offered that `Accept-Encoding` allows; None: the file as it is."""
    weights: dict[str, float] = {}
    for part in accepted.split(","):
        coding, _, parameters = part.strip().lower().partition(";")
        weights[coding.strip()] = _weight(parameters)
    for encoding in offered:
        if weights.get(encoding, weights.get("*", 0.0)) > 0:
            return encoding
    return None


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def matches(condition: str | None, tag: str) -> bool:
    """Whether `If-None-Match` names the representation; a mark of weakness makes no difference."""
    if condition is None:
        return False
    named = [each.strip().removeprefix("W/") for each in condition.split(",")]
    return tag in named or named == ["*"]
