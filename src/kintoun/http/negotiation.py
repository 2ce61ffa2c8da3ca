"""What a client accepts, and what it has already (RFC 9110, sections 12.5.1, 12.5.3 and 13.1.2)."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accepted: str, offered: Sequence[str]) -> str | None:
    """The one to which `Accept-Encoding` gives most weight, the first of several; None: not encoded."""
    weights = _weights(accepted)
    best, most = None, weights.get("identity", 0.0)
    for encoding in offered:
        weight = weights.get(encoding, weights.get("*", 0.0))
        if weight > most or (weight == most > 0 and best is None):
            best, most = encoding, weight
    return best


def outweighs(accepted: str, one: str, other: str) -> bool:
    """Whether `Accept` names a media type, and gives it no less weight than another."""
    if one not in accepted.lower():
        return False  # as is said of nearly all requests
    weights = _weights(accepted)
    return weights.get(one, 0.0) > 0 and weights[one] >= weights.get(other, 0.0)


def accepts(accepted: str, media_type: str) -> bool:
    """Whether `Accept` gives weight to a media type: the most specific of the ranges that it is in decides.

    Parameters of ranges other than the weight make no difference.
    """
    weights = _weights(accepted)
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[each] > 0 for each in ranges if each in weights), False)


def _weights(accepted: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, *parameters = part.split(";")
        weights[name.strip()] = _weight(parameters[-1] if parameters else "")
    return weights


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def matches(condition: str | None, tag: str) -> bool:
    """Whether `If-None-Match` names the representation; a mark of weakness makes no difference."""
    if condition is None:
        return False
    named = [each.strip().removeprefix("W/") for each in condition.split(",")]
    return tag.removeprefix("W/") in named or named == ["*"]
